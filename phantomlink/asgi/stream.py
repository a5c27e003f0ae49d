"""One WebSocket of an ASGI server. What is refused is refused before the upgrade."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable

from phantomlink.asgi.http import AsgiServer, arrived
from phantomlink.asgi.hypercorn_guard import CUT_OFF
from phantomlink.close_codes import CLOSE_INTERNAL_ERROR
from phantomlink.engine.session import Session
from phantomlink.errors import NotFoundError, PhantomLinkError, leaves
from phantomlink.outputs.view.entrance import answered_subprotocol
from phantomlink.outputs.view.sockets import AsgiViewSocket
from phantomlink.outputs.view.view_request import is_view_path
from phantomlink.outputs.websocket.admission import STREAM_PREFIX, Admission, StreamRequest
from phantomlink.outputs.websocket.asgi_client import CutOff, serve_asgi_client
from phantomlink.outputs.websocket.client_limits import ClientLimits
from phantomlink.rest.dispatch import refusal
from phantomlink.rest.metadata_message import MetadataMessages
from phantomlink.rest.request import RequestHead
from phantomlink.service.service import Service

logger = logging.getLogger(__name__)


class AsgiWebSocket:
    """An accepted WebSocket. When the client leaves, everything that `leaving` is around ends.

    Args:
        receive, send: of the server.
        leaving: cancelled when the client has left.
    """

    def __init__(
        self,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        leaving: trio.CancelScope,
    ) -> None:
        self._receive = receive
        self._send: Any = send
        self._leaving = leaving

    async def receive(self) -> bytes | str:
        """The client's next message."""
        event: Any = await self._receive()
        while event["type"] == "websocket.connect":
            event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self._leaving.cancel()
            await trio.sleep_forever()
        text: str | None = event.get("text")
        return text if text is not None else event.get("bytes") or b""

    async def send(self, data: bytes | str) -> None:
        """Send a message."""
        kind = "text" if isinstance(data, str) else "bytes"
        await self._send({"type": "websocket.send", kind: data})

    async def close(self, code: int, reason: str = "") -> None:
        """Close."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


async def serve_websocket(
    app: AsgiServer, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Serve one client or viewer until it leaves, or refuse it.

    Args:
        app: the application.
        scope: of the upgrade.
        receive: of the server.
        send: of the server.
    """
    head, policy = arrived(app, scope)
    requester = head.identity(trust_proxy=policy.trusts_proxy, is_websocket=True)
    with trio.CancelScope() as leaving:
        websocket = AsgiWebSocket(receive, send, leaving)
        try:
            policy.check(requester)
            service = app.get_service()
            if is_view_path(head.path):
                policy.connection_limits.check(requester.address, None)
                serve = app.get_views().enter(head.path, head.query)
                session = None
                subprotocol = answered_subprotocol(scope.get("subprotocols") or ())
            else:
                session, admission = await _enter_stream(service, head, scope, requester.address)
                subprotocol = admission.subprotocol
        except PhantomLinkError as error:
            await _refuse(app, head, scope, send, error)
            return
        accepting: Any = {"type": "websocket.accept", "subprotocol": subprotocol, "headers": []}
        with ExitStack() as held:
            code = None
            if session is not None:
                held.enter_context(session.reserved())
                code = session.code
            held.enter_context(policy.connection_limits.counted(requester.address, code))
            await send(accepting)
            try:
                if session is None:
                    await serve(AsgiViewSocket(websocket))
                else:
                    extensions: dict[str, Any] = scope.get("extensions") or {}
                    cut_off: CutOff | None = extensions.get(CUT_OFF)
                    base_url = head.base_url(trust_proxy=policy.trusts_proxy)
                    await serve_asgi_client(
                        websocket,
                        session,
                        admission,
                        MetadataMessages(service, base_url),
                        ClientLimits.of(service.settings),
                        cut_off,
                    )
            except* PhantomLinkError as group:
                failure = next(leaves(group))
                assert isinstance(failure, PhantomLinkError)
                await websocket.close(failure.close_code, str(failure))
            except* Exception:
                logger.exception("A stream failed and ends alone")
                await websocket.close(CLOSE_INTERNAL_ERROR, "internal error")


async def _enter_stream(
    service: Service, head: RequestHead, scope: Any, address: str
) -> tuple[Session, Admission]:
    if not head.path.startswith(STREAM_PREFIX):
        raise NotFoundError(
            f"no WebSocket at {head.path!r}; streams are at /stream/ and /stream/binary/, "
            "views at /view/"
        )
    return await service.enter(_request(head, scope), address)


def _request(head: RequestHead, scope: Any) -> StreamRequest:
    return StreamRequest(
        path=head.path,
        query=head.query,
        origin=head.get("origin"),
        user_agent=head.get("user-agent") or "",
        subprotocols=scope.get("subprotocols") or (),
    )


async def _refuse(
    app: AsgiServer,
    head: RequestHead,
    scope: Any,
    send: ASGISendCallable,
    error: PhantomLinkError,
) -> None:
    """Answer an upgrade that has not happened: a problem, or a close where servers know none."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        closing: Any = {"type": "websocket.close", "code": error.close_code}
        await send(closing)
        return
    response = refusal(error, head, app.get_access_policy().origins)
    start: Any = {
        "type": "websocket.http.response.start",
        "status": response.status,
        "headers": response.raw_headers(),
    }
    await send(start)
    assert isinstance(response.body, bytes)
    content: Any = {
        "type": "websocket.http.response.body",
        "body": response.body,
        "more_body": False,
    }
    await send(content)
