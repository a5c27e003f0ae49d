"""Until when a process may send packets, where another one could take over its sessions."""

from __future__ import annotations

import trio


class Fence:
    """Set from outside as the process's lease goes on; asked before each tick.

    Attributes:
        until_ns: no packet leaves after it, monotonic ns.
    """

    def __init__(self) -> None:
        self.until_ns = -1
        self._moved = trio.Event()

    def move(self, until_ns: int) -> None:
        """Packets may leave until then."""
        self.until_ns = until_ns
        self._moved.set()
        self._moved = trio.Event()

    async def moved(self) -> None:
        """Wait until it is moved."""
        await self._moved.wait()
