"""Reads the head of a connection's first request, to see which worker it is for."""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11
import trio

from phantomlink.cluster.relay_header import NAME

_READ_BYTES = 64 * 1024
_RELAY = NAME.lower().encode()
# Heads as nearly all are: h11 takes longer to read one than all else that is done here. What this
# does not match, and what other nodes send, is h11's affair.
_PLAIN = re.compile(
    rb"([A-Z]+) ([!-~]+) HTTP/1\.1\r\n(?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)+\r\n"
)


@dataclass(frozen=True, slots=True)
class FirstHead:
    """What has come.

    Attributes:
        received: all of it, to be read once more by the worker.
        method: in upper case; "" where it cannot be read: a worker says so.
        path: as sent.
        query: as sent, without the question mark.
        relay: what another node says of it; None for a client's own.
    """

    received: bytes
    method: str = ""
    path: str = ""
    query: str = ""
    relay: str | None = None

    @property
    def upgrades(self) -> bool:
        """Whether it asks for another protocol: a WebSocket."""
        return b"upgrade:" in self.received.lower()


async def read_first_head(stream: trio.SocketStream, max_head_bytes: int) -> FirstHead | None:
    """The head of the request that comes next; None when the client leaves before.

    Args:
        stream: the connection.
        max_head_bytes: that an incomplete head may have; workers measure whole ones.
    """
    received = bytearray()
    while True:
        data = await stream.receive_some(_READ_BYTES)
        if not data:
            return None
        received += data
        try:
            head = first_head(bytes(received), max_head_bytes)
        except h11.RemoteProtocolError as error:
            # It holds itself by a frame of h11's, and with it all that has been read.
            error.__traceback__ = None
            return FirstHead(bytes(received))
        if head is not None:
            return head


def first_head(received: bytes, max_head_bytes: int) -> FirstHead | None:
    """The head at the beginning of some bytes; None while it is not complete.

    Raises:
        h11.RemoteProtocolError: it cannot be read.
    """
    if (plain := _PLAIN.match(received)) and _RELAY not in plain[0].lower():
        path, _, query = plain[2].decode("ascii").partition("?")
        return FirstHead(received, plain[1].decode("ascii"), path, query)
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=max_head_bytes)
    parser.receive_data(received)
    event = parser.next_event() if received else h11.NEED_DATA
    if event is h11.NEED_DATA:
        return None
    if not isinstance(event, h11.Request):
        return FirstHead(received)
    path, _, query = event.target.decode("latin-1").partition("?")
    relay = next((value for name, value in event.headers if name == _RELAY), None)
    return FirstHead(
        received,
        event.method.decode("ascii"),
        path,
        query,
        None if relay is None else relay.decode("latin-1"),
    )
