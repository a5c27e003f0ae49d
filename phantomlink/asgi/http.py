"""One HTTP request of an ASGI server, answered by the dispatch.

An answer may be ready before the whole body has been sent: a path that there is not, a body that is
too long. Where the rest then comes in a later segment, hypercorn closes the connection, and with it
goes whatever the client asked next. So the end of an answer waits until the body has been received,
while it is read and thrown away. When the rest does not come, or does not end, the last `send` is
let through.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Protocol
from urllib.parse import quote

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.errors import BadHeadError, BodyTimeoutError, BodyTooLargeError
from phantomlink.outputs.view.entrance import ViewEntrance
from phantomlink.rest.dispatch import Answering, refusal
from phantomlink.rest.request import RequestHead, RunningServer
from phantomlink.rest.response import Response
from phantomlink.settings import Settings

_BODY_SECONDS = 30.0
_REST_SECONDS = 5.0
# Of a body that is too long, for a client that reads no answer before it has sent it all.
_REST_BYTES = 2**20
_CLOSE_SECONDS = 5.0


class AsgiServer(RunningServer, Protocol):
    """What is used of the application."""

    dispatch: Answering

    def get_views(self) -> ViewEntrance:
        """Who may watch sessions; raises UnavailableError before the start."""
        ...

    def get_settings(self) -> Settings:
        """What the server was told."""
        ...


def head_of(scope: Any) -> RequestHead:
    """First line and headers of a request or an upgrade, as they were sent."""
    # Not what has been decoded: that may have been another path.
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    root = scope.get("root_path") or ""
    client = scope.get("client")
    return RequestHead(
        method=scope.get("method", "GET"),
        path=path.partition("?")[0].removeprefix(root),
        query=scope["query_string"].decode("latin-1"),
        headers=[(name.lower(), value) for name, value in scope["headers"]],
        peer=None if client is None else client[0],
        scheme=scope.get("scheme") or "http",
        server=scope.get("server") or (),
    )


def arrived(app: AsgiServer, scope: Any) -> tuple[RequestHead, AccessPolicy]:
    """What a server hands over, and what lets it in."""
    head, policy = head_of(scope), app.get_access_policy()
    # Behind another server, this is when it is learned where that listens.
    if head.server:
        policy.warn_if_exposed(str(head.server[0]))
    return head, policy


async def answer_http(
    app: AsgiServer, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Answer one request.

    Args:
        app: the application.
        scope: of the request.
        receive: of the server.
        send: of the server.
    """
    head, policy = arrived(app, scope)
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in head.headers}:
        # h11 believes one, a proxy before it perhaps the other: what follows is not read.
        error = BadHeadError("got Content-Length and Transfer-Encoding, takes one of them")
        response = refusal(error, head, policy.origins)
        await _send(response.with_headers((("Connection", "close"),)), send)
        return
    body = RequestBody(receive, app.get_settings().max_body_bytes, head.content_length)
    response = await app.dispatch(head, body.read)
    await _send(response, send, body)


class RequestBody:
    """The body of one request: read whole, or thrown away.

    Args:
        receive: of the server.
        max_bytes: that are read.
        announced_bytes: by its Content-Length.

    Attributes:
        is_over: nothing more comes.
    """

    def __init__(
        self, receive: ASGIReceiveCallable, max_bytes: int, announced_bytes: int = 0
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._announced_bytes = announced_bytes
        self._n_bytes = 0
        self.is_over = False

    async def read(self) -> bytes:
        """All of it.

        Raises:
            BodyTooLargeError: it is too long.
            BodyTimeoutError: it has not come in time.
        """
        if self._announced_bytes > self._max_bytes:
            raise BodyTooLargeError(self._max_bytes)
        pieces: list[bytes] = []
        with trio.move_on_after(_BODY_SECONDS):
            while not self.is_over:
                pieces.append(await self._next())
                if self._n_bytes > self._max_bytes:
                    raise BodyTooLargeError(self._max_bytes)
            return b"".join(pieces)
        raise BodyTimeoutError(_BODY_SECONDS)

    async def throw_away(self) -> None:
        """Receive what is left of it, if that comes soon and is not much."""
        with trio.move_on_after(_REST_SECONDS):
            while not self.is_over and self._n_bytes <= _REST_BYTES:
                await self._next()

    async def throw_all_away(self) -> None:
        """Receive whatever comes, until the server says that the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self) -> bytes:
        event: Any = await self._receive()
        body: bytes = event.get("body", b"")
        self._n_bytes += len(body)
        self.is_over = not event.get("more_body", False)
        return body


async def _send(
    response: Response, send: ASGISendCallable, body: RequestBody | None = None
) -> None:
    """Send an answer; its end when the body of the request is over."""
    start: Any = {
        "type": "http.response.start",
        "status": response.status,
        "headers": response.raw_headers(),
    }
    await send(start)
    async with aclosing(response.pieces()) as pieces:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    end: Any = {"type": "http.response.body", "body": b"", "more_body": False}
    if body is not None:
        await body.throw_away()
    if body is None or body.is_over:
        await send(end)
        return
    # The server closes now, and waits until the application has taken what there is.
    with trio.move_on_after(_CLOSE_SECONDS, shield=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(body.throw_all_away)
            await send(end)
            nursery.cancel_scope.cancel()
