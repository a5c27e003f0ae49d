"""What the playbacks of sessions on bins of one width share, and who makes it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from fractions import Fraction
from weakref import WeakKeyDictionary, WeakValueDictionary

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.fanout import Encoders
from phantomlink.engine.fence import Fence
from phantomlink.engine.open_recording import OpenRecording
from phantomlink.engine.prefetch import BlockReader
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.blind import BlindBins
from phantomlink.recordings.grid import BinGrid
from phantomlink.scheduling.clock import Clock
from phantomlink.scheduling.idle_collector import IdleGarbageCollector
from phantomlink.scheduling.phases import PhaseAllocator
from phantomlink.wire.packet import StreamHeader


@dataclass(frozen=True, slots=True, eq=False)
class EngineResources:
    """What all playbacks of a process share.

    Attributes:
        clock: time.
        phases: who ticks when.
        collector: of garbage, offered the time after each tick.
        loop: whether to start again after the last bin.
        has_records: whether other processes compute positions from the sessions' records: then a
            stall skips packets, where the deadlines would move otherwise.
        fence: until when packets may leave; None: always.
    """

    clock: Clock
    phases: PhaseAllocator
    collector: IdleGarbageCollector
    loop: bool
    has_records: bool = False
    fence: Fence | None = None


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class PlaybackParts:
    """What every playback of a session shares.

    Attributes:
        open_recording: the recording that is played.
        reader: of the recording at the session's bin width.
        assembler: of its packets.
        encoders: of its frames.
        loop: whether to start again after the last bin.
        clock: time.
        phases: who ticks when, in the whole server.
        collector: of garbage, offered the time after each tick.
        has_records: whether a stall skips packets, see `EngineResources`.
        fence: until when packets may leave; None: always.
    """

    open_recording: OpenRecording
    reader: BlockReader
    assembler: PacketAssembler
    encoders: Encoders
    loop: bool
    clock: Clock
    phases: PhaseAllocator
    collector: IdleGarbageCollector
    has_records: bool = False
    fence: Fence | None = None

    @property
    def bins(self) -> Bins:
        """The recording at the session's bin width."""
        return self.reader.bins

    @property
    def grid(self) -> BinGrid:
        """Where these bins lie on the recording's clock."""
        return self.reader.bins.grid


def make_parts(
    open_recording: OpenRecording, bins: Bins, resources: EngineResources
) -> PlaybackParts:
    """The parts of playbacks of these bins.

    Args:
        open_recording: that the bins are of.
        bins: to play.
        resources: of the process.
    """
    return PlaybackParts(
        open_recording=open_recording,
        reader=BlockReader(bins, open_recording.thread, open_recording.recovery),
        assembler=PacketAssembler(bins),
        encoders=Encoders(StreamHeader(len(bins.unit_ids), bins.grid.bin_size_ms)),
        loop=resources.loop,
        clock=resources.clock,
        phases=resources.phases,
        collector=resources.collector,
        has_records=resources.has_records,
        fence=resources.fence,
    )


def blind_parts(parts: PlaybackParts, test_trials: Collection[int]) -> PlaybackParts:
    """The same with the truth of some trials hidden.

    Raises:
        InvalidParameterError: the recording has no such trials.
    """
    bins = BlindBins(parts.bins, test_trials)
    opened = parts.open_recording
    return replace(
        parts,
        reader=BlockReader(bins, opened.thread, opened.recovery),
        assembler=PacketAssembler(bins),
    )


class PartsCache:
    """The parts of each open recording and bin rate, for as long as a session plays them.

    Args:
        resources: of the process.
    """

    def __init__(self, resources: EngineResources) -> None:
        self._resources = resources
        self._parts: WeakKeyDictionary[
            OpenRecording, WeakValueDictionary[Fraction, PlaybackParts]
        ] = WeakKeyDictionary()

    def bytes_of(self, open_recording: OpenRecording) -> int:
        """What the bins of a recording take that are played now, or kept."""
        by_rate = self._parts.get(open_recording)
        if by_rate is None:
            return 0
        return sum(parts.bins.memory_bytes for parts in by_rate.values())

    async def at_rate(self, open_recording: OpenRecording, rate_hz: Fraction) -> PlaybackParts:
        """What plays a recording at this rate, from which others may be playing already.

        Args:
            open_recording: to play.
            rate_hz: bins a second of the recording's clock.

        Raises:
            RecordingError: the file cannot be read.
        """
        by_rate = self._parts.setdefault(open_recording, WeakValueDictionary())
        parts = by_rate.get(rate_hz)
        if parts is None:
            bins = await open_recording.bins_at(rate_hz)
            # Somebody else may have asked for the same in the meantime.
            parts = by_rate.setdefault(rate_hz, make_parts(open_recording, bins, self._resources))
        return parts
