"""What a request is for, decided on a complete, checked head. Pure.

The one port is shared: WebSocket upgrades of `/stream/...` and `/view/...` go to trio-websocket,
all else to the dispatch. Routing by a guess about half a request, or by our own idea of a header
that the next parser reads in another way, is how requests are smuggled: so h11 parses the head, and
what is not plain is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import h11

from phantomlink.errors import BadHeadError
from phantomlink.outputs.view.view_request import VIEW_PATH, VIEW_PREFIX
from phantomlink.outputs.websocket.admission import STREAM_PREFIX, StreamRequest
from phantomlink.rest.request import RequestHead

_WEBSOCKETS = (STREAM_PREFIX, VIEW_PREFIX)
_VERSIONS = frozenset({b"1.0", b"1.1"})


def read_head(
    request: h11.Request, peer: str | None = None, server: Sequence[str | int] = ()
) -> RequestHead:
    """First line and headers.

    Args:
        request: as h11 has it.
        peer: host of the other end of the connection.
        server: address and port of this end.

    Raises:
        BadHeadError: its version is not ours, or it has two lengths.
    """
    if request.http_version not in _VERSIONS:
        version = request.http_version.decode("ascii")
        raise BadHeadError(f"HTTP version: got {version}, takes 1.1", 505)
    headers = [(name, value) for name, value in request.headers]
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
        # h11 believes one, a proxy before it perhaps the other: what follows is not read.
        raise BadHeadError("got Content-Length and Transfer-Encoding, takes one of them")
    path, _, query = request.target.decode("latin-1").partition("?")
    return RequestHead(request.method.decode("ascii"), path, query, headers, peer, "http", server)


def stream_request_of(request: h11.Request, head: RequestHead) -> StreamRequest | None:
    """What it asks of a stream or a view; None when it is no WebSocket upgrade.

    Raises:
        BadHeadError: it is one that is not plain, or of another path.
    """
    headers: dict[bytes, list[bytes]] = {}
    for name, value in head.headers:
        headers.setdefault(name, []).append(value)
    if b"websocket" not in [t.lower() for t in _tokens(headers.get(b"upgrade", []))]:
        return None
    if not head.path.startswith(_WEBSOCKETS) and head.path != VIEW_PATH:
        raise BadHeadError(f"no WebSocket at {head.path[:80]!r}", 404)
    _check_upgrade(request, headers)
    subprotocols = _tokens(headers.get(b"sec-websocket-protocol", []))
    return StreamRequest(
        path=head.path,
        query=head.query,
        origin=head.get("origin"),
        user_agent=head.get("user-agent") or "",
        subprotocols=tuple(token.decode() for token in subprotocols),
        peer=head.peer or "",
    )


def _check_upgrade(request: h11.Request, headers: dict[bytes, list[bytes]]) -> None:
    """Refuse what one of the two parsers behind us would stumble over."""
    if request.method != b"GET" or request.http_version != b"1.1":
        raise BadHeadError("a WebSocket is opened by GET over HTTP/1.1")
    if b"upgrade" not in [t.lower() for t in _tokens(headers.get(b"connection", []))]:
        raise BadHeadError("Connection: takes Upgrade, beside Upgrade: websocket")
    if b"transfer-encoding" in headers or headers.get(b"content-length", [b"0"]) != [b"0"]:
        raise BadHeadError("a request that opens a WebSocket has no body")
    for name in (b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version"):
        if len(headers.get(name, [])) > 1:
            raise BadHeadError(f"{name.decode()}: got it more than once")
    for name in (b"host", b"origin", b"sec-websocket-protocol", b"sec-websocket-extensions"):
        for value in headers.get(name, []):
            if not value.isascii():
                raise BadHeadError(f"{name.decode()}: takes ASCII")
    if not request.target.isascii():
        raise BadHeadError("the path takes ASCII; other letters are percent-encoded")
    version = headers.get(b"sec-websocket-version", [b""])[0]
    if version != b"13":
        raise BadHeadError(
            f"Sec-WebSocket-Version: got {version.decode('latin-1')[:20]!r}, takes 13",
            426,
            (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")),
        )
    try:
        key = base64.b64decode(headers.get(b"sec-websocket-key", [b""])[0], validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 16:
        raise BadHeadError("Sec-WebSocket-Key: takes 16 bytes in base64")


def _tokens(values: list[bytes]) -> list[bytes]:
    """The members of a comma-separated header; names of upgrades and protocols."""
    return [token.strip() for value in values for token in value.split(b",") if token.strip()]
