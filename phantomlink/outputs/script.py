"""A script that takes packets one by one: the queue it takes them from, and its own clock."""

from __future__ import annotations

import time
from collections import deque

import trio

from phantomlink.close_codes import CLOSE_INTERNAL_ERROR
from phantomlink.engine.fanout import Release
from phantomlink.scheduling.clock import WaitingTicks
from phantomlink.wire.encoder import WireFormat

# Two packets of which the second has overtaken the first, each of them twice.
_MOST_OF_A_TICK = 4


class PacketQueue:
    """A sink that keeps packets until a task takes them. When it is full, the oldest goes.

    Args:
        size: packets that it holds.

    Attributes:
        dropped: packets that went because nobody had taken them.
    """

    wire_format: WireFormat | None = None
    transport = "script"
    was_given_up = False
    backlog = None
    is_listening = True
    is_deferred = False

    def __init__(self, size: int) -> None:
        self.dropped = 0
        self._size = size
        self._releases: deque[Release] = deque()
        self._ended = False
        self._failure: BaseException | None = None
        self._arrived = trio.lowlevel.ParkingLot()
        self._taken = trio.lowlevel.ParkingLot()

    def offer_nowait(self, release: Release) -> None:
        """Keep the packet; drop the oldest one and count that, where there is no room."""
        if len(self._releases) == self._size:
            self._releases.popleft()
            self.dropped += 1
        self._releases.append(release)
        self._arrived.unpark()

    def stream_changed(self) -> None:
        """A script knows what it has asked for."""

    def end(self, code: int, reason: str) -> None:
        """No more packets come: what is kept can still be taken."""
        self._ended = True
        self._arrived.unpark_all()

    def fail(self, error: BaseException) -> None:
        """As `end`, but behind what is kept comes this error."""
        self._failure = error
        self.end(CLOSE_INTERNAL_ERROR, str(error))

    def clear(self) -> None:
        """Nothing that is kept is wanted any more."""
        self._releases.clear()

    async def take(self) -> Release | None:
        """The oldest packet; None when there are no more. Always a checkpoint.

        Cancelled: no packet has been taken.

        Raises:
            BaseException: what `fail` was given.
        """
        await trio.lowlevel.checkpoint()
        while not self._releases:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return None
            await self._arrived.park()
        self._taken.unpark()
        return self._releases.popleft()

    async def room(self, n: int) -> None:
        """Wait until there is room for n packets. Always a checkpoint."""
        await trio.lowlevel.checkpoint()
        while len(self._releases) + n > self._size:
            await self._taken.park()


class DemandClock(WaitingTicks):
    """Time of a playback that goes as fast as its packets are taken.

    It stands still while the queue is full and jumps to the next deadline when it is not: for the
    engine every tick is exactly on time, and it needs to know nothing of this. It serves one
    playback.

    Args:
        queue: that the playback fills.
    """

    def __init__(self, queue: PacketQueue) -> None:
        self._queue = queue
        self._now_ns = 0

    def now_ns(self) -> int:
        """The last deadline, ns."""
        return self._now_ns

    def wall_seconds(self) -> float:
        """Unix time, s."""
        return time.time()

    def yield_cpu(self, *, others_wait: bool = True) -> None:
        """Nobody waits for a moment."""

    async def wait_until(self, due_ns: int) -> int:
        """Wait for room in the queue; then it is that time."""
        await self._queue.room(_MOST_OF_A_TICK)
        self._now_ns = max(self._now_ns, due_ns)
        return self._now_ns
