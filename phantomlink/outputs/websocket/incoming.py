"""What one client sends: small messages to who takes them, all else to the WebSocket library."""

from __future__ import annotations

import socket
import time

import trio

from phantomlink.inputs.small_frames import SMALL_BYTES, SmallFrameReader
from phantomlink.outputs.websocket.message_receiver import MessageReceiver
from phantomlink.outputs.websocket.replay_stream import ReplayStream
from phantomlink.outputs.websocket.shared_reader import SharedReader, SharedReading


class Incoming:
    """The way in of one connection.

    A client of which nothing but small messages came the last time is read by the task that all
    such clients share, others by the task of their connection.

    Args:
        stream: the connection.
        sock: its socket.
        n_head: its first bytes, the upgrade request: what comes behind them is read only after the
            handshake. 0: all is read.
        reader: of all connections; None: this one is read on its own.
    """

    def __init__(
        self, stream: ReplayStream, sock: socket.socket, n_head: int, reader: SharedReader | None
    ) -> None:
        self._stream = stream
        self._socket = sock
        self._n_head = n_head
        self._reader = reader
        self._shared: SharedReading | None = None
        self._has_upgraded = trio.Event()
        if not n_head:
            self._has_upgraded.set()
        self._small_frames: SmallFrameReader | None = None
        self._receiver: MessageReceiver | None = None
        self._rest: bytes | None = None
        self._pause_seconds = 0.0

    def upgraded(self, max_message_bytes: int) -> None:
        """The handshake is over; messages that are larger are not taken out."""
        self._small_frames = SmallFrameReader(min(max_message_bytes, SMALL_BYTES))
        self._has_upgraded.set()

    def receive_with(self, receiver: MessageReceiver) -> None:
        """Give small messages to `receiver` from now on."""
        self._receiver = receiver

    async def receive_some(self, max_bytes: int | None) -> bytes:
        """The next bytes for the library; nothing at the end of the stream."""
        if self._n_head:
            n = self._n_head if max_bytes is None else min(max_bytes, self._n_head)
            data = await self._stream.receive_some(n)
            self._n_head -= len(data)
            return data
        await self._has_upgraded.wait()
        is_small = False
        while True:
            if is_small and self._reader is not None and self._reader.is_running:
                if self._shared is None:
                    self._shared = SharedReading(self._reader, self._socket, self._take)
                await self._shared.read()
            else:
                data = await self._stream.receive_some(max_bytes)
                if self._small_frames is None or self._receiver is None:
                    return data
                self._take(data, time.monotonic_ns())
            if self._rest is not None:
                return self._rest
            if self._pause_seconds > 0:
                await trio.sleep(self._pause_seconds)
            is_small = not self._stream.is_replaying

    def close(self) -> None:
        """The socket is about to be closed."""
        if self._shared is not None:
            self._shared.close()
        # Both know this stream: together they would stay until the oldest garbage is collected.
        self._shared = self._receiver = None

    def _take(self, data: bytes, arrived_ns: int) -> bool:
        """Whether more is to be read at once."""
        assert self._small_frames is not None
        assert self._receiver is not None
        messages, rest = self._small_frames.feed(data)
        for message in messages:
            self._receiver.receive(message.payload, message.is_text, arrived_ns)
        self._rest = rest if rest or not data else None
        self._pause_seconds = self._receiver.pause_seconds(arrived_ns)
        return self._rest is None and self._pause_seconds <= 0
