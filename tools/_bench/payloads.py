"""Packets of a running server, to be sent again by what the server is compared with."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from .frames import BINARY, packet_fields, parse_frame

# Two seconds at 40 Hz: enough that no alternative sends the same bytes again and again.
N_PACKETS = 80
_TIMEOUT_SECONDS = 30.0


def capture(host: str, port: int, code: str, n_packets: int = N_PACKETS) -> list[bytes]:
    """The messages of the first packets of a session, MessagePack as they came.

    Raises:
        OSError: the server cannot be reached, or stops sending.
        FrameError: what comes is not a stream of packets.
    """
    with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as connection:
        connection.sendall(
            f"GET /stream/binary/{code} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: aml0dGVyIGJlbmNobWFyaw==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        received = bytearray()
        while (head := received.find(b"\r\n\r\n")) < 0:
            received += _more(connection, bytes(received))
        if b" 101" not in received[: received.find(b"\r\n")]:
            raise OSError(f"the server refused the stream: {received.decode('utf-8', 'replace')}")
        at, packets = head + 4, list[bytes]()
        while len(packets) < n_packets:
            frame = parse_frame(received, at, len(received))
            if frame is None:
                received += _more(connection, b"")
                continue
            opcode, first, at = frame
            if opcode == BINARY and packet_fields(received, first, at) is not None:
                packets.append(bytes(received[first:at]))
        return packets


def save(packets: list[bytes], path: Path) -> None:
    """Write packets where the senders find them."""
    with path.open("wb") as out:
        for packet in packets:
            out.write(struct.pack(">I", len(packet)) + packet)


def load(path: Path) -> list[bytes]:
    """What `save` wrote."""
    return list(_split(path.read_bytes()))


def _split(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


def _more(connection: socket.socket, so_far: bytes) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise OSError(f"the server closed the connection {so_far.decode('utf-8', 'replace')}")
    return data
