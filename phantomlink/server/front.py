"""The open port of `phantomlink serve`: WebSockets and HTTP, and one barrier a connection.

Requests are parsed by h11 and answered by the dispatch, streams are trio-websocket's. Whatever a
connection makes any of them raise ends that connection alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import h11
import trio
import wsproto.utilities

from phantomlink.application import Application
from phantomlink.errors import PhantomLinkError, SessionElsewhereError
from phantomlink.outputs.view.entrance import answered_subprotocol
from phantomlink.outputs.view.sockets import serve_trio_view
from phantomlink.outputs.view.view_request import is_view_path
from phantomlink.outputs.websocket.admission import StreamRequest
from phantomlink.outputs.websocket.client import serve_websocket_client
from phantomlink.outputs.websocket.client_limits import ClientLimits
from phantomlink.outputs.websocket.replay_stream import ReplayStream
from phantomlink.outputs.websocket.shared_reader import SharedReader
from phantomlink.rest.metadata_message import MetadataMessages
from phantomlink.rest.request import RequestHead, stream_base_url
from phantomlink.rest.response import error_response
from phantomlink.scheduling.spreading import spread_seconds
from phantomlink.server.exchange import Exchange
from phantomlink.server.handover import Handover, InnerConnection
from phantomlink.server.request_head import read_head, stream_request_of
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

_PROTOCOL_ERRORS = (h11.ProtocolError, wsproto.utilities.ProtocolError)
_HEAD_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 5.0
# The rest is for what has to be cut off, and for the service to end.
_SHARE_OF_GRACE = 0.8
_LINGER_SECONDS = 1.0


class Server:
    """The open port.

    Args:
        app: the application, started.
        settings: what the server was told.
        handover: where there are other processes, takes what belongs to them.
    """

    def __init__(
        self, app: Application, settings: Settings, handover: Handover | None = None
    ) -> None:
        self._app = app
        self._settings = settings
        self._handover = handover
        self._limits = ClientLimits.of(settings)
        self._reader = SharedReader()
        # Of the connections that wait for a request.
        self._waiting: set[trio.CancelScope] = set()
        self._accepting = trio.CancelScope()
        self._is_ending = False
        self._drained = trio.Event()
        self._n_streams = 0
        self._stream_ended = trio.Event()

    async def run(
        self,
        listeners: list[trio.SocketListener],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled."""

        async def accept(connections: trio.Nursery) -> None:
            await trio.serve_listeners(self.handle, listeners, handler_nursery=connections)

        await self.run_with(accept, task_status)

    async def run_with(
        self,
        accept: Callable[[trio.Nursery], Awaitable[None]],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve the connections that `accept` starts in a nursery, until cancelled."""
        async with trio.open_nursery() as reading:
            reading.start_soon(self._reader.run, self._app.get_service().clock.call_due)
            async with trio.open_nursery() as connections:
                with self._accepting:
                    task_status.started()
                    await accept(connections)
            reading.cancel_scope.cancel()
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
            self._is_ending = True
            for scope in self._waiting:
                scope.cancel()
            await self._drained.wait()

    def give_up(self) -> None:
        """Say that the grace period is over. For the thread that watches it."""
        logger.warning("The grace period of %g s is over", self._settings.grace_seconds)

    async def handle(
        self,
        stream: trio.SocketStream,
        received: bytes = b"",
        inner: InnerConnection | None = None,
        client: str | None = None,
    ) -> None:
        """Serve one connection; nothing that happens in it leaves this function.

        Args:
            stream: the connection.
            received: what another process has read from it, which has sent it here.
            inner: of a connection of another process, whom it is for.
            client: of a connection that another node passes on, the client's address.
        """
        pending = self._app.get_access_policy().pending_connections
        try:
            peer: str = inner.peer if inner else client or stream.socket.getpeername()[0]
            with pending.counted(peer) as settle:
                if settle is not None:
                    await self._serve(stream, received, peer, settle, inner)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
            logger.debug("A connection broke: %s", group.exceptions)
        except* _PROTOCOL_ERRORS as group:
            logger.info("A connection broke the protocol and ends: %s", group.exceptions)
        except* Exception:
            logger.exception("A connection failed and ends alone")
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(
        self,
        stream: trio.SocketStream,
        received: bytes,
        peer: str,
        settle: Callable[[], None],
        inner: InnerConnection | None,
    ) -> None:
        """Request by request, each to its end; the first whole one settles."""
        server = () if inner else stream.socket.getsockname()
        dispatch = inner.dispatch if inner else self._app.dispatch
        was_sent_here, seconds = bool(received), _HEAD_SECONDS
        while not self._is_ending:
            exchange = Exchange(stream, received, self._settings.max_head_bytes)
            try:
                request = await self._wait_for(exchange, seconds)
                if request is None:
                    return
                settle()
                head = read_head(request, peer, server)
                if self._handover is not None and inner is None:
                    if not (was_sent_here or await self._handover.belongs_here(head)):
                        self._handover.hand_over(stream, bytes(exchange.received), None)
                        return
                    await self._handover.settle(head)
                websocket = stream_request_of(request, head)
                if websocket is not None:
                    await self._serve_websocket(stream, exchange, head, websocket)
                    return
            except SessionElsewhereError as error:
                self._hand_over(stream, exchange, error)
                return
            except PhantomLinkError as error:
                await exchange.send(error_response(error).with_headers((("Connection", "close"),)))
                await _linger(stream)
                return
            read_body = partial(
                exchange.read_body, self._settings.max_body_bytes, head.content_length
            )
            try:
                response = await dispatch(head, read_body)
            except SessionElsewhereError as error:
                self._hand_over(stream, exchange, error)
                return
            if not await exchange.send(response):
                await _linger(stream)
                return
            received, seconds = exchange.rest, _KEEP_ALIVE_SECONDS
            was_sent_here = False

    def _hand_over(
        self, stream: trio.SocketStream, exchange: Exchange, error: SessionElsewhereError
    ) -> None:
        assert self._handover is not None
        self._handover.hand_over(stream, bytes(exchange.received), error.node)

    async def _wait_for(self, exchange: Exchange, seconds: float) -> h11.Request | None:
        """The next request; None when the client leaves, takes too long, or the server goes away.

        Raises:
            BadHeadError: it cannot be read.
        """
        with trio.move_on_after(spread_seconds(seconds)) as scope:
            self._waiting.add(scope)
            try:
                return await exchange.read_head()
            finally:
                self._waiting.discard(scope)
        return None

    async def _serve_websocket(
        self,
        stream: trio.SocketStream,
        exchange: Exchange,
        head: RequestHead,
        request: StreamRequest,
    ) -> None:
        """Serve a WebSocket client or viewer to its end.

        Raises:
            PhantomLinkError: it is not let in; nothing has been sent.
        """
        service = self._app.get_service()
        policy = service.policy
        requester = head.identity(trust_proxy=policy.trusts_proxy, is_websocket=True)
        policy.check(requester)
        limits, address = policy.connection_limits, requester.address
        replayed = ReplayStream(stream, bytes(exchange.received))
        if is_view_path(request.path):
            limits.check(address, None)
            serve = self._app.get_views().enter(request.path, request.query)
            with self._stream_counted(), limits.counted(address, None):
                await serve_trio_view(
                    replayed,
                    exchange.n_head,
                    answered_subprotocol(request.subprotocols),
                    self._limits,
                    serve,
                )
            return
        session, admission = await service.enter(request, address)
        with self._stream_counted(), session.reserved(), limits.counted(address, session.code):
            await serve_websocket_client(
                replayed,
                exchange.n_head,
                session,
                admission,
                MetadataMessages(
                    service,
                    stream_base_url(self._settings.node_url)
                    or head.base_url(trust_proxy=policy.trusts_proxy),
                ),
                self._limits,
                self._reader,
            )

    @contextmanager
    def _stream_counted(self) -> Iterator[None]:
        self._n_streams += 1
        try:
            yield
        finally:
            self._n_streams -= 1
            self._stream_ended.set()


async def _linger(stream: trio.SocketStream) -> None:
    """Let the client read its last answer before the connection goes."""
    with trio.move_on_after(_LINGER_SECONDS):
        await stream.send_eof()
        # Closing with unread bytes would reset the connection, and the answer with it.
        while await stream.receive_some():
            pass
