"""A connection whose beginning has been read to see what it is."""

from __future__ import annotations

import trio


class ReplayStream(trio.abc.HalfCloseableStream):
    """A connection of which some bytes have been read already, whole again.

    Its senders take turns: a connection may be ended while something is still being sent on it.
    """

    def __init__(self, stream: trio.SocketStream, received: bytes) -> None:
        self._stream = stream
        self._received = received
        self._sending = trio.StrictFIFOLock()
        self.socket = stream.socket

    @property
    def is_replaying(self) -> bool:
        """Whether bytes that were read first are still to come."""
        return bool(self._received)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, those that were read first."""
        if self._received:
            await trio.lowlevel.checkpoint()
            n = len(self._received) if max_bytes is None else max_bytes
            data, self._received = self._received[:n], self._received[n:]
            return data
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As the connection has it, after those who came before."""
        async with self._sending:
            await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As the connection has it."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """As the connection has it, after those who came before."""
        async with self._sending:
            await self._stream.send_eof()

    async def aclose(self) -> None:
        """As the connection has it."""
        await self._stream.aclose()
