"""Reads ahead of the playhead, so that no tick waits for the recording.

A small recording lies in memory as bins and is read where it is. A large one is read in the
recording's worker thread: h5py has one lock for everything, and a call on the event loop
would wait for it (171 ms, measured) while a worker reads. What happens when it cannot be read is
said in recovery.py.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import trio

from phantomlink.engine.recording_recovery import RecordingRecovery
from phantomlink.engine.selection import Selection
from phantomlink.recordings.bins import Bins, Block
from phantomlink.scheduling.worker_thread import run_in_thread_patiently

# One block is played while one waits in the channel and one is being read.
BLOCK_SECONDS = 1.0
BLOCKS_BUFFERED = 1
# Bounds the memory of a playback at high rates: 2 MiB a block.
MAX_BLOCK_COUNTS = 1 << 20


class BlockReader:
    """Reads blocks of one recording, in the right thread.

    Args:
        bins: the recording at one bin width.
        limiter: of one token, shared by all that read this recording.
        recovery: of a recording that can be lost and come back; None: a failed read is an error.
    """

    def __init__(
        self, bins: Bins, limiter: trio.CapacityLimiter, recovery: RecordingRecovery | None = None
    ) -> None:
        self.bins = bins
        self.recovery = recovery
        self._limiter = limiter
        self._most_bins = max(1, MAX_BLOCK_COUNTS // len(bins.unit_ids))

    def block_bins(self, rate_hz: Fraction) -> int:
        """Bins of a block for a playback that sends so many packets a second."""
        return min(max(1, int(BLOCK_SECONDS * rate_hz)), self._most_bins)

    def read_nowait(self, start: int, stop: int) -> Block | None:
        """Bins [start, stop) if they need no waiting, else None."""
        return self.bins.read(start, stop) if self.bins.in_memory else None

    async def read(self, start: int, stop: int) -> Block:
        """Bins [start, stop).

        Cancelled: the thread finishes its read, and what it read is dropped.

        Raises:
            RecordingError: the file cannot be read.
        """
        return await self._read(start, stop, patiently=False)

    async def read_patiently(self, start: int, stop: int) -> Block:
        """As `read`, but where there is a recovery it waits until the file can be read.

        Raises:
            RecordingError: the file cannot be read, or never can these bins.
        """
        return await self._read(start, stop, patiently=True)

    async def _read(self, start: int, stop: int, *, patiently: bool) -> Block:
        if self.bins.in_memory:
            await trio.lowlevel.checkpoint()
            return self.bins.read(start, stop)
        work = partial(self.bins.read, start, stop)
        if self.recovery is None:
            return await run_in_thread_patiently(work, limiter=self._limiter)
        return await self.recovery.read(work, patiently=patiently)


async def prefetch(
    reader: BlockReader,
    selection: Selection,
    position: int,
    blocks: trio.MemorySendChannel[Block],
    *,
    block_bins: int,
    loop: bool,
) -> None:
    """Send the blocks of a selection, from a position on, until cancelled or played out.

    The channel is bounded: when it is full, this waits. It is closed at the end.

    Raises:
        RecordingError: the file cannot be read, and cannot come back; nothing stands in for what
            is missing.
    """
    # Not `async with`: a cancellation at its end would take the place of a failed read.
    with blocks:
        for start, stop in selection.runs_from(position, block_bins, loop=loop):
            await blocks.send(await reader.read_patiently(start, stop))
