"""What sessions on bins of one width share, made of the bins."""

from __future__ import annotations

import trio

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.fanout import Encoders
from phantomlink.engine.playback import PlaybackParts
from phantomlink.engine.prefetch import BlockReader
from phantomlink.engine.recording_recovery import RecordingRecovery
from phantomlink.recordings.bins import Bins
from phantomlink.scheduling.clock import Clock
from phantomlink.scheduling.idle_collector import IdleGarbageCollector
from phantomlink.scheduling.phases import PhaseAllocator
from phantomlink.wire.packet import StreamHeader


def parts_of(
    bins: Bins,
    thread: trio.CapacityLimiter,
    *,
    recovery: RecordingRecovery | None = None,
    loop: bool,
    clock: Clock,
    phases: PhaseAllocator,
    collector: IdleGarbageCollector,
) -> PlaybackParts:
    """The parts of playbacks of these bins.

    Args:
        bins: to play.
        thread: in which the recording is read.
        recovery: of a recording that can be lost and come back; None: a failed read is an error.
        loop: whether to start again after the last bin.
        clock: time.
        phases: who ticks when.
        collector: of garbage.
    """
    return PlaybackParts(
        reader=BlockReader(bins, thread, recovery),
        assembler=PacketAssembler(bins),
        encoders=Encoders(StreamHeader(len(bins.unit_ids), bins.grid.bin_size_ms)),
        loop=loop,
        clock=clock,
        phases=phases,
        collector=collector,
    )
