"""What a playhead at work is, and the packet that it stands on; `Playback` adds its ticks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from phantomlink.engine.fanout import Fanout, Release
from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.perturbed import AppliedPerturbation, SentRows
from phantomlink.engine.selection import Playhead
from phantomlink.engine.status import PlaybackStatus
from phantomlink.engine.timing import TimingCounters
from phantomlink.recordings.trials import Filter

# Every start has to read first; what is over sooner is not told of.
_DRY_NS = 100_000_000
_BEING_READ = "the recording is being read"


class PlaybackState:
    """What can be read of a playback.

    Args:
        parts: what the session's playbacks share.
        playhead: where it is.
        may_play: whether the session lets its playbacks advance now.
        applied: what is done to its packets; None for nothing.

    Attributes:
        playhead: as given.
        fanout: those who have its packets.
        timing: what it counts.
    """

    def __init__(
        self,
        parts: PlaybackParts,
        playhead: Playhead,
        *,
        may_play: Callable[[], bool],
        applied: AppliedPerturbation | None,
    ) -> None:
        self._parts = parts
        self._may_play = may_play
        self._applied = applied
        self.playhead = playhead
        self.fanout = Fanout()
        self.timing = TimingCounters()
        self._dry_since_ns: int | None = None
        # The sequence number before which `step` lets it go on; None for no such limit.
        self._until: int | None = None

    @property
    def is_playing(self) -> bool:
        """Whether the playhead should be advancing now."""
        return self._may_play() and self.fanout.n_listening > 0 and not self.has_stepped

    @property
    def has_stepped(self) -> bool:
        """Whether it has sent all that `step` let it."""
        return self._until == self.playhead.sequence_number

    @property
    def is_stepping(self) -> bool:
        """Whether `step` limits how far it goes."""
        return self._until is not None

    @property
    def waiting_for(self) -> str | None:
        """Why it does not advance although it should: the recording gives no data; else None."""
        if self._dry_since_ns is None or not self.is_playing:
            return None
        if self._parts.clock.now_ns() - self._dry_since_ns < _DRY_NS:
            return None
        recovery = self._parts.reader.recovery
        return (recovery and recovery.reason) or _BEING_READ

    def status(self, wanted: Filter) -> PlaybackStatus:
        """It now.

        Args:
            wanted: the filter that it plays.
        """
        head, timing = self.playhead, self.timing
        waiting_for = self.waiting_for
        return PlaybackStatus(
            filter=wanted,
            current_packet=head.bin_index,
            sequence_number=head.sequence_number,
            loop=head.loop,
            total_packets=head.selection.length,
            connections=self.fanout.n_listening,
            is_playing=self.is_playing and waiting_for is None,
            waiting_for=waiting_for,
            packets=timing.packets,
            stalls=timing.stalls,
            overruns=timing.overruns,
        )

    @contextmanager
    def running_dry(self) -> Iterator[None]:
        """While nothing has been read ahead, and what comes next is waited for."""
        self._dry_since_ns = self._parts.clock.now_ns()
        try:
            yield
        finally:
            self._dry_since_ns = None

    async def peek(self) -> Release:
        """The packet at the playhead, without sending it.

        Raises:
            RecordingError: it cannot be read.
        """
        return await self.peek_later()()

    def peek_later(self) -> Callable[[], Awaitable[Release]]:
        """As `peek`: what makes the packet that is at the playhead now, as it is perturbed now."""
        head = self.playhead
        return partial(self._made, head.bin_index, head.sequence_number, head.loop, self._applied)

    async def _made(
        self, bin_index: int, sequence_number: int, loop: int, applied: AppliedPerturbation | None
    ) -> Release:
        reader = self._parts.reader
        block = reader.read_nowait(bin_index, bin_index + 1)
        if block is None:
            block = await reader.read_patiently(bin_index, bin_index + 1)
        return self._build(
            SentRows(self._parts.assembler, block, loop, applied), 0, sequence_number
        )

    def _build(self, rows: SentRows, row: int, sequence_number: int) -> Release:
        packet = rows.packet(row, sequence_number)
        release = Release(packet, self._parts.encoders, rows.fault(row))
        for wire_format in self.fanout.wire_formats:
            release.prepare(wire_format)
        return release
