"""One playhead at work: it waits for each deadline and releases the packet.

Theory of operation. A playback plays while somebody listens and its session neither holds nor
has ended it; `update` looks whether that has changed. Playing is one cancel scope: prefetch and
the tick loop live in it, and pause, stop, seek and the leaving of the last listener cancel it.
A packet belongs to the playhead until it has been handed over, so what was read or built ahead
and then cancelled never happened. Between the end of the wait for a deadline and the hand-over
nothing awaits, and a cancelled scope is noticed before: after `pause` or `seek` returns, no
packet of the old position leaves.

The order of a tick: stamp, hand over; then the next one is waited for. The task of the playback
sleeps meanwhile: its clock calls the ticks, and it is woken to build packets when few are left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import trio

from phantomlink.engine.anchors import Anchor
from phantomlink.engine.builder import PacketBuilder
from phantomlink.engine.departures import Departures
from phantomlink.engine.fanout import Observer, Release, Sink
from phantomlink.engine.faults import Line
from phantomlink.engine.fence import Fence
from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.engine.prefetch import BLOCKS_BUFFERED, prefetch
from phantomlink.engine.selection import Playhead, Selection
from phantomlink.engine.timing import EventKind, TimingEvent
from phantomlink.recordings.bins import Block
from phantomlink.scheduling.ticker import Tick
from phantomlink.scheduling.timeline import Timeline


@dataclass(slots=True, eq=False)
class _Ticks:
    """What the ticks of one stretch of playing share.

    Attributes:
        builder: where their packets come from.
        speed: of the playhead, to the recording's.
        line: the order in which packets leave.
        due_ns: when the next one does, monotonic ns.
    """

    builder: PacketBuilder
    speed: float
    line: Line[Release] = field(default_factory=Line)
    due_ns: int = 0


class Playback(Departures):
    """A playhead over a selection of bins, and those who listen to it.

    Args:
        parts: what the session's playbacks share.
        selection: the bins to play.
        rate_hz: packets a second.
        from_bin: where to start: the first selected bin at or after it, wrapping.
        may_play: whether the session lets its playbacks advance now.
        on_end: called when the last bin has been played and there is no loop.
        on_stall: called when its deadlines have moved because a tick was too late, or, where there
            are records, when packets have been skipped for it.
        on_anchor: called when its deadlines begin.
        applied: what is done to its packets; None for nothing.
    """

    def __init__(
        self,
        parts: PlaybackParts,
        selection: Selection,
        *,
        rate_hz: Fraction,
        from_bin: int,
        may_play: Callable[[], bool],
        on_end: Callable[[Playback], None],
        on_stall: Callable[[Playback], None],
        on_anchor: Callable[[Playback], None],
        applied: AppliedPerturbation | None = None,
    ) -> None:
        super().__init__(
            parts,
            Playhead(selection, from_bin),
            rate_hz=rate_hz,
            may_play=may_play,
            applied=applied,
        )
        self._on_end = on_end
        self._on_stall = on_stall
        self._on_anchor = on_anchor
        self._rate_hz = rate_hz
        self._wake = trio.Event()
        self._playing: trio.CancelScope | None = None
        self._line: Line[Release] | None = None
        # Whether the packet whose tick is waited for is held back on purpose.
        self._is_delayed = False
        # Whether somebody has told the playhead to go on from elsewhere since it began to play.
        self._was_moved = False

    @property
    def _block_bins(self) -> int:
        return self._parts.reader.block_bins(self._rate_hz)

    def add(self, sink: Sink) -> None:
        """Let `sink` have the packets from the next one on."""
        self.fanout.add(sink)
        self.update()

    def discard(self, sink: Sink) -> None:
        """`sink` gets nothing more; no matter whether it did."""
        super().discard(sink)
        self.update()

    def observe(self, observer: Observer) -> None:
        """Let `observer` have the packets from the next one on, without listening."""
        self.fanout.add_observer(observer)

    def unobserve(self, observer: Observer) -> None:
        """`observer` gets nothing more; no matter whether it did."""
        self.fanout.discard_observer(observer)

    def update(self) -> None:
        """Start or hold the playhead after anything that `is_playing` depends on has changed."""
        if self.is_playing:
            self._wake.set()
            return
        self._hold()
        self._cancel()

    def anchor(self) -> Anchor:
        """The next packet, and when it is due."""
        head, timeline = self.playhead, self._timeline
        due_ns = timeline.deadline_ns if timeline.is_anchored else None
        if due_ns is not None and self._line is not None and not self._line.is_empty:
            # The next packet has had its tick, and waits to be overtaken.
            due_ns -= timeline.period_ns
        return Anchor(head.position, head.sequence_number, head.loop, due_ns)

    def go_on_from(self, anchor: Anchor) -> None:
        """Be where another process was, and keep its deadlines while somebody listens.

        Args:
            anchor: of the playhead; its position lies in the selection.
        """
        head = self.playhead
        head.position, head.loop = anchor.position, anchor.loop
        head.sequence_number = anchor.sequence_number
        self._move()
        if anchor.due_ns is not None and self.is_playing:
            self._timeline.anchor(anchor.due_ns)
            self._parts.phases.place(self, self._rate_hz, anchor.due_ns)
            self.timing.anchored()

    def step(self, n_packets: int | None) -> None:
        """Send only so many packets from here on, as soon as it may play; None for any number."""
        self._was_moved = self._was_moved or self.has_stepped
        self._until = None if n_packets is None else self.playhead.sequence_number + n_packets
        # What is built ahead may be too much.
        self._cancel()

    def seek(self, bin_index: int) -> int:
        """Go to the first selected bin at or after `bin_index`, wrapping.

        While playing, the ticks keep their deadlines and the next one sends the new position.

        Returns:
            The first `packet_id` that is sent from now on.
        """
        first = self.playhead.seek(bin_index)
        self._move()
        return first

    def set_rate(self, rate_hz: Fraction) -> None:
        """Send so many packets a second from the next one on, which is due within a period."""
        self._rate_hz = rate_hz
        self._timeline = Timeline(rate_hz)
        self._parts.phases.forget(self)
        self._cancel()

    def set_perturbation(self, applied: AppliedPerturbation | None) -> int:
        """Do this to the packets from the next one on; playhead and deadlines stay.

        Returns:
            The first `packet_id` that it is done to.
        """
        self._applied = applied
        self._cancel()
        return self.playhead.bin_index

    async def run(self) -> None:
        """Play whenever it should, until cancelled.

        Raises:
            RecordingError: the recording cannot be read.
        """
        with self._parts.clock.in_use():
            try:
                while True:
                    while not self.is_playing:
                        self._wake = trio.Event()
                        await self._wake.wait()
                    await self._play()
            finally:
                self._parts.phases.forget(self)

    def _hold(self) -> None:
        """Let time stand still: packets missed meanwhile are not sent later."""
        self._timeline.release()
        self._parts.phases.forget(self)

    def _move(self) -> None:
        self._was_moved = True
        self._cancel()

    def _cancel(self) -> None:
        self._line = None
        if self._playing is not None:
            self._playing.cancel()
        if self._is_delayed and self._timeline.is_anchored:
            self._end_delay()

    def _end_delay(self) -> None:
        """The packet that is being held back will not be sent: what follows it need not wait."""
        self._is_delayed = False
        now_ns = self._parts.clock.now_ns()
        if now_ns - self._timeline.deadline_ns > self._timeline.period_ns:
            # Ticks that have gone by meanwhile would be a burst of packets of the new state.
            self._hold()
        else:
            self._delays.left(now_ns)

    async def _play(self) -> None:
        """Play until cancelled by `update` or `seek`, or to the end."""
        head = self.playhead
        send, receive = trio.open_memory_channel[Block](BLOCKS_BUFFERED)
        ended = self._was_moved = False
        with trio.CancelScope() as self._playing:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._prefetch, head.selection, head.position, send)
                with receive:
                    ended = await self._tick_until_end(receive)
                    # After a step, what has been read behind it.
                    nursery.cancel_scope.cancel()
        self._playing = None
        # A seek or a resume that came with the last packet has not been seen by the loop of ticks.
        ended = ended and (self.has_stepped or not self._was_moved)
        if ended or not self.is_playing:
            # Also where a hold came when the task was about to build: it has anchored once more.
            self._hold()
        if ended:
            self._on_end(self)

    async def _prefetch(
        self, selection: Selection, position: int, send: trio.MemorySendChannel[Block]
    ) -> None:
        reader, loop = self._parts.reader, self._parts.loop
        await prefetch(reader, selection, position, send, block_bins=self._block_bins, loop=loop)

    async def _tick_until_end(self, blocks: trio.MemoryReceiveChannel[Block]) -> bool:
        clock, collector = self._parts.clock, self._parts.collector
        builder = PacketBuilder(
            self.playhead,
            blocks,
            self._build,
            self.timing,
            self.running_dry,
            assembler=self._parts.assembler,
            applied=self._applied,
            until=self._until,
        )
        ticks = _Ticks(builder, float(self._rate_hz / self._parts.grid.rate_hz))
        self._line = ticks.line
        fence = self._parts.fence
        tick: Tick = partial(self._tick, ticks)
        if fence is not None:
            tick = partial(_tick_within, fence, tick)
        while True:
            await builder.fill()
            while fence is not None and clock.now_ns() > fence.until_ns:
                await fence.moved()
            if not builder.built:
                return True
            collector.offer()
            now_ns = clock.now_ns()
            if not self._timeline.is_anchored:
                self._anchor(now_ns)
            due_ns = self._due_ns_unless_stalled(ticks, now_ns)
            if not builder.built:
                continue  # all of it was skipped
            if builder.waited and now_ns > due_ns:
                self._went_wrong(EventKind.OVERRUN, now_ns - due_ns)
            await clock.tick_from(due_ns, tick)

    def _due_ns_unless_stalled(self, ticks: _Ticks, now_ns: int) -> int:
        """When the next packet leaves; anew where that was so long ago that it is a stall."""
        due_ns = self._next_due_ns(ticks)
        delayed_ns = due_ns - self._timeline.deadline_ns
        if self._timeline.is_stalled(now_ns, delayed_ns):
            self._went_wrong(EventKind.STALL, now_ns - due_ns)
            has_skipped = self._parts.has_records and self._skip(ticks.builder, now_ns)
            if not has_skipped:
                self._anchor(now_ns)
            self._on_stall(self)
            if not ticks.builder.built:
                return self._timeline.deadline_ns
            due_ns = self._next_due_ns(ticks)
        return due_ns

    def _skip(self, builder: PacketBuilder, now_ns: int) -> bool:
        """Pass over what was due before a time; whether there is something to go on with.

        Where the builder has not read so far, it is let go, as after a seek.
        """
        head = self.playhead
        passed = self._timeline.skip(now_ns)
        ends = not self._parts.loop and head.position + passed >= head.selection.length
        if ends or self._until is not None:
            return False
        head.skip(passed)
        if not builder.skip(passed):
            self._cancel()
        return True

    def _next_due_ns(self, ticks: _Ticks) -> int:
        """When the next packet leaves."""
        deadline_ns = self._timeline.deadline_ns
        due_ns = self._delays.due_ns(deadline_ns, ticks.builder.built[0].fault, ticks.speed)
        self._is_delayed = due_ns > deadline_ns
        ticks.due_ns = due_ns
        return due_ns

    def _tick(self, ticks: _Ticks, now_ns: int) -> int | None:
        """The packet's time has come: let it leave, and say when the next one does."""
        timeline, builder = self._timeline, ticks.builder
        due_ns = ticks.due_ns
        if timeline.is_stalled(now_ns, due_ns - timeline.deadline_ns):
            due_ns = self._due_ns_unless_stalled(ticks, now_ns)
            return None if self._parts.has_records else due_ns
        self._is_delayed = False
        collector = self._parts.collector
        collector.is_tick = True
        try:
            self._let_leave(builder.built.popleft(), due_ns, ticks.line)
        finally:
            collector.is_tick = False
        if builder.is_low or not timeline.is_anchored:
            return None
        # A period later than this one, which was no stall.
        return self._next_due_ns(ticks)

    def _anchor(self, now_ns: int) -> None:
        parts = self._parts
        self._timeline.anchor(parts.phases.choose(self, self._rate_hz, now_ns))
        self.timing.anchored()
        self._on_anchor(self)

    def _went_wrong(self, kind: EventKind, late_ns: int) -> None:
        wall_seconds = self._parts.clock.wall_seconds()
        self.timing.went_wrong(
            TimingEvent(kind, wall_seconds, late_ns, self.playhead.sequence_number)
        )


def _tick_within(fence: Fence, tick: Tick, now_ns: int) -> int | None:
    """A tick where others may have taken over what is played."""
    return tick(now_ns) if now_ns <= fence.until_ns else None
