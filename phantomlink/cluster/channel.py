"""Messages and descriptors between two processes of this machine, in order.

A pair of AF_UNIX sockets keeps what has been sent also when the sender dies: what a worker has
written, the parent reads. A message is a row of packets, since a packet must fit in the socket's
buffer: each begins with one byte that tells whether more follow.
"""

from __future__ import annotations

import socket
from array import array
from collections import deque
from typing import Generic, TypeVar

import msgspec
import trio

ReceivedT = TypeVar("ReceivedT")

_PACKET_BYTES = 48 * 1024
_LAST, _MORE = b"\0", b"\1"
_FD_BYTES = array("i").itemsize


class Channel(Generic[ReceivedT]):
    """One end of the pair.

    Args:
        sock: AF_UNIX, SOCK_SEQPACKET; closed with the channel.
        received: the messages that come from the other end.
    """

    def __init__(self, sock: socket.socket, received: type[ReceivedT]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._decoder: msgspec.msgpack.Decoder[ReceivedT] = msgspec.msgpack.Decoder(received)
        self._outbox: deque[tuple[bytes, socket.socket | None]] = deque()
        self._flushing = trio.Event()
        self._flushed = trio.Event()
        self._flushed.set()
        self.is_broken = False

    def send_nowait(self, message: msgspec.Struct, carried: socket.socket | None = None) -> None:
        """Send, now or as soon as the other end takes it. After its end, nothing happens.

        Args:
            message: what to say.
            carried: a socket that goes with it; it is closed here once it has gone.
        """
        data = msgspec.msgpack.encode(message)
        pieces = [data[at : at + _PACKET_BYTES] for at in range(0, len(data), _PACKET_BYTES)]
        for n, piece in enumerate(pieces):
            more = _LAST if n == len(pieces) - 1 else _MORE
            self._outbox.append((more + piece, carried if n == 0 else None))
        self._flush()

    async def flushed(self) -> None:
        """Wait until everything has been sent, or the other end is gone."""
        await self._flushed.wait()

    async def run(self) -> None:
        """Send what could not be sent at once, until cancelled."""
        while True:
            self._flushing = trio.Event()
            if not self._outbox:
                await self._flushing.wait()
            await trio.lowlevel.wait_writable(self._sock)
            self._flush()

    async def receive(self) -> tuple[ReceivedT, socket.socket | None] | None:
        """The next message, and the socket that came with it; None when the other end is gone.

        Cancelled between two packets of a message, it loses that message.
        """
        data, carried = bytearray(), None
        while True:
            packet, came = await self._receive_packet()
            carried = carried or came
            if not packet:
                self._break()
                return None
            data += memoryview(packet)[1:]
            if packet[:1] == _LAST:
                return self._decoder.decode(data), carried

    def close(self) -> None:
        """Nothing more is sent or received."""
        self._break()
        self._sock.close()

    async def _receive_packet(self) -> tuple[bytes, socket.socket | None]:
        await trio.lowlevel.checkpoint()
        while True:
            try:
                packet, ancillary, _, _ = self._sock.recvmsg(
                    _PACKET_BYTES + 1, socket.CMSG_LEN(_FD_BYTES), socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)
                continue
            except ConnectionError:
                return b"", None
            descriptors = array("i")
            for _, kind, content in ancillary:
                if kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(content[: len(content) // _FD_BYTES * _FD_BYTES])
            return packet, socket.socket(fileno=descriptors[0]) if descriptors else None

    def _flush(self) -> None:
        while self._outbox and not self.is_broken:
            packet, carried = self._outbox[0]
            rights = (
                []
                if carried is None
                else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [carried.fileno()]))]
            )
            try:
                self._sock.sendmsg([packet], rights)
            except BlockingIOError:
                self._flushed = trio.Event() if self._flushed.is_set() else self._flushed
                self._flushing.set()
                return
            except OSError:
                self._break()
                return
            self._outbox.popleft()
            if carried is not None:
                carried.close()
        if self.is_broken:
            self._break()
        self._flushed.set()

    def _break(self) -> None:
        self.is_broken = True
        for _, carried in self._outbox:
            if carried is not None:
                carried.close()
        self._outbox.clear()
        self._flushed.set()


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a new channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
