"""One playhead at work: it waits for each deadline and releases the packet.

Theory of operation. A playback plays while somebody listens and its session neither holds nor
has ended it; `update` looks whether that has changed. Playing is one cancel scope: prefetch and
the tick loop live in it, and pause, stop, seek and the leaving of the last listener cancel it.
A packet belongs to the playhead until it has been handed over, so what was read or built ahead
and then cancelled never happened. Between the end of the wait for a deadline and the hand-over
nothing awaits, and a cancelled scope is noticed before: after `pause` or `seek` returns, no
packet of the old position leaves.

The order of a tick: wait, stamp, hand over, then (in the slack) build the next. At most
`_BUILT_AHEAD` packets are built, so that a change of what is built takes effect at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import trio

from phantomlink.close_codes import CLOSE_INTERNAL_ERROR
from phantomlink.engine.assemble import PacketAssembler
from phantomlink.engine.clock import Alarm, Clock
from phantomlink.engine.collector import SlackCollector
from phantomlink.engine.fanout import Encoders, Fanout, Release, Sink
from phantomlink.engine.faults import NO_FAULT, Delays, Line
from phantomlink.engine.perturbed import AppliedPerturbation, SentRows
from phantomlink.engine.phases import PhaseBook
from phantomlink.engine.prefetch import BLOCKS_BUFFERED, BlockReader, prefetch
from phantomlink.engine.selection import Playhead, Selection
from phantomlink.engine.timeline import Timeline
from phantomlink.engine.timing import EventKind, TimingCounters, TimingEvent
from phantomlink.source.bins import Block

# Built a few at a time: one after the other they find the code and the block in the CPU's caches,
# which a hundred other sessions have been through since the last tick.
_BUILT_AHEAD = 5
_BUILT_LEFT = 1
# Whoever is given way may keep the CPU for a scheduler's slice, some 3 ms on a busy machine: with
# more ticks a second than this, that would be at the cost of the next ones.
_GIVE_WAY_BELOW_HZ = 1000
# Every start has to read first; what is over sooner is not told of.
_DRY_NS = 100_000_000
_BEING_READ = "the recording is being read"


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class PlaybackParts:
    """What every playback of a session shares.

    Attributes:
        reader: of the recording at the session's bin width.
        assembler: of its packets.
        encoders: of its frames.
        loop: whether to start again after the last bin.
        clock: time.
        phases: who ticks when, in the whole server.
        collector: of garbage, offered the time after each tick.
    """

    reader: BlockReader
    assembler: PacketAssembler
    encoders: Encoders
    loop: bool
    clock: Clock
    phases: PhaseBook
    collector: SlackCollector


class Playback:
    """A playhead over a selection of bins, and those who listen to it.

    Args:
        parts: what the session's playbacks share.
        selection: the bins to play.
        rate_hz: packets a second.
        from_bin: where to start: the first selected bin at or after it, wrapping.
        may_play: whether the session lets its playbacks advance now.
        on_end: called when the last bin has been played and there is no loop.
        applied: what is done to its packets; None for nothing.
    """

    def __init__(
        self,
        parts: PlaybackParts,
        selection: Selection,
        *,
        rate_hz: Fraction,
        from_bin: int = 0,
        may_play: Callable[[], bool],
        on_end: Callable[[Playback], None],
        applied: AppliedPerturbation | None = None,
    ) -> None:
        self._parts = parts
        self._may_play = may_play
        self._on_end = on_end
        self.playhead = Playhead(selection, from_bin)
        self.fanout = Fanout()
        self.timing = TimingCounters()
        self._rate_hz = rate_hz
        self._timeline = Timeline(rate_hz)
        self._wake = trio.Event()
        self._playing: trio.CancelScope | None = None
        self._applied = applied
        self._delays = Delays()
        # Whether the packet whose tick is waited for is held back on purpose.
        self._is_delayed = False
        self._dry_since_ns: int | None = None

    @property
    def _block_bins(self) -> int:
        return self._parts.reader.block_bins(self._rate_hz)

    @property
    def is_playing(self) -> bool:
        """Whether the playhead should be advancing now."""
        return self._may_play() and self.fanout.n_listening > 0

    @property
    def waiting_for(self) -> str | None:
        """Why it does not advance although it should: the recording gives no data; else None."""
        if self._dry_since_ns is None or not self.is_playing:
            return None
        if self._parts.clock.now_ns() - self._dry_since_ns < _DRY_NS:
            return None
        supply = self._parts.reader.supply
        return (supply and supply.reason) or _BEING_READ

    @contextmanager
    def running_dry(self) -> Iterator[None]:
        """While nothing has been read ahead, and what comes next is waited for."""
        self._dry_since_ns = self._parts.clock.now_ns()
        try:
            yield
        finally:
            self._dry_since_ns = None

    def add(self, sink: Sink) -> None:
        """Let `sink` have the packets from the next one on."""
        self.fanout.add(sink)
        self.update()

    def discard(self, sink: Sink) -> None:
        """`sink` gets nothing more; no matter whether it did."""
        self.fanout.discard(sink)
        self.update()

    def update(self) -> None:
        """Start or hold the playhead after anything that `is_playing` depends on has changed."""
        if self.is_playing:
            self._wake.set()
            return
        self._hold()
        self._cancel()

    def seek(self, bin_index: int) -> int:
        """Go to the first selected bin at or after `bin_index`, wrapping.

        While playing, the ticks keep their deadlines and the next one sends the new position.

        Returns:
            The first `packet_id` that is sent from now on.
        """
        first = self.playhead.seek(bin_index)
        self._cancel()
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

    async def peek(self) -> Release:
        """The packet at the playhead, without sending it.

        Raises:
            RecordingError: it cannot be read.
        """
        bin_index = self.playhead.bin_index
        reader = self._parts.reader
        # Without a checkpoint where that is possible: the playhead stays where it was seen.
        block = reader.read_nowait(bin_index, bin_index + 1)
        if block is None:
            block = await reader.read_patiently(bin_index, bin_index + 1)
        rows = SentRows(self._parts.assembler, block, self.playhead.loop, self._applied)
        return self._build(rows, 0, self.playhead.sequence_number)

    async def run(self) -> None:
        """Play whenever it should, until cancelled.

        Raises:
            RecordingError: the recording cannot be read.
        """
        alarm = self._parts.clock.alarm()
        try:
            while True:
                while not self.is_playing:
                    self._wake = trio.Event()
                    await self._wake.wait()
                await self._play(alarm)
        finally:
            self._parts.phases.forget(self)
            alarm.close()

    def _hold(self) -> None:
        """Let time stand still: what is held back now is not made up for."""
        self._timeline.release()
        self._parts.phases.forget(self)

    def _cancel(self) -> None:
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

    async def _play(self, alarm: Alarm) -> None:
        """Play until cancelled by `update` or `seek`, or to the end."""
        head = self.playhead
        send, receive = trio.open_memory_channel[Block](BLOCKS_BUFFERED)
        ended = False
        with trio.CancelScope() as self._playing:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._prefetch, head.selection, head.position, send)
                with receive:
                    ended = await self._tick_until_end(alarm, receive)
        self._playing = None
        if ended or not self.is_playing:
            # Also where a hold came from within a tick: the loop has anchored once more since.
            self._hold()
        if ended:
            self._on_end(self)

    async def _prefetch(
        self, selection: Selection, position: int, send: trio.MemorySendChannel[Block]
    ) -> None:
        reader, loop = self._parts.reader, self._parts.loop
        await prefetch(reader, selection, position, send, block_bins=self._block_bins, loop=loop)

    async def _tick_until_end(self, alarm: Alarm, blocks: trio.MemoryReceiveChannel[Block]) -> bool:
        built: deque[Release] = deque()
        builder = _Builder(self, blocks)
        line = Line[Release]()
        speed = float(self._rate_hz / self._parts.reader.bins.grid.rate_hz)
        clock, timeline, collector = self._parts.clock, self._timeline, self._parts.collector
        while True:
            await builder.fill(built)
            if not built:
                return True
            collector.offer()
            now_ns = clock.now_ns()
            if not timeline.is_anchored:
                self._anchor(now_ns)
            due_ns = self._delays.due_ns(timeline.deadline_ns, built[0].fault, speed)
            delayed_ns = due_ns - timeline.deadline_ns
            if timeline.is_stalled(now_ns, delayed_ns):
                self._went_wrong(EventKind.STALL, now_ns - due_ns)
                self._anchor(now_ns)
                continue
            if builder.waited and now_ns > due_ns:
                self._went_wrong(EventKind.OVERRUN, now_ns - due_ns)
            self._is_delayed = delayed_ns > 0
            if timeline.is_stalled(await alarm.wait_until(due_ns), delayed_ns):
                continue
            self._is_delayed = False
            collector.is_tick = True
            try:
                self._tick(built.popleft(), due_ns, line)
            finally:
                collector.is_tick = False

    def _anchor(self, now_ns: int) -> None:
        parts = self._parts
        self._timeline.anchor(parts.phases.choose(self, self._rate_hz, now_ns))
        self.timing.anchored()

    def _went_wrong(self, kind: EventKind, late_ns: int) -> None:
        wall_seconds = self._parts.clock.wall_seconds()
        self.timing.went_wrong(
            TimingEvent(kind, wall_seconds, late_ns, self.playhead.sequence_number)
        )

    def _tick(self, release: Release, due_ns: int, line: Line[Release]) -> None:
        release.deadline_ns = self._timeline.deadline_ns
        if release.fault is None and line.is_empty:
            if due_ns > release.deadline_ns:
                self._left_late(release, due_ns)
            self._release(release, due_ns)
        else:
            self._tick_with_fault(release, due_ns, line)
        self._timeline.advance()

    def _tick_with_fault(self, release: Release, due_ns: int, line: Line[Release]) -> None:
        head, injected = self.playhead, self.timing.injected
        ahead = 0 if line.is_empty else 1
        is_last = not self._parts.loop and head.position + ahead == head.selection.length - 1
        outcome = line.tick(release, release.fault or NO_FAULT, is_last=is_last)
        injected.reordered += outcome.overtaken
        lost = outcome.passed - len(outcome.leaving)
        injected.lost += lost
        if release in outcome.leaving and due_ns > release.deadline_ns:
            self._left_late(release, due_ns)
        for leaving in outcome.leaving:
            self._release(leaving, due_ns)
        for _ in range(lost):
            head.advance()

    def _left_late(self, release: Release, due_ns: int) -> None:
        self.timing.injected.delays.record(due_ns - release.deadline_ns)
        self._delays.left(self._parts.clock.now_ns())

    def _release(self, release: Release, due_ns: int) -> None:
        clock = self._parts.clock
        released_ns = clock.now_ns()
        release.stamp(release.deadline_ns, clock.wall_seconds())
        failed = self.fanout.offer(release)
        is_doubled = release.fault is not None and release.fault.duplicated
        if is_doubled:
            self.timing.injected.duplicated += 1
            failed += self.fanout.offer(release)
        offered_ns = clock.now_ns()
        if self.fanout.n_first and self._parts.phases.ticks_hz <= _GIVE_WAY_BELOW_HZ:
            clock.give_way()
        failed += self.fanout.offer_last(release)
        if is_doubled:
            failed += self.fanout.offer_last(release)
        self.timing.released(due_ns, released_ns, offered_ns)
        self.playhead.advance()
        for sink in dict.fromkeys(failed):
            self.discard(sink)
            sink.end(CLOSE_INTERNAL_ERROR, "internal error")

    def _build(self, rows: SentRows, row: int, sequence_number: int) -> Release:
        packet = rows.packet(row, sequence_number)
        release = Release(packet, self._parts.encoders, rows.fault(row))
        for wire_format in self.fanout.wire_formats:
            release.prepare(wire_format)
        return release


class _Builder:
    """Builds packets ahead of the playhead from the blocks that prefetch sends."""

    def __init__(self, playback: Playback, blocks: trio.MemoryReceiveChannel[Block]) -> None:
        self._playback = playback
        self._assembler = playback._parts.assembler
        self._blocks = blocks
        self._applied = playback._applied
        self._rows: SentRows | None = None
        self._row = 0
        head = playback.playhead
        self._sequence_number = head.sequence_number
        self._loop = head.loop
        self._left_in_loop = head.selection.length - head.position
        self.waited = False

    async def fill(self, built: deque[Release]) -> None:
        """Build some ahead when few are left; wait for a block only when there is none at all."""
        self.waited = False
        if len(built) > _BUILT_LEFT:
            return
        while len(built) < _BUILT_AHEAD:
            if self._rows is None or self._row == len(self._rows):
                block = await self._next_block(built)
                if block is None:
                    return
                self._rows = SentRows(self._assembler, block, self._loop, self._applied)
                self._row = 0
            built.append(self._playback._build(self._rows, self._row, self._sequence_number))
            self._row += 1
            self._sequence_number += 1
            self._left_in_loop -= 1
            if not self._left_in_loop:
                self._loop += 1
                self._left_in_loop = self._playback.playhead.selection.length

    async def _next_block(self, built: deque[Release]) -> Block | None:
        """The block that follows; None when there is none yet, or none any more."""
        block: Block | None
        try:
            block = self._blocks.receive_nowait()
        except trio.WouldBlock:
            block = None
        except trio.EndOfChannel:
            return None
        if self._rows is not None:
            # The reserve is lowest when a block has been used up.
            waiting = 0 if block is None else len(block.counts)
            self._playback.timing.depth(len(built) + waiting)
        if block is not None or built:
            return block
        self.waited = True
        try:
            with self._playback.running_dry():
                return await self._blocks.receive()
        except trio.EndOfChannel:
            return None
