"""All views of a server: feeds that viewers share, and how many there may be."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from phantomlink.engine.session import Session
from phantomlink.errors import TooManyClientsError
from phantomlink.outputs.view.messages import Json
from phantomlink.outputs.view.view_request import ViewQuery
from phantomlink.scheduling.deferred import Deferred

if TYPE_CHECKING:
    from phantomlink.outputs.view.feed import ViewFeed

MOST_QUERIES = 4


def _load_view_feed() -> type[ViewFeed]:
    from phantomlink.outputs.view.feed import ViewFeed  # noqa: PLC0415

    return ViewFeed


VIEW_FEED = Deferred(_load_view_feed)
"""What makes the feed of a session."""


@dataclass(slots=True, eq=False)
class _Entry:
    """A feed that has viewers."""

    feed: ViewFeed
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    has_started: trio.Event = field(default_factory=trio.Event)
    n_viewers: int = 0


class ViewHub:
    """Feeds by session and query; each lives as long as it has viewers.

    Args:
        max_viewers: in all.

    Attributes:
        n_viewers: that there are here.
        after_change: called with that number; None where no other process counts them, too.
    """

    def __init__(self, max_viewers: int) -> None:
        self.after_change: Callable[[int], None] | None = None
        self._max_viewers = max_viewers
        self._elsewhere: dict[str, int] = {}
        self._feeds: dict[Session, dict[ViewQuery, _Entry]] = {}
        self._nursery: trio.Nursery | None = None
        self.n_viewers = 0

    def n_viewers_of(self, session: Session) -> int:
        """How many watch a session."""
        return sum(entry.n_viewers for entry in self._feeds.get(session, {}).values())

    def check(self, session: Session | None = None, query: ViewQuery | None = None) -> None:
        """Whether one more may come.

        Args:
            session: that it would watch; None for the list of sessions.
            query: how.

        Raises:
            TooManyClientsError: there are too many, or too many ways to watch this session.
            InvalidParameterError: the query does not fit the session.
        """
        n_viewers = self.n_viewers + sum(self._elsewhere.values())
        if n_viewers >= self._max_viewers:
            raise TooManyClientsError(
                f"views: there are {n_viewers} already, takes {self._max_viewers} at once "
                "(PHANTOM_MAX_VIEWERS)",
                503,
            )
        if session is None or query is None:
            return
        query.unit_rows(len(session.bins.unit_ids))
        feeds = self._feeds.get(session, {})
        if query not in feeds and len(feeds) >= MOST_QUERIES:
            raise TooManyClientsError(
                f"views of this session: it is watched in {len(feeds)} ways already, takes "
                f"{MOST_QUERIES}: use the column_ms, units and filter of another view",
                429,
            )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the feeds until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep(math.inf)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a viewer of the list, who has been checked, until it has left."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def count_elsewhere(self, node: str, n_viewers: int) -> None:
        """Another process has so many viewers."""
        self._elsewhere[node] = n_viewers

    def forget_elsewhere(self, nodes: Collection[str]) -> None:
        """There are no other processes than these."""
        self._elsewhere = {node: n for node, n in self._elsewhere.items() if node in nodes}

    def _count(self, change: int) -> None:
        self.n_viewers += change
        if self.after_change is not None:
            self.after_change(self.n_viewers)

    @asynccontextmanager
    async def watching(
        self, session: Session, query: ViewQuery, describe: Callable[[Session], Json]
    ) -> AsyncIterator[ViewFeed]:
        """A viewer watches until left; `check` has let it in.

        Args:
            session: that it watches.
            query: how.
            describe: what the first message says of a session.
        """
        assert self._nursery is not None
        make_feed = await VIEW_FEED.get()
        entries = self._feeds.setdefault(session, {})
        entry = entries.get(query)
        if entry is None:
            entry = entries[query] = _Entry(make_feed(session, query, describe(session)))
            self._nursery.start_soon(self._run_feed, entry)
        entry.n_viewers += 1
        self._count(1)
        self._tell_number(session)
        try:
            await entry.has_started.wait()
            yield entry.feed
        finally:
            entry.n_viewers -= 1
            self._count(-1)
            if not entry.n_viewers:
                entry.scope.cancel()
                del entries[query]
                if not entries:
                    del self._feeds[session]
            self._tell_number(session)

    def _tell_number(self, session: Session) -> None:
        n_viewers = self.n_viewers_of(session)
        for entry in self._feeds.get(session, {}).values():
            entry.feed.n_viewers = n_viewers
            entry.feed.viewers_changed()

    async def _run_feed(self, entry: _Entry) -> None:
        with entry.scope:
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(entry.feed.run)
                    entry.has_started.set()
            finally:
                entry.has_started.set()
