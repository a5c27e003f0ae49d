"""Builds the ASGI application: `hypercorn --worker-class trio phantomlink.app:app`.

Under asyncio, which is hypercorn's default, it runs Trio in a thread.
"""

from __future__ import annotations

from typing import Any

import sniffio
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Response, websocket
from quart_trio import QuartTrio

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.access.request_identity import RequestIdentity, read_request_identity
from phantomlink.asgi.asyncio_bridge import AsyncioBridge
from phantomlink.asgi.hypercorn_guard import CUT_OFF
from phantomlink.asgi.lifespan import Lifespan, leaving_when_refused
from phantomlink.asgi.request_body import RequestBody
from phantomlink.errors import BadHeadError, PhantomLinkError, UnavailableError
from phantomlink.outputs.websocket.admission import StreamRequest
from phantomlink.outputs.websocket.asgi_client import CutOff, serve_asgi_client
from phantomlink.outputs.websocket.client_limits import ClientLimits
from phantomlink.rest.metadata_message import MetadataMessages
from phantomlink.rest.parameters import client_base_url
from phantomlink.rest.polled import find_call, raw_answer
from phantomlink.rest.problems import problem_response
from phantomlink.rest.responses import error_answer
from phantomlink.rest.routes import register_routes
from phantomlink.service.service import Service
from phantomlink.settings import Settings, load_settings


class PhantomLinkApp(QuartTrio):
    """The application. Its service is there once it has started.

    Args:
        settings: what the server was told; None to read the environment at the start.
        recording: path or dataset name; None for the one that the settings name.
    """

    asgi_lifespan_class = Lifespan  # type: ignore[assignment]

    def __init__(self, settings: Settings | None = None, recording: str | None = None) -> None:
        super().__init__("phantomlink", static_folder=None)
        self._settings = settings
        self._recording = recording
        self._service: Service | None = None
        self._bridge = AsyncioBridge(self)
        self._early_policy: AccessPolicy | None = None
        register_routes(self, self.get_service, lambda: self.get_access_policy().origins)
        self.websocket("/stream/<path:code>")(self._stream)
        self.before_serving(self._start)
        self.after_serving(self._stop)

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer one request; what is polled is answered without the framework."""
        if sniffio.current_async_library() == "asyncio":
            await self._bridge(scope, receive, leaving_when_refused(send))
            return
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        if scope["type"] == "http" and {b"content-length", b"transfer-encoding"} <= {
            name.lower() for name, _ in scope["headers"]
        }:
            await _refuse_ambiguous(send)
            return
        policy = self.get_access_policy()
        # Behind another server, this is when it is learned where that listens.
        if (server := scope.get("server")) is not None:
            policy.warn_if_exposed(server[0])
        requester = self._visitor(scope, policy)
        call = None
        if scope["type"] == "http" and not scope.get("root_path"):
            # Not what has been decoded: that may have been another path.
            target = (scope.get("raw_path") or b"").decode("latin-1")
            query = scope["query_string"].decode("latin-1")
            call = find_call(
                scope["method"],
                scope["http_version"],
                f"{target}?{query}" if query else target,
                scope["headers"],
            )
        if call is None:
            try:
                policy.check(requester)
            except PhantomLinkError as error:
                await _refuse(scope, receive, send, error, policy)
                return
            if scope["type"] == "http":
                request = RequestBody(receive, send)
                receive, send = request.receive, request.send
            await super().__call__(scope, receive, send)
            return
        status, headers, body = await call.answer(self.get_service, policy, requester)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def get_service(self) -> Service:
        """The running service.

        Raises:
            UnavailableError: the application has not started.
        """
        if self._service is None:
            raise UnavailableError("the server is starting: try again")
        return self._service

    def get_access_policy(self) -> AccessPolicy:
        """What lets requests in; also before the start, when there is little to be let in to.

        Raises:
            SettingsError: the environment has a setting of the wrong form.
        """
        if self._service is not None:
            return self._service.policy
        if self._early_policy is None:
            self._early_policy = AccessPolicy(self._settings or load_settings())
        return self._early_policy

    async def run_service(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the service until it is stopped; it can be asked once this has started.

        Raises:
            SettingsError: the environment has a setting of the wrong form.
            RecordingError: the recording cannot be opened.
        """
        settings = self._settings if self._settings is not None else load_settings()
        self.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
        self._service = Service(settings, self._recording)
        await self._service.run(task_status)

    def _visitor(self, scope: Any, policy: AccessPolicy) -> RequestIdentity:
        """Whose request this is."""
        client = scope.get("client")
        return read_request_identity(
            scope.get("method", "GET"),
            scope["path"],
            scope["headers"],
            None if client is None else client[0],
            is_websocket=scope["type"] == "websocket",
            trust_proxy=policy.trusts_proxy,
        )

    async def _start(self) -> None:
        # Not a background task of the framework's making: a failure there takes the application
        # down while its port keeps answering. The registry lets no session's failure out.
        if self._service is None:
            await self.nursery.start(self.run_service)

    async def _stop(self) -> None:
        if self._service is not None:
            self._service.stop()

    async def _stream(self, code: str) -> Response | None:
        """One WebSocket client. What is refused is refused before the upgrade."""
        service = self.get_service()
        scope = websocket.scope
        settings = service.settings
        base_url = client_base_url(
            websocket.headers,
            scope["scheme"],
            scope.get("server") or (settings.host, settings.port),
            trust_proxy=settings.trust_proxy,
        )
        extensions: dict[str, Any] = scope.get("extensions") or {}
        cut_off: CutOff | None = extensions.get(CUT_OFF)
        request = StreamRequest(
            path=websocket.path,
            query=scope["query_string"].decode("latin-1"),
            origin=websocket.headers.get("Origin"),
            user_agent=websocket.headers.get("User-Agent", ""),
            subprotocols=websocket.requested_subprotocols,
        )
        address = self._visitor(scope, service.policy).address
        try:
            session, admission = service.enter(request, address)
        except PhantomLinkError as error:
            return problem_response(error)
        with (
            session.reserved(),
            service.policy.connection_limits.counted(address, session.code),
        ):
            await websocket.accept(subprotocol=admission.subprotocol)
            await serve_asgi_client(
                websocket,
                session,
                admission,
                MetadataMessages(service, base_url),
                ClientLimits.of(settings),
                cut_off,
            )
        return None


async def _refuse(
    scope: Any,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
    error: PhantomLinkError,
    policy: AccessPolicy,
) -> None:
    """Answer a request, or an upgrade that has not happened, with a problem."""
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    origin = origins[0].decode("ascii") if len(origins) == 1 and origins[0].isascii() else None
    status, headers, body = raw_answer(error_answer(error), origin, policy.origins)
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            closing: Any = {"type": "websocket.close", "code": error.close_code}
            await send(closing)
            return
        kind = "websocket.http.response"
    start: Any = {"type": f"{kind}.start", "status": status, "headers": headers}
    content: Any = {"type": f"{kind}.body", "body": body, "more_body": False}
    await send(start)
    await send(content)


async def _refuse_ambiguous(send: ASGISendCallable) -> None:
    """Refuse a request of two lengths, and what follows it: h11 believes one, a proxy the other."""
    answer = error_answer(
        BadHeadError("got Content-Length and Transfer-Encoding, takes one of them")
    )
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"connection", b"close"),
    ]
    start: Any = {"type": "http.response.start", "status": answer.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def create_app(settings: Settings | None = None, recording: str | None = None) -> PhantomLinkApp:
    """The application, not started yet; see `PhantomLinkApp`."""
    return PhantomLinkApp(settings, recording)


app = create_app()
