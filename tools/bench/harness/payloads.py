"""Packets of a running server, to be sent again by what the server is compared with."""

from __future__ import annotations

from pathlib import Path

import msgpack
from websockets.sync.client import connect

# Two seconds at 40 Hz: enough that no alternative sends the same bytes again and again.
N_PACKETS = 80
_TIMEOUT_SECONDS = 30.0


def capture(host: str, port: int, code: str, n_packets: int = N_PACKETS) -> list[bytes]:
    """The messages of the first packets of a session, MessagePack as they came.

    Raises:
        OSError: the server cannot be reached.
        websockets.exceptions.WebSocketException: it refuses the stream, or ends it.
    """
    packets: list[bytes] = []
    url = f"ws://{host}:{port}/stream/binary/{code}"
    with connect(url, open_timeout=_TIMEOUT_SECONDS, proxy=None) as stream:
        while len(packets) < n_packets:
            message = stream.recv(_TIMEOUT_SECONDS)
            if msgpack.unpackb(message)["type"] == "data":
                packets.append(bytes(message))
    return packets


def save(packets: list[bytes], path: Path) -> None:
    """Write packets where the senders find them."""
    path.write_bytes(msgpack.packb(packets))


def load(path: Path) -> list[bytes]:
    """What `save` wrote."""
    packets: list[bytes] = msgpack.unpackb(path.read_bytes())
    return packets
