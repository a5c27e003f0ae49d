"""hypercorn for a while: it serves a connection until the next request is one for the front.

hypercorn owns a connection from the first request that it is given. A client that creates a session
and then polls it on the same connection would be answered by it for good. So between two requests,
when what arrives begins like one that the front answers, the connection is taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import h11
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState

from phantomlink.asgi.hypercorn_guard import untie
from phantomlink.outputs.websocket.replay_stream import ReplayStream

_IDLE = {h11.CLIENT: h11.IDLE, h11.SERVER: h11.IDLE}
# For an application that is told of the end to do what it does then.
_OVER_SECONDS = 5.0


class Handover:
    """hypercorn's connection handler, on one connection.

    Args:
        asgi: the application, as hypercorn wraps it.
        config, context: of hypercorn.
        wants_back: whether bytes begin like a request for the front. A hint: the front reads
            them with care.
    """

    def __init__(
        self,
        asgi: AppWrapper,
        config: Config,
        context: WorkerContext,
        wants_back: Callable[[bytes], bool],
    ) -> None:
        self._asgi = asgi
        self._config = config
        self._context = context
        self._wants_back = wants_back
        self._lent: set[_LentStream] = set()

    def end_idle(self) -> None:
        """End the connections that wait for a request; hypercorn would let them wait on."""
        for lent in self._lent:
            if lent.is_between_requests():
                lent.scope.cancel()

    async def serve(self, stream: trio.SocketStream, received: bytes) -> bytes:
        """Let hypercorn serve the connection.

        Args:
            stream: the connection.
            received: read from it already.

        Returns:
            The beginning of a request that the front is to look at; b"" when the connection is
            over.
        """
        lent = _LentStream(stream, received, self._wants_back)
        with lent.scope:
            server = TCPServer(
                self._asgi,
                self._config,
                self._context,
                ConnectionState({}),
                lent,  # type: ignore[arg-type]
            )
            lent.is_between_requests = partial(_is_idle, server)
            self._lent.add(lent)
            try:
                await server
            finally:
                self._lent.discard(lent)
                lent.is_between_requests = _never
                untie(server)
        return lent.taken_back


class _LentStream(ReplayStream):
    """A connection that hypercorn has until the front wants it back."""

    def __init__(
        self, stream: trio.SocketStream, received: bytes, wants_back: Callable[[bytes], bool]
    ) -> None:
        super().__init__(stream, received)
        self.scope = trio.CancelScope()
        self.taken_back = b""
        self.is_between_requests: Callable[[], bool] = _never
        self._wants_back = wants_back

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; never returns when they are the front's."""
        was_read_before = bool(self._received)
        data = await super().receive_some(max_bytes)
        # What the front has just handed over is not for the front.
        if not was_read_before and self._wants_back(data) and self.is_between_requests():
            self.taken_back = data
            self.scope.cancel()
            # Both must never read the same request.
            await trio.sleep_forever()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As the connection has it; a client that has gone is noted.

        hypercorn (0.18) then forgets that requests were pipelined behind the one that it could not
        answer, and waits for ever until that has been answered.
        """
        try:
            await super().send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.scope.deadline = min(self.scope.deadline, trio.current_time() + _OVER_SECONDS)
            raise

    async def send_eof(self) -> None:
        """As the connection has it, while it is lent."""
        if not self.taken_back:
            await super().send_eof()

    async def aclose(self) -> None:
        """As the connection has it, while it is lent."""
        if not self.taken_back:
            await super().aclose()


def _never() -> bool:
    return False


def _is_idle(server: TCPServer) -> bool:
    """Whether it has answered everything and has nothing of a next request.

    These attributes are not public. Where they are not what is expected, nothing is taken back.
    """
    protocol = getattr(getattr(server, "protocol", None), "protocol", None)
    connection = getattr(protocol, "connection", None)
    return (
        isinstance(connection, h11.Connection)
        and connection.states == _IDLE
        and connection.trailing_data == (b"", False)
    )
