"""The list of sessions, as views of it get it: once a second what has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import is_private
from phantomlink.outputs.view.messages import Json, packed
from phantomlink.scheduling.loop_budget import LoopBudget

_PERIOD_SECONDS = 1.0
_REMEMBERED = 1000
# What changes whenever a client calls; nobody needs to be told of that.
_LEFT_OUT = frozenset({"last_accessed"})


LookElsewhere = Callable[[], Awaitable[Sequence[Json]]]
"""What other processes have: of each the sessions, by code, and the totals."""


@dataclass(slots=True)
class _Known:
    summary: Json
    added: int
    changed: int


class SessionList:
    """What viewers know of all sessions that are not private.

    Args:
        sessions: those that there are, asked anew each time.
        summarize: what a session says of itself.
        totals: of the server.

    Attributes:
        n_viewers: that look.
        ended: why there is no more, a WebSocket close code and a text; None while there is.
    """

    def __init__(
        self,
        sessions: Callable[[], Iterable[Session]],
        summarize: Callable[[Session], Json],
        totals: Callable[[], Json],
    ) -> None:
        self._sessions = sessions
        self._summarize = summarize
        self._totals = totals
        self._known: dict[str, _Known] = {}
        self._look_elsewhere: LookElsewhere | None = None
        self._other_totals: list[Json] = []
        self._removed: dict[str, int] = {}
        self._version = 0
        self._news = trio.Event()
        self.n_viewers = 0
        self.ended: tuple[int, str] | None = None
        self._has_viewers = trio.Event()

    def include(self, look_elsewhere: LookElsewhere) -> None:
        """Show the sessions of other processes too: their `own`, asked anew each time."""
        self._look_elsewhere = look_elsewhere

    async def own(self) -> dict[str, Any]:
        """The sessions of this process, and its totals."""
        return {"sessions": await self._summaries(), "totals": self._totals()}

    def viewer_came(self) -> None:
        """Somebody looks."""
        self.n_viewers += 1
        self._has_viewers.set()

    def viewer_left(self) -> None:
        """And does not any more."""
        self.n_viewers -= 1

    async def run(self) -> None:
        """Look at the sessions once a second while anybody wants to know; until cancelled."""
        while True:
            if not self.n_viewers:
                self._has_viewers = trio.Event()
                await self._has_viewers.wait()
            await self.refresh()
            await trio.sleep(_PERIOD_SECONDS)

    async def refresh(self) -> None:
        """Look at every session, in stretches of the loop budget."""
        summaries = await self._summaries()
        if self._look_elsewhere is not None:
            others = await self._look_elsewhere()
            self._other_totals = [each["totals"] for each in others]
            for each in others:
                summaries |= each["sessions"]
        version = self._version + 1
        for code, summary in summaries.items():
            known = self._known.get(code)
            if known is None:
                self._known[code] = _Known(summary, version, version)
                self._removed.pop(code, None)
            elif known.summary != summary:
                known.summary, known.changed = summary, version
        for code in [code for code in self._known if code not in summaries]:
            del self._known[code]
            self._removed[code] = version
        while len(self._removed) > _REMEMBERED:
            del self._removed[next(iter(self._removed))]
        self._version = version
        self._publish()

    async def _summaries(self) -> dict[str, Json]:
        budget = LoopBudget()
        found: dict[str, Json] = {}
        for session in list(self._sessions()):
            if is_private(session.code) or session.is_closed:
                continue
            found[session.code] = {
                name: value
                for name, value in self._summarize(session).items()
                if name not in _LEFT_OUT
            }
            if budget.is_over:
                await budget.end()
        return found

    def _all_totals(self) -> Json:
        parts = [self._totals(), *self._other_totals]
        return {name: sum(part[name] for part in parts) for name in parts[0]}

    def _publish(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def end(self, code: int, reason: str) -> None:
        """There is nothing more to tell."""
        self.ended = (code, reason)
        self._publish()

    async def news(self, seen: int) -> None:
        """Wait until there is something newer than `seen`, or the end."""
        while self._version <= seen and self.ended is None:
            await self._news.wait()

    def hello(self) -> tuple[int, bytes]:
        """The version, and the first message of it."""
        sessions = {code: known.summary for code, known in self._known.items()}
        return self._version, packed(
            {"type": "hello", "sessions": sessions, "totals": self._all_totals()}
        )

    def since(self, seen: int) -> tuple[int, bytes]:
        """The version, and what has changed since an earlier one."""
        news = {code: known for code, known in self._known.items() if known.changed > seen}
        added = {code: each.summary for code, each in news.items() if each.added > seen}
        changed = {code: each.summary for code, each in news.items() if each.added <= seen}
        removed = [code for code, version in self._removed.items() if version > seen]
        return self._version, packed(
            {
                "type": "sessions",
                "added": added,
                "changed": changed,
                "removed": removed,
                "totals": self._all_totals(),
            }
        )
