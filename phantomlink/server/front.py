"""The open port of `phantomlink serve`: WebSockets and REST, and one barrier a connection.

Routes that are polled are answered here. hypercorn serves the rest of REST, through its connection
handler, and trio-websocket the streams. Whatever a connection makes any of them raise ends that
connection alone: hypercorn's own server would end the process on a single byte behind an upgrade
request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h2.exceptions
import h11
import trio
import wsproto.utilities
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app

from phantomlink.access.request_identity import RequestIdentity, read_request_identity
from phantomlink.app import PhantomLinkApp
from phantomlink.errors import PhantomLinkError
from phantomlink.outputs.view.entrance import answered_subprotocol
from phantomlink.outputs.view.sockets import serve_trio_view
from phantomlink.outputs.view.view_request import is_view_path
from phantomlink.outputs.websocket.admission import StreamRequest
from phantomlink.outputs.websocket.client import serve_websocket_client
from phantomlink.outputs.websocket.client_limits import ClientLimits
from phantomlink.outputs.websocket.replay_stream import ReplayStream
from phantomlink.rest.metadata_message import MetadataMessages
from phantomlink.rest.request import RequestHead, client_base_url
from phantomlink.server.hypercorn_handover import Handover
from phantomlink.server.request_head import Head, HeadReader, problem_bytes
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

# What hypercorn's parsers let out of its handler when a client breaks their protocol.
_PROTOCOL_ERRORS = (h11.ProtocolError, h2.exceptions.ProtocolError, wsproto.utilities.ProtocolError)
_HEAD_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
# The rest is for what has to be cut off, and for the service to end.
_SHARE_OF_GRACE = 0.8
_LINGER_SECONDS = 1.0
_READ_BYTES = 64 * 1024


class Server:
    """The open port.

    Args:
        app: the application, started.
        settings: what the server was told.
    """

    def __init__(self, app: PhantomLinkApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._limits = ClientLimits.of(settings)
        self._config = Config()
        self._config.errorlog = logging.getLogger("hypercorn.error")
        self._config.include_server_header = False
        self._config.h11_max_incomplete_size = settings.max_head_bytes
        self._context = WorkerContext(None)
        self._hypercorn = Handover(
            wrap_app(app, self._config.wsgi_max_body_size, "asgi"),
            self._config,
            self._context,
            _is_for_the_front,
        )
        # Of the connections that wait for a request.
        self._waiting: set[trio.CancelScope] = set()
        self._accepting = trio.CancelScope()
        self._drained = trio.Event()
        self._n_streams = 0
        self._stream_ended = trio.Event()

    async def run(
        self,
        listeners: list[trio.SocketListener],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as connections:
            with self._accepting:
                task_status.started()
                await trio.serve_listeners(self.handle, listeners, handler_nursery=connections)
        self._drained.set()

    async def say_goodbye(self) -> None:
        """Tell every client, and give them a while to leave.

        Until the last stream has ended the port stays open, so that who asks `/readyz` is told.
        """
        self._app.get_views().shut_down()
        self._app.get_service().shut_down()
        with trio.move_on_after(self._settings.grace_seconds * _SHARE_OF_GRACE):
            while self._n_streams:
                self._stream_ended = trio.Event()
                await self._stream_ended.wait()
            self._accepting.cancel()
            await self._context.terminated.set()
            for scope in self._waiting:
                scope.cancel()
            self._hypercorn.end_idle()
            await self._drained.wait()

    def give_up(self) -> None:
        """Say that the grace period is over. For the thread that watches it."""
        logger.warning("The grace period of %g s is over", self._settings.grace_seconds)

    async def handle(self, stream: trio.SocketStream) -> None:
        """Serve one connection; nothing that happens in it leaves this function."""
        pending = self._app.get_access_policy().pending_connections
        try:
            with pending.counted(_peer(stream)) as settle:
                if settle is not None:
                    await self._dispatch(stream, settle)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
            logger.debug("A connection broke: %s", group.exceptions)
        except* _PROTOCOL_ERRORS as group:
            logger.info("A connection broke the protocol and ends: %s", group.exceptions)
        except* Exception:
            logger.exception("A connection failed and ends alone")
        finally:
            await trio.aclose_forcefully(stream)

    async def _dispatch(self, stream: trio.SocketStream, settle: Callable[[], None]) -> None:
        """Request by request, each to the server that it is for; the first whole one settles."""
        received, seconds = b"", _HEAD_SECONDS
        while not self._context.terminated.is_set():
            reader = HeadReader(self._settings.max_head_bytes)
            try:
                head, received = await self._read_head(stream, reader, received, seconds)
                if head is None:
                    return
                settle()
                if head.stream_request is not None:
                    n_head = len(received) - len(reader.rest)
                    await self._serve_stream(stream, received, n_head, head)
                    return
            except PhantomLinkError as error:
                await _refuse(stream, error)
                return
            if _is_plain(head):
                if not await self._answer(stream, reader, head):
                    return
                received = reader.rest
            else:
                received = await self._hypercorn.serve(stream, received)
                if not received:
                    return
            seconds = self._config.keep_alive_timeout

    async def _read_head(
        self, stream: trio.SocketStream, reader: HeadReader, received: bytes, seconds: float
    ) -> tuple[Head | None, bytes]:
        """The next request's head and all bytes from its first on.

        None when the client left before, took too long, or the server goes away.
        """
        head = reader.feed(received) if received else None
        if head is not None:
            return head, received
        with trio.move_on_after(seconds) as scope:
            self._waiting.add(scope)
            try:
                while data := bytes(await stream.receive_some(_READ_BYTES)):
                    received += data
                    head = reader.feed(data)
                    if head is not None:
                        return head, received
            finally:
                self._waiting.discard(scope)
        return None, received

    def _visitor(self, stream: trio.SocketStream, head: Head) -> RequestIdentity:
        path, _, query = head.target.partition("?")
        return read_request_identity(
            head.method,
            path,
            head.raw_headers,
            _peer(stream),
            query=query,
            is_websocket=head.stream_request is not None,
            trust_proxy=self._settings.trust_proxy,
        )

    async def _answer(self, stream: trio.SocketStream, reader: HeadReader, head: Head) -> bool:
        """Answer a request; whether another may follow on this connection."""
        path, _, query = head.target.partition("?")
        asked = RequestHead(
            head.method,
            path,
            query,
            head.raw_headers,
            _peer(stream),
            "http",
            stream.socket.getsockname(),
        )
        response = await self._app.dispatch(asked, _no_body)
        # What hypercorn adds to its answers.
        headers = response.raw_headers() + self._config.response_headers("h11")
        with trio.move_on_after(_ANSWER_SECONDS):
            shown = b""
            if head.method != "HEAD":
                shown = b"".join([bytes(piece) async for piece in response.pieces()])
            await stream.send_all(reader.answer(response.status, headers, shown))
            return reader.stays_open
        return False

    async def _serve_stream(
        self, stream: trio.SocketStream, received: bytes, n_head: int, head: Head
    ) -> None:
        assert head.stream_request is not None
        service = self._app.get_service()
        requester = self._visitor(stream, head)
        service.policy.check(requester)
        base_url = client_base_url(
            head.headers, "ws", stream.socket.getsockname(), trust_proxy=self._settings.trust_proxy
        )
        if is_view_path(head.stream_request.path):
            await self._serve_view(stream, received, n_head, head.stream_request, requester)
            return
        session, admission = service.enter(head.stream_request, requester.address)
        with (
            self._stream_counted(),
            session.reserved(),
            service.policy.connection_limits.counted(requester.address, session.code),
        ):
            await serve_websocket_client(
                ReplayStream(stream, received),
                n_head,
                session,
                admission,
                MetadataMessages(service, base_url),
                self._limits,
            )

    async def _serve_view(
        self,
        stream: trio.SocketStream,
        received: bytes,
        n_head: int,
        request: StreamRequest,
        requester: RequestIdentity,
    ) -> None:
        limits = self._app.get_service().policy.connection_limits
        limits.check(requester.address, None)
        serve = self._app.get_views().enter(request.path, request.query)
        with self._stream_counted(), limits.counted(requester.address, None):
            await serve_trio_view(
                ReplayStream(stream, received),
                n_head,
                answered_subprotocol(request.subprotocols),
                self._limits,
                serve,
            )

    @contextmanager
    def _stream_counted(self) -> Iterator[None]:
        self._n_streams += 1
        try:
            yield
        finally:
            self._n_streams -= 1
            self._stream_ended.set()


def _peer(stream: trio.SocketStream) -> str | None:
    """Host of the other end; None when it has gone already."""
    try:
        host: str = stream.socket.getpeername()[0]
    except OSError:
        return None
    return host


def _is_for_the_front(data: bytes) -> bool:
    return data.startswith((b"GET /", b"HEAD /"))


def _is_plain(head: Head) -> bool:
    """Whether it is a GET or HEAD without a body."""
    names = {name for name, _ in head.raw_headers}
    return (
        head.method in {"GET", "HEAD"}
        and head.http_version == "1.1"
        and not names & {b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
    )


async def _no_body() -> bytes:
    return b""


async def _refuse(stream: trio.SocketStream, error: PhantomLinkError) -> None:
    """Answer with a status; then let the client read it before the connection goes."""
    with trio.move_on_after(_LINGER_SECONDS):
        await stream.send_all(problem_bytes(error))
        await stream.send_eof()
        # Closing with unread bytes would reset the connection, and the answer with it.
        while await stream.receive_some():
            pass
