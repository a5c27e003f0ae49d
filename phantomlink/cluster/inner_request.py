"""A request of one worker to another, over a socket of this machine."""

from __future__ import annotations

import h11
import trio

from phantomlink.cluster.links import Links
from phantomlink.rest.request import RequestHead
from phantomlink.rest.response import Response

_READ_BYTES = 64 * 1024
# Said anew for the connection that the request is passed on by.
_OF_CONNECTION = frozenset(
    {b"connection", b"content-length", b"transfer-encoding", b"expect", b"keep-alive", b"upgrade"}
)
_OF_ANSWER = frozenset({"connection", "date", "content-length", "content-type", "vary"}) | {
    "x-content-type-options",
    "referrer-policy",
}


def request_bytes(head: RequestHead, body: bytes) -> bytes:
    """A request as it is passed on."""
    parser = h11.Connection(h11.CLIENT)
    target = head.path if not head.query else f"{head.path}?{head.query}"
    headers = [(name, value) for name, value in head.headers if name not in _OF_CONNECTION]
    headers += [(b"connection", b"close"), (b"content-length", str(len(body)).encode())]
    method = "GET" if head.method == "HEAD" else head.method
    sent = parser.send(h11.Request(method=method, target=target, headers=headers)) or b""
    if body:
        sent += parser.send(h11.Data(data=body)) or b""
    return sent + (parser.send(h11.EndOfMessage()) or b"")


async def ask(
    links: Links, node: str, head: RequestHead, body: bytes, seconds: float
) -> Response | None:
    """What another worker answers; None where the connection ends without.

    Raises:
        TooSlowError: it does not answer in time.
    """
    request = request_bytes(head, body)
    async with links.connect(node, request, head.peer or "") as stream:
        with trio.fail_after(seconds):
            return await read_response(stream)


async def read_response(stream: trio.SocketStream) -> Response | None:
    """The answer to the request that has been sent on a connection; None where none comes."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[(b"host", b"inner")]))
    parser.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body = bytearray()
    while True:
        try:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
                continue
        except (h11.RemoteProtocolError, trio.BrokenResourceError):
            return None
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            return None if head is None else _response(head, bytes(body))


def _response(head: h11.Response, body: bytes) -> Response:
    texts = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
    by_name = dict(texts)
    vary = tuple(
        name for name in (part.strip() for part in by_name.get("vary", "").split(",")) if name
    )
    return Response(
        body,
        head.status_code,
        by_name.get("content-type", ""),
        tuple((name, value) for name, value in texts if name not in _OF_ANSWER),
        tuple(name for name in vary if name != "Origin"),
    )
