"""Commands for sessions that other nodes play too: they take effect at a packet told before.

Without mirrors a command is carried out at once. With some, the record first says from which packet
on it may change (`changes_at`), `AHEAD_NS` from now; only when that is in the directory with
`SURE_NS` to spare, so that every mirror hears of it before, is the command carried out, behind the
packet before that one. See `Course`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext

import trio

from phantomlink.cluster.course import AHEAD_NS, SURE_NS
from phantomlink.cluster.kept_session import KeptSession
from phantomlink.cluster.records import WorkerOwnership
from phantomlink.cluster.tickets import node_of
from phantomlink.errors import UnavailableError

_NS = 1_000_000_000
_TRIES = 5
# By as much the estimates of common time of two nodes may differ.
_SKEW_NS = 2_000_000
_SHARE_OF_PERIOD = 0.6
_LOOK_SECONDS = 0.001
_REACHED_SECONDS = 5.0
_ANCHORED_SECONDS = 1.0
# So that mirrors follow a clock that drifts.
_WRITE_AGAIN_SECONDS = 5.0


class Announcements:
    """Of the sessions of one worker.

    Args:
        ownership: of these.
        written: waits until what was written down is in the directory; raises UnavailableError
            where it is not.
    """

    def __init__(self, ownership: WorkerOwnership, written: Callable[[], Awaitable[None]]) -> None:
        self._ownership = ownership
        self._written = written
        self._tickets: Mapping[str, tuple[str, ...]] = {}
        self._urls: Mapping[str, str] = {}
        self._written_again = 0.0

    def set_mirrors(self, tickets: Mapping[str, tuple[str, ...]], urls: Mapping[str, str]) -> None:
        """Which nodes play which session too: as `Mirrored`."""
        self._tickets, self._urls = tickets, urls
        self.look()

    def url_at(self, code: str, node: str) -> str | None:
        """What a session's URL begins with at a node that plays it too; None where none does so."""
        kept = self._ownership.kept(code)
        if kept is None or node not in {node_of(ticket) for ticket in kept.mirrors}:
            return None
        return self._urls.get(node)

    def look(self) -> None:
        """Let those in that had to wait for a command; called now and then."""
        each_kept = self._ownership.each_kept()
        if not self._tickets and not any(kept.mirrors for kept in each_kept):
            return
        now = trio.current_time()
        is_time = now - self._written_again >= _WRITE_AGAIN_SECONDS
        if is_time:
            self._written_again = now
        for kept in each_kept:
            is_news = kept.set_mirrors(self._tickets.get(kept.session.code, ()))
            if is_news or (is_time and kept.mirrors and not kept.n_commands):
                self._ownership.write(kept)

    @asynccontextmanager
    async def changing(self, code: str) -> AsyncIterator[None]:
        """A command for a session is carried out in here.

        Raises:
            UnavailableError: it cannot be told to the mirrors; nothing has been done.
        """
        kept = self._ownership.kept(code)
        if kept is None:
            yield
            return
        async with kept.commands if kept.mirrors else nullcontext():
            kept.n_commands += 1
            try:
                if kept.mirrors:
                    await self._announce(kept)
                    kept.begin_change()
                yield
            finally:
                kept.n_commands -= 1
                if kept.is_changing:
                    await self._end(kept)
                self.look()

    async def _announce(self, kept: KeptSession) -> None:
        session, clock = kept.session, kept.session.parts.clock
        ahead_ns = AHEAD_NS
        for _ in range(_TRIES):
            anchor = session.main.anchor()
            if anchor.due_ns is None or not session.main.is_playing:
                # Nothing is sent that it could change.
                return
            first = anchor.at(
                clock.now_ns() + ahead_ns,
                session.rate_hz,
                session.grid.n_bins,
                loop=session.parts.loop,
            )
            kept.changes_at = first.sequence_number
            self._ownership.write(kept)
            try:
                await self._written()
            except UnavailableError:
                self._take_back(kept)
                raise
            due_ns = first.due_ns
            if due_ns is None or clock.now_ns() + SURE_NS + _SKEW_NS <= due_ns:
                if await self._reach(kept, first.sequence_number, due_ns):
                    return
                break
            ahead_ns *= 2
        self._take_back(kept)
        raise UnavailableError("other nodes that play the session were not told in time: try again")

    def _take_back(self, kept: KeptSession) -> None:
        kept.changes_at = None
        self._ownership.write(kept)

    async def _reach(self, kept: KeptSession, sequence_number: int, due_ns: int | None) -> bool:
        """Wait until the packet before one has left; whether it has, or will not."""
        session, main = kept.session, kept.session.main
        if due_ns is not None:
            early_ns = int(_SHARE_OF_PERIOD * _NS / session.rate_hz)
            await trio.sleep(max(due_ns - early_ns - session.parts.clock.now_ns(), 0) / _NS)
        end = trio.current_time() + _REACHED_SECONDS
        while main.playhead.sequence_number < sequence_number:
            if not main.is_playing:
                return True
            if trio.current_time() > end:
                return False
            await trio.sleep(_LOOK_SECONDS)
        return True

    async def _end(self, kept: KeptSession) -> None:
        """The command is done, or has failed: what follows from it is written down."""
        session = kept.session
        with trio.CancelScope(shield=True):
            if session.main.is_playing and session.main.anchor().due_ns is None:
                with trio.move_on_after(_ANCHORED_SECONDS):
                    await kept.anchored.wait()
            kept.end_change()
            if session.main.is_stepping:
                # How far it goes stands in no record.
                kept.refuse_mirrors()
            if not session.is_closed:
                self._ownership.write(kept)
