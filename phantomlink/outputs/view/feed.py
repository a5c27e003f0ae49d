"""One session watched in one way: what all viewers of the same query share.

Theory of operation. In a tick a feed does nothing but keep a reference to the packet: it is an
observer, which listens to nothing and has each packet after everybody else. Its task sleeps until
the deadline of a packet, twenty times a second at most, so that the loop, which is awake for that
tick, runs it behind the tick without waking once more. (To be woken by the tick itself costs that
20 us with cold caches: only a packet that is late, or the first after a silence, does it.) Then it
makes columns of what has come, in stretches of the loop budget. Viewers take from its history what
they have not had. One whose socket is free is written to straight away, without its task being
woken: ten of them would cost more than all the rest. One that is behind is woken, waits until its
socket is free, and finds more in the history then, shortened: nothing is queued for anybody.

What happens to the session between packets is followed too, and told at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import trio

from phantomlink.engine.events import NO_FILTER, SessionEvent, SessionEventKind
from phantomlink.engine.fanout import Release
from phantomlink.engine.session import Session
from phantomlink.errors import RecordingError
from phantomlink.outputs.decoders.kind import scores_of
from phantomlink.outputs.decoders.scores import SessionScores
from phantomlink.outputs.view.columns import ColumnBuilder, Columns, columns_of
from phantomlink.outputs.view.history import ColumnHistory
from phantomlink.outputs.view.messages import (
    Json,
    columns_messages,
    hello_message,
    packed,
    state_record,
)
from phantomlink.outputs.view.state import RecentDurations, session_state
from phantomlink.outputs.view.view_request import ViewQuery
from phantomlink.scheduling.loop_budget import LoopBudget

# Deadlines are whole ns: two periods of a rate may be one less than this.
_INTERVAL_NS = 50_000_000 - 1000
# Behind a deadline: by then its tick is over, and the loop has not slept again.
_BEHIND_NS = 50_000
_DECODERS_NS = 200_000_000
_STATS_SECONDS = 1.0
# A recording that cannot be read holds nobody's state back.
_PEEK_SECONDS = 0.5
_ARRIVAL = "arrival"
_HELD = "held"

# What ends a run of columns: what follows begins a column of its own.
_ENDS_RUN = frozenset(
    {
        SessionEventKind.PAUSED,
        SessionEventKind.SOUGHT,
        SessionEventKind.STOPPED,
        SessionEventKind.ENDED,
        SessionEventKind.PERTURBED,
    }
)

# After these a playhead is not at its end any more.
_LEAVES_END = frozenset(
    {
        SessionEventKind.PAUSED,
        SessionEventKind.RESUMED,
        SessionEventKind.SOUGHT,
        SessionEventKind.STOPPED,
        SessionEventKind.LISTENER_CAME,
    }
)


class Waiter(Protocol):
    """A viewer who has had everything."""

    def take_nowait(self) -> bool:
        """Take what is new without waiting; False where that cannot be: it is woken then."""
        ...


class ViewFeed:
    """Watches a session for some viewers.

    Args:
        session: that is watched.
        query: how.
        metadata: of the session, as the first message tells it.

    Attributes:
        bins_per_column: packets that make a column.
        history: the columns so far.
        state: message of how the session stands.
        state_number: of that message, +1 for each.
        stats: message of how punctual it is; None before the first.
        stats_number: of that message, +1 for each.
        decoders: message of how good its decoders are; None before anybody has answered.
        decoders_number: of that message, +1 for each.
        ended: why there is no more, a WebSocket close code and a text; None while there is.
        n_viewers: that watch the session, in whatever way; kept by whoever counts them.

    Raises:
        InvalidParameterError: the query does not fit the session.
    """

    def __init__(self, session: Session, query: ViewQuery, metadata: Json) -> None:
        self._session = session
        self._query = query
        self._metadata = metadata
        self._units = query.unit_rows(len(session.bins.unit_ids))
        self.bins_per_column = query.bins_per_column(session.grid.bin_size_ms)
        self.history = ColumnHistory()
        self.state: bytes = b""
        self.state_number = 0
        self.stats: bytes | None = None
        self.stats_number = 0
        self.decoders: bytes | None = None
        self.decoders_number = 0
        self.ended: tuple[int, str] | None = None
        self.n_viewers = 0
        self._record: Json = {}
        self._has_ended = False
        self._builder = ColumnBuilder(self.bins_per_column, self._units)
        # Packets, lost ones with True; None where a run ends.
        self._arrived: list[tuple[Release, bool] | None] = []
        # Deadline of the packet that ends a message, monotonic ns.
        self._due_ns = 0
        # Whether the next packet is to wake the task.
        self._is_idle = False
        self._wake = trio.Event()
        self._cause: str | None = _ARRIVAL
        # Who has had everything and waits for news.
        self._waiting: dict[Waiter, trio.Event] = {}
        self._encoded: tuple[int, int, list[bytes]] = (0, 0, [])
        self._lateness = RecentDurations()
        self._scores = scores_of(session)
        self._scores_told: Sequence[Json] = ()
        self._scores_due_ns = 0

    def offer_nowait(self, release: Release) -> None:
        """Keep the packet for the next columns."""
        self._arrived.append((release, False))
        if self._is_idle and release.deadline_ns >= self._due_ns:
            self._is_idle = False
            self._wake.set()

    def lost_nowait(self, release: Release) -> None:
        """Keep a packet that is lost on purpose."""
        self._arrived.append((release, True))

    def end(self, code: int, reason: str) -> None:
        """The session has ended."""
        if self.ended is None:
            self.ended = (code, reason)
            self._wake.set()

    def viewers_changed(self) -> None:
        """Tell how many there are now."""
        self._cause = self._cause or _ARRIVAL
        self._wake.set()

    def hello(self) -> bytes:
        """The first message of a viewer who comes now."""
        bins = self._session.bins
        return hello_message(
            session=self._session.code,
            metadata=self._metadata,
            unit_ids=[int(unit) for unit in bins.unit_ids[self._units]],
            first_unit=self._units.start,
            bins_per_column=self.bins_per_column,
            state=self._record,
            history=self.history.everything(),
        )

    def columns_since(self, number: int) -> list[bytes]:
        """Messages of the columns from one on; encoded once for all viewers that keep up."""
        end = self.history.end
        if self._encoded[:2] != (number, end):
            self._encoded = (number, end, columns_messages(self.history.since(number)))
        return self._encoded[2]

    async def news(self, waiter: Waiter) -> None:
        """Wait until there is something that `waiter` cannot take without waiting, or the end."""
        event = self._waiting[waiter] = trio.Event()
        try:
            await event.wait()
        finally:
            self._waiting.pop(waiter, None)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until the session ends or this is cancelled; started when the state is known."""
        session = self._session
        with session.followed_by(self._follow):
            session.observe(self._query.filter, self)
            try:
                await self._tell_state()
                task_status.started()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tell_stats)
                    await self._watch()
                    nursery.cancel_scope.cancel()
            finally:
                session.unobserve(self)
                for event in self._waiting.values():
                    event.set()

    def _follow(self, event: SessionEvent) -> None:
        if event.kind is SessionEventKind.ANCHORED:
            # Where deadlines begin is nothing that a viewer is told.
            return
        if event.kind in _ENDS_RUN:
            self._arrived.append(None)
        if event.kind is SessionEventKind.ENDED and event.filter == self._query.filter:
            self._has_ended = True
        elif event.kind in _LEAVES_END:
            self._has_ended = False
        self._cause = event.kind.value
        self._wake.set()

    async def _publish(self) -> None:
        """Let everybody have what is new; nobody is woken who takes it at once."""
        budget = LoopBudget()
        for waiter, event in list(self._waiting.items()):
            if self.ended is not None or not waiter.take_nowait():
                event.set()
            if budget.is_over:
                await budget.end()

    async def _watch(self) -> None:
        while self.ended is None:
            await self._until_due()
            self._wake = trio.Event()
            await self._take()
            if self._cause is not None and self.ended is None:
                await self._tell_state()
            self._tell_decoders()
            await self._publish()

    async def _until_due(self) -> None:
        """Wait until the tick that ends a message is over, or there is something else to tell."""
        left_ns = self._due_ns + _BEHIND_NS - self._session.parts.clock.now_ns()
        with trio.move_on_after(max(0, left_ns) / 1e9):
            await self._wake.wait()
        newest = next((item[0] for item in reversed(self._arrived) if item is not None), None)
        if newest is None or newest.deadline_ns < self._due_ns:
            self._is_idle = True
            await self._wake.wait()
            self._is_idle = False

    async def _take(self) -> None:
        """Make columns of what has come."""
        arrived, self._arrived = self._arrived, []
        scores = self._decoding_scores
        if scores is not None and arrived:
            await scores.decode()
        budget = LoopBudget()
        newest_ns = 0
        for item in arrived:
            if item is None:
                self._builder.finish_run()
                continue
            release, is_lost = item
            packet = release.packet
            if is_lost:
                self._builder.take_lost(packet)
            else:
                packet = packet if scores is None else scores.with_decoded(packet)
                self._builder.take(packet, release.timestamp or 0.0)
            newest_ns = release.deadline_ns or newest_ns
            if budget.is_over:
                await budget.end()
        self.history.append(self._builder.finished())
        if newest_ns:
            period_ns = int(1e9 / self._session.rate_hz)
            self._due_ns = newest_ns + max(1, -(-_INTERVAL_NS // period_ns)) * period_ns

    @property
    def _decoding_scores(self) -> SessionScores | None:
        """Where built-in decoders say what they make of the packets; None where there are none.

        They decode what the unfiltered playhead sends.
        """
        scores = scores_of(self._session) if self._query.filter == NO_FILTER else None
        return scores if scores is not None and scores.players else None

    async def _tell_state(self) -> None:
        cause, self._cause = self._cause or _ARRIVAL, None
        self._record = session_state(
            self._session, self._query.filter, self.n_viewers, has_ended=self._has_ended
        )
        standing = None if self._record["is_playing"] else await self._standing()
        self.state = packed(state_record(cause, self._record, standing))
        self.state_number += 1

    async def _standing(self) -> Columns | None:
        """The packet that the playhead stands on; None where it cannot be read in time."""
        playbacks = self._session.playbacks()
        playback = playbacks.get(self._query.filter, self._session.main)
        with trio.move_on_after(_PEEK_SECONDS):
            try:
                release = await playback.peek()
            except RecordingError:
                # The session says by itself what it waits for.
                return None
            return columns_of(release.packet, self._units, 0.0)
        return None

    def _tell_decoders(self) -> None:
        now_ns = self._session.parts.clock.now_ns()
        if self._scores is None or now_ns < self._scores_due_ns:
            return
        self._scores_due_ns = now_ns + _DECODERS_NS
        summaries = self._scores.summaries()
        if summaries and summaries != self._scores_told:
            self._scores_told = summaries
            self.decoders = packed({"type": "decoders", "decoders": summaries})
            self.decoders_number += 1

    async def _tell_stats(self) -> None:
        session = self._session
        while True:
            playback = session.playbacks().get(self._query.filter, session.main)
            timing, counters = playback.timing, session.counters
            injected = timing.injected
            self.stats = packed(
                {
                    "type": "stats",
                    "lateness_us": self._lateness.take(timing.lateness),
                    "dropped_packets": counters.dropped,
                    "slow_clients": counters.slow,
                    "stalls": timing.stalls,
                    "overruns": timing.overruns,
                    "injected": {
                        "lost": injected.lost,
                        "duplicated": injected.duplicated,
                        "reordered": injected.reordered,
                    },
                }
            )
            self.stats_number += 1
            if playback.waiting_for != self._record.get("waiting_for"):
                self._cause = self._cause or _HELD
            self._wake.set()
            await trio.sleep(_STATS_SECONDS)
