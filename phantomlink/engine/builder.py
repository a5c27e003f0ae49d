"""Builds packets ahead of a playhead, so that a tick has only to stamp and to send them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

import trio

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.fanout import Release
from phantomlink.engine.perturbed import AppliedPerturbation, SentRows
from phantomlink.engine.selection import Playhead
from phantomlink.engine.timing import TimingCounters
from phantomlink.recordings.bins import Block

# Built a few at a time: one after the other they find the code and the block in the CPU's caches,
# which a hundred other sessions have been through since the last tick. And at most so many, so
# that a change of what is built takes effect at once.
_BUILT_AHEAD = 5
_BUILT_LEFT = 1


class PacketBuilder:
    """The packets of one stretch of playing, from the blocks that prefetch sends.

    Args:
        head: whose packets, from where it stands; it advances as they leave, not here.
        blocks: what prefetch has read, from there on.
        build: makes the packet of a row, with this sequence number, and its frames.
        timing: told how much is read ahead.
        running_dry: entered while nothing has been read ahead, and what comes next is waited for.
        assembler: of the recording's packets.
        applied: what is done to them; None for nothing.
        until: sequence number that is not built any more; None for no such.

    Attributes:
        built: what is ready, in order; the tick takes it from the left.
        waited: whether the last `fill` had to wait for a block.
    """

    def __init__(
        self,
        head: Playhead,
        blocks: trio.MemoryReceiveChannel[Block],
        build: Callable[[SentRows, int, int], Release],
        timing: TimingCounters,
        running_dry: Callable[[], AbstractContextManager[None]],
        *,
        assembler: PacketAssembler,
        applied: AppliedPerturbation | None,
        until: int | None = None,
    ) -> None:
        self._until = until
        self.built: deque[Release] = deque()
        self.waited = False
        self._blocks = blocks
        self._build = build
        self._timing = timing
        self._running_dry = running_dry
        self._assembler = assembler
        self._applied = applied
        self._rows: SentRows | None = None
        self._row = 0
        self._sequence_number = head.sequence_number
        self._loop = head.loop
        self._loop_length = head.selection.length
        self._left_in_loop = head.selection.length - head.position

    @property
    def is_low(self) -> bool:
        """Whether so few are left that `fill` would build more."""
        return len(self.built) <= _BUILT_LEFT

    def skip(self, n: int) -> bool:
        """Let the next `n` packets go. False, and nothing has changed, where they are not read yet.

        A server that is overloaded skips often: what has been built and read behind stays.
        """
        unbuilt = n - len(self.built)
        if unbuilt <= 0:
            for _ in range(n):
                self.built.popleft()
            return True
        if self._rows is None or unbuilt > len(self._rows) - self._row:
            return False
        if unbuilt >= self._left_in_loop:
            return False
        self.built.clear()
        self._row += unbuilt
        self._sequence_number += unbuilt
        self._left_in_loop -= unbuilt
        return True

    async def fill(self) -> None:
        """Build some ahead when few are left; wait for a block only when there is none at all."""
        self.waited = False
        if not self.is_low:
            return
        while len(self.built) < _BUILT_AHEAD and self._sequence_number != self._until:
            if self._rows is None or self._row == len(self._rows):
                block = await self._next_block()
                if block is None:
                    return
                self._rows = SentRows(self._assembler, block, self._loop, self._applied)
                self._row = 0
            self.built.append(self._build(self._rows, self._row, self._sequence_number))
            self._row += 1
            self._sequence_number += 1
            self._left_in_loop -= 1
            if not self._left_in_loop:
                self._loop += 1
                self._left_in_loop = self._loop_length

    async def _next_block(self) -> Block | None:
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
            self._timing.depth(len(self.built) + waiting)
        if block is not None or self.built:
            return block
        self.waited = True
        try:
            with self._running_dry():
                return await self._blocks.receive()
        except trio.EndOfChannel:
            return None
