"""What sessions on bins of one width share, made of the bins."""

from __future__ import annotations

import trio

from phantomlink.engine.assemble import PacketAssembler
from phantomlink.engine.clock import Clock
from phantomlink.engine.collector import SlackCollector
from phantomlink.engine.fanout import Encoders
from phantomlink.engine.phases import PhaseBook
from phantomlink.engine.playback import PlaybackParts
from phantomlink.engine.prefetch import BlockReader
from phantomlink.engine.supply import Supply
from phantomlink.source.bins import Bins
from phantomlink.wire.packet import StreamHeader


def parts_of(
    bins: Bins,
    thread: trio.CapacityLimiter,
    *,
    supply: Supply | None = None,
    loop: bool,
    clock: Clock,
    phases: PhaseBook,
    collector: SlackCollector,
) -> PlaybackParts:
    """The parts of playbacks of these bins.

    Args:
        bins: to play.
        thread: in which the recording is read.
        supply: of a recording that can be lost and come back; None: a read that fails is an error.
        loop: whether to start again after the last bin.
        clock: time.
        phases: who ticks when.
        collector: of garbage.
    """
    return PlaybackParts(
        reader=BlockReader(bins, thread, supply),
        assembler=PacketAssembler(bins),
        encoders=Encoders(StreamHeader(len(bins.unit_ids), bins.grid.bin_size_ms)),
        loop=loop,
        clock=clock,
        phases=phases,
        collector=collector,
    )
