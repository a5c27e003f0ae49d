"""The listener whose packets wait for Redis."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from phantomlink.engine.fanout import Release
from phantomlink.engine.status import ClientBacklog

BRAND = "brand"
"""The kind of output, and the transport of its packets."""


class BrandSink:
    """Keeps packets until they are taken; the oldest go first where there are too many.

    Args:
        most: packets that may wait.
        on_end: told why no more packets come: a WebSocket close code.
    """

    wire_format = None
    transport = BRAND
    was_given_up = False
    backlog: ClientBacklog | None = None
    is_listening = True
    is_deferred = False

    def __init__(self, most: int, on_end: Callable[[int], None]) -> None:
        self._most = most
        self._waiting: deque[Release] = deque()
        self._statuses: deque[str] = deque(maxlen=most)
        self._came = trio.Event()
        self._on_end = on_end
        self.dropped = 0

    def offer_nowait(self, release: Release) -> None:
        """Keep the packet for the task that sends."""
        if len(self._waiting) == self._most:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(release)
        self._came.set()

    def tell(self, status: str) -> None:
        """Keep what the node is to say of itself."""
        self._statuses.append(status)
        self._came.set()

    async def take(self) -> tuple[list[Release], list[str]]:
        """The packets and statuses that have come: at least one of either.

        They wait no more: who takes them sends them.
        """
        await self._came.wait()
        self._came = trio.Event()
        taken = list(self._waiting), list(self._statuses)
        self._waiting.clear()
        self._statuses.clear()
        return taken

    def lose(self, n_packets: int) -> None:
        """Packets that were taken could not be sent."""
        self.dropped += n_packets

    def stream_changed(self) -> None:
        """Entries carry no description of the stream."""

    def end(self, code: int, reason: str) -> None:
        """No more packets come until it is subscribed again."""
        self._on_end(code)
