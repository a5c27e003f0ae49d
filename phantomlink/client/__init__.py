"""The client: what a program needs to listen to a session, steer it and answer it.

    from phantomlink.client import connect

    with connect(session="my-decoder") as stream:
        for packet in stream:
            print(packet.packet_id, packet.counts.sum(), packet.velocity)

`phantomlink.client.aio` has the same for asyncio. It needs websockets, msgpack and numpy, and
nothing of the server: the extra `client`.
"""

try:
    import websockets as _websockets  # noqa: F401 - asked for here, so that the error can say so
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "phantomlink.client needs the package websockets: pip install 'phantomlink[client]'",
        name="websockets",
    ) from error

from phantomlink.client.collecting import Collected, collect
from phantomlink.client.errors import (
    ClientError,
    MessageError,
    RefusedError,
    StreamChangedError,
    StreamClosedError,
    UnreachableError,
)
from phantomlink.client.gaps import Gaps
from phantomlink.client.packet import Packet, StreamInfo
from phantomlink.client.session import Session
from phantomlink.client.stream import Stream, connect

__all__ = [
    "ClientError",
    "Collected",
    "Gaps",
    "MessageError",
    "Packet",
    "RefusedError",
    "Session",
    "Stream",
    "StreamChangedError",
    "StreamClosedError",
    "StreamInfo",
    "UnreachableError",
    "collect",
    "connect",
]
