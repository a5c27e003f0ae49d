"""The head of a new connection: which server it is for, decided on a complete, checked head.

The one port is shared: WebSocket upgrades of `/stream/...` go to trio-websocket, all else to
hypercorn. Routing by a guess about half a request, or by our own idea of a header that the next
parser reads in another way, is how requests are smuggled: so h11 parses the head, and what is
not plain is refused.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import h11
from werkzeug.datastructures import Headers

from phantomlink.errors import BadHeadError, PhantomLinkError
from phantomlink.outputs.view.view_request import VIEW_PATH, VIEW_PREFIX
from phantomlink.outputs.websocket.admission import STREAM_PREFIX, StreamRequest
from phantomlink.rest.response import error_response

MAX_HEAD_BYTES = 64 * 1024
_TOO_LARGE = 431
_WEBSOCKETS = (STREAM_PREFIX.encode(), VIEW_PREFIX.encode())


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request.

    Attributes:
        stream_request: what it asks of a stream or a view; None when it is for the HTTP server.
        method, target, http_version: the first line, as the client sent it.
        raw_headers: names in lower case, and values.
    """

    stream_request: StreamRequest | None
    method: str
    target: str
    http_version: str
    raw_headers: tuple[tuple[bytes, bytes], ...]

    @property
    def headers(self) -> Headers:
        """All headers, by name in any case."""
        return _texts(self.raw_headers)


class HeadReader:
    """Takes bytes until the head is complete; then it may frame the answer to it.

    Args:
        max_head_bytes: that an incomplete head may have.
    """

    def __init__(self, max_head_bytes: int = MAX_HEAD_BYTES) -> None:
        self._max_head_bytes = max_head_bytes
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=max_head_bytes)

    def feed(self, data: bytes) -> Head | None:
        """The head, or None when more bytes are needed.

        Raises:
            BadHeadError: it is not HTTP/1.1, too large, or an upgrade that is not plain.
        """
        try:
            self._h11.receive_data(data)
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            # It holds itself by a frame of h11's, and with it all that has been read.
            error.__traceback__ = None
            status = error.error_status_hint
            if status == _TOO_LARGE:
                what = f"first line and headers: takes {self._max_head_bytes} bytes at most"
                raise BadHeadError(f"{what} (PHANTOM_MAX_HEAD_BYTES)", status) from error
            # Without the line that h11 quotes: it may be the one with the token.
            said = str(error).partition(": b")[0]
            raise BadHeadError(f"not a request that can be read: {said}", status) from None
        if event is h11.NEED_DATA:
            return None
        if not isinstance(event, h11.Request):
            raise BadHeadError("the connection was closed before a request was complete")
        return _read_request(event)

    def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        """A whole answer to the request, which must be one without a body.

        It says that the connection closes if the client asked for that.

        Args:
            status: of the answer.
            headers: of the answer, its length among them.
            body: of that length; none for a HEAD.
        """
        connection = self._h11
        end = connection.next_event()
        assert isinstance(end, h11.EndOfMessage)
        parts = (
            connection.send(h11.Response(status_code=status, headers=headers)),
            connection.send(h11.Data(data=body)),
            connection.send(h11.EndOfMessage()),
        )
        return b"".join(part for part in parts if part is not None)

    @property
    def stays_open(self) -> bool:
        """Whether another request may follow the one that was answered."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    @property
    def rest(self) -> bytes:
        """What came behind the request that was answered."""
        return bytes(self._h11.trailing_data[0])


def problem_bytes(error: PhantomLinkError) -> bytes:
    """A whole HTTP/1.1 answer that refuses, and closes the connection."""
    response = error_response(error)
    headers = [*response.raw_headers(), (b"connection", b"close")]
    assert isinstance(response.body, bytes)
    connection = h11.Connection(h11.SERVER)
    # An answer without a request that h11 has seen: it may always be an error.
    parts = (
        connection.send(h11.Response(status_code=response.status, headers=headers)),
        connection.send(h11.Data(data=response.body)),
        connection.send(h11.EndOfMessage()),
    )
    return b"".join(part for part in parts if part is not None)


def _read_request(request: h11.Request) -> Head:
    raw_headers = tuple((name, value) for name, value in request.headers)
    headers: dict[bytes, list[bytes]] = {}
    for name, value in raw_headers:
        headers.setdefault(name, []).append(value)
    target = request.target
    first_line = (
        request.method.decode("ascii"),
        target.decode("latin-1"),
        request.http_version.decode("ascii"),
    )
    if b"websocket" not in _tokens(headers.get(b"upgrade", [])):
        return Head(None, *first_line, raw_headers)
    path_bytes = target.partition(b"?")[0]
    if not path_bytes.startswith(_WEBSOCKETS) and path_bytes != VIEW_PATH.encode():
        # hypercorn would accept the connection before the application could refuse it.
        raise BadHeadError(f"no WebSocket at {target.decode('latin-1')[:80]!r}", 404)
    _check_upgrade(request, headers)
    path, _, query = target.decode("ascii").partition("?")
    given = _texts(raw_headers)
    subprotocols = _tokens(headers.get(b"sec-websocket-protocol", []))
    asked = StreamRequest(
        path=path,
        query=query,
        origin=given.get("Origin"),
        user_agent=given.get("User-Agent", ""),
        subprotocols=tuple(token.decode() for token in subprotocols),
    )
    return Head(asked, *first_line, raw_headers)


def _texts(raw_headers: tuple[tuple[bytes, bytes], ...]) -> Headers:
    return Headers([(name.decode("ascii"), value.decode("latin-1")) for name, value in raw_headers])


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
