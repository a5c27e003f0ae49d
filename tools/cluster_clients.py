"""Clients of many sessions in one thread, which come back at once when they are cut off.

What is read is kept as it came and decoded afterwards: the clients have to leave the cores to the
servers.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

_AGAIN_SECONDS = 0.01
# Who is cut off comes back at once, and 1000 who come first do not come all at once.
_COMING = 5
_READ_SECONDS = 0.003
# Of those who do not ask when a packet came: four packets of 40 Hz at once, a part at each look.
_LOOKS = 20
_LOOK_SECONDS = 0.005
_SILENT_SECONDS = 0.5
# Python makes room for as many, each time.
_READ_BYTES = 8192
_BINARY = 2
_CLOSE, _PACKET_BYTES = b"\x88", 200


@dataclass(eq=False)
class Connection:
    """One connection of a client.

    Attributes:
        sock: of it.
        at: number of the address.
        chunks: what was read, with when, monotonic s.
        last: when something came.
    """

    sock: socket.socket
    at: int
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    def read(self) -> bool:
        """Take what has come; whether the connection goes on."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if data:
            self.last = time.monotonic()
            self.chunks.append((self.last, data))
            if not _is_close(data):
                return True
        self.sock.close()
        return False


@dataclass
class Client:
    """What the client of one session got, over all its connections: bytes, read afterwards.

    Attributes:
        code: of the session.
        at: number of the address that it is at, or tries next.
        tries_others: whether there are several addresses.
        connections: from the first to the last.
    """

    code: str
    at: int = 0
    tries_others: bool = False
    connections: list[Connection] = field(default_factory=list)

    def connect(self, addresses: Sequence[tuple[str, int]]) -> Connection | None:
        """Open a connection and ask for the stream; None where nobody is there."""
        at = self.at % len(addresses)
        host, port = addresses[at]
        try:
            sock = socket.create_connection((host, port), timeout=1)
            sock.sendall(
                f"GET /stream/binary/{self.code} HTTP/1.1\r\nHost: {host}:{port}\r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
            )
        except OSError:
            return None
        sock.setblocking(False)
        self.connections.append(Connection(sock, at))
        return self.connections[-1]

    def messages(self) -> Iterator[tuple[int, float, Any]]:
        """(connection, when, decoded) of every message."""
        for number, connection in enumerate(self.connections):
            frames = _frames(connection.chunks)
            yield from ((number, at, msgpack.unpackb(data)) for at, data in frames)


def _is_close(data: bytes) -> bool:
    """Whether what has come is, or ends with, the close of a WebSocket; packets are longer."""
    at = data.rfind(_CLOSE) if len(data) < _PACKET_BYTES else -1
    return at >= 0 and len(data) - at > 3 and data[at + 1] == len(data) - at - 2


def _frames(chunks: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """(when its last byte came, content) of every message of one connection."""
    buffer, is_open = bytearray(), False
    for at, data in chunks:
        buffer += data
        if not is_open:
            head, end, rest = bytes(buffer).partition(b"\r\n\r\n")
            if not end:
                continue
            if not head.startswith(b"HTTP/1.1 101"):
                return
            buffer, is_open = bytearray(rest), True
        while len(buffer) >= 2:
            length, start = buffer[1] & 127, 2
            if length >= 126:
                start = 4 if length == 126 else 10
                length = int.from_bytes(buffer[2:start], "big")
            if len(buffer) < start + length:
                break
            if buffer[0] & 15 == _BINARY:
                yield at, bytes(buffer[start : start + length])
            del buffer[: start + length]


class Crowd:
    """All clients, read by one thread that does nothing else.

    A client that is cut off comes back at once; with several addresses, at the next one. There, one
    to whom nothing comes for half a second tries the next one too, and keeps the old connection, so
    that whatever still comes on it is seen.

    Args:
        clients: that listen.
        addresses: host and port of each node.
    """

    def __init__(self, clients: Sequence[Client], addresses: Sequence[tuple[str, int]]) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients = clients
        self._waiting = deque((0.0, client) for client in clients)
        self.addresses = list(addresses)

    def listen(self, seconds: float) -> None:
        """Read for so long; who is not connected comes, or comes back."""
        end = time.monotonic() + seconds
        looked = time.monotonic()
        while (now := time.monotonic()) < end:
            for _ in range(_COMING):
                if self._waiting and self._waiting[0][0] <= now:
                    self._come(self._waiting.popleft()[1])
            # Many at a time: to wake for each packet would take the core that the server needs.
            time.sleep(_READ_SECONDS)
            for key, _ in self._selector.select(0):
                client, connection = key.data
                if not connection.read():
                    self._selector.unregister(key.fileobj)
                    if connection is client.connections[-1]:
                        self._come_later(client)
            if len(self.addresses) > 1 and now - looked > 0.1:
                looked = now
                self._leave_silent(now)

    def join(self, clients: Sequence[Client]) -> None:
        """These come, too."""
        self._clients = [*self._clients, *clients]
        self._waiting.extend((0.0, client) for client in clients)

    def collect(self, seconds: float) -> None:
        """Read for so long as cheaply as can be: when something came is known to 0.1 s only.

        Nobody comes back: what is cut off is missing in what is judged.
        """
        open_now = [key.data[1] for key in self._selector.get_map().values()]
        parts = [open_now[n::_LOOKS] for n in range(_LOOKS)]
        end, looks = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            part = parts[looks % _LOOKS]
            # An ended one has no descriptor any more.
            part[:] = [connection for connection in part if connection.read()]
            looks += 1

    def _come(self, client: Client) -> None:
        connection = client.connect(self.addresses)
        if connection is None:
            self._come_later(client)
        else:
            for old in client.connections[:-1]:
                # Nothing has come on it, and nothing is to.
                if not old.chunks and old.sock.fileno() >= 0:
                    self._selector.unregister(old.sock)
                    old.sock.close()
            self._selector.register(connection.sock, selectors.EVENT_READ, (client, connection))

    def _come_later(self, client: Client) -> None:
        client.at += 1
        self._waiting.append((time.monotonic() + _AGAIN_SECONDS, client))

    def _leave_silent(self, now: float) -> None:
        waiting = {id(client) for _, client in self._waiting}
        for client in self._clients:
            is_silent = client.connections and now - client.connections[-1].last > _SILENT_SECONDS
            if is_silent and id(client) not in waiting:
                self._come_later(client)
