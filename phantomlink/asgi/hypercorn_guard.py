"""hypercorn's Trio worker, so that a connection can only end itself.

`hypercorn --worker-class trio` (0.18) runs the handlers of all connections in one nursery, and
lets through whatever a handler raises. So each of these ends the process, and everybody's
session: a byte or a frame in the packet of an upgrade request; an upgrade with a body or chunks; a
sub-protocol or an extension that is not ASCII. `tests/e2e/test_hypercorn_faults.py` sends them to
hypercorn as it comes: when it fails, hypercorn has been mended and this module can go.

Two more faults keep a handler, its socket and its memory for ever: that of a client which floods
an application that ends meanwhile, and, when the worker ends, that of one which reads nothing.

None of it can be caught in an ASGI application, which is called behind the code that raises. So
the handler is replaced by one with a barrier: in the one name by which the worker refers to it,
for the versions that are known, before the worker has begun to listen. Under asyncio each
connection is a task of its own and nothing needs guarding; `phantomlink serve` has its own
barrier and calls the handler by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any

import hypercorn.trio.run
import trio
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.tcp_server import TCPServer

from phantomlink.access.pending_connections import PendingConnections
from phantomlink.errors import leaves

logger = logging.getLogger(__name__)

KNOWN_VERSIONS = ("0.18.",)
CUT_OFF = "phantomlink.cut_off"
"""Name of an ASGI extension: a function that ends the connection, whatever it is stuck in."""
# For an application that is told of the end to do what it does then.
_OVER_SECONDS = 5.0


class GuardedTCPServer(TCPServer):
    """hypercorn's connection handler; what it raises ends its connection and goes no further."""

    def __init__(self, pending: PendingConnections, *args: Any) -> None:
        super().__init__(*args)
        self._pending = pending
        self._settle: Callable[[], None] | None = None
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery
        self._real_app = self.app
        self.app = self._run_app  # type: ignore[assignment]  # passes on what it is given

    def __await__(self) -> Generator[Any, Any, None]:
        return self.run().__await__()

    async def run(self) -> None:
        """Serve the connection to its end."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._cut_off_when_cancelled)
                    with self._pending.counted(self._peer()) as self._settle:
                        if self._settle is not None:
                            await super().run()
                    nursery.cancel_scope.cancel()
        except* Exception as group:
            # The application's own errors do not come here: hypercorn logs those and answers 500.
            error = next(leaves(group))
            # Not its repr, which has the bytes that could not be decoded: a token may be in them.
            what = f"{type(error).__name__}: {error}"
            logger.warning("A connection ends on what hypercorn made of it: %s", what)
            logger.debug("It was raised here:", exc_info=group)
        finally:
            await trio.aclose_forcefully(self.stream)
            self.app = self._real_app
            untie(self)

    async def _run_app(self, scope: Any, receive: Any, send: Any, *tools: Any) -> None:
        """Run the application; what hypercorn has for it after its end is thrown away."""
        if self._settle is not None:
            self._settle()
        is_told = False
        # Of WebSockets only: there an application can be stuck in a `send` that it cannot cancel.
        is_websocket = scope["type"] == "websocket"
        if is_websocket:
            scope["extensions"] = {**(scope.get("extensions") or {}), CUT_OFF: self._scope.cancel}

        async def receive_and_note() -> Any:
            nonlocal is_told
            event = await receive()
            is_told = event["type"].endswith(".disconnect")
            return event

        async def send_and_look(event: Any) -> None:
            await send(event)
            # Who sends frames before the handshake is answered has had hypercorn's own 400: this
            # went nowhere, and nobody would ever tell that the client has left.
            if event["type"] == "websocket.accept" and send.__self__.closed:
                self._scope.cancel()

        try:
            await self._real_app(
                scope, receive_and_note, send_and_look if is_websocket else send, *tools
            )
        finally:
            if not is_told:
                self._nursery.start_soon(_throw_away, receive)

    def _peer(self) -> str | None:
        """Host of the other end; None where it has gone already, or is no network address."""
        transport = getattr(self.stream, "transport_stream", self.stream)  # below TLS
        try:
            address = transport.socket.getpeername()
        except OSError:
            return None
        return address[0] if isinstance(address, tuple) else None

    async def protocol_send(self, event: Event) -> None:
        """Send, or note that the client has gone."""
        if isinstance(event, RawData):
            async with self.send_lock:
                try:
                    with trio.CancelScope(shield=True):
                        await self.stream.send_all(event.data)
                except (
                    trio.BrokenResourceError,
                    trio.ClosedResourceError,
                    # hypercorn closes the connection, and sends the end of it without the lock.
                    trio.BusyResourceError,
                ):
                    self._is_over()
                    await self.protocol.handle(Closed())
        else:
            await super().protocol_send(event)

    async def _close(self) -> None:
        self._is_over()
        await super()._close()

    def _is_over(self) -> None:
        """Nothing more can reach the client; hypercorn may still wait for something.

        It has messages for an application that has ended, for instance, and waits until there is
        room for them.
        """
        deadline = trio.current_time() + _OVER_SECONDS
        self._scope.deadline = min(self._scope.deadline, deadline)

    async def _cut_off_when_cancelled(self) -> None:
        """Close the connection under a shielded send to a client that reads nothing."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self.stream)


def guard_hypercorn(pending: PendingConnections) -> bool:
    """Guard the Trio worker of this process, if there is one; whether it is guarded now.

    Args:
        pending: counts the connections that have not been let in yet.
    """
    found = version("hypercorn")
    worker: Any = hypercorn.trio.run
    if not found.startswith(KNOWN_VERSIONS) or not hasattr(worker, "TCPServer"):
        logger.warning(
            "hypercorn %s is not a version whose connections are known to need, or to take, the "
            "guard; phantomlink serve does not depend on it",
            found,
        )
        return False
    worker.TCPServer = partial(GuardedTCPServer, pending)
    return True


def untie(server: TCPServer) -> None:
    """Let a connection that is over go: hypercorn's server and its protocol hold each other.

    They would stay, with h11's buffers and the socket, until the oldest garbage is collected.
    """
    # There is none when the client had gone before it could be made.
    with suppress(AttributeError):
        del server.protocol


async def _throw_away(receive: Any) -> None:
    while not (await receive())["type"].endswith(".disconnect"):
        pass
