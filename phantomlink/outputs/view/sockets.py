"""The WebSockets of viewers: of `phantomlink serve`, and behind any ASGI server.

A viewer is never closed for being slow: a message is sent when the one before it has been taken,
and what comes meanwhile waits in the feed's history. One that is silent to pings is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import trio
import trio_websocket

from phantomlink.close_codes import CLOSE_GOING_AWAY, CLOSE_TOO_SLOW
from phantomlink.metrics import Histogram
from phantomlink.outputs.view.entrance import ServeView
from phantomlink.outputs.websocket.asgi_client import AsgiWebSocket
from phantomlink.outputs.websocket.client_limits import ClientLimits
from phantomlink.outputs.websocket.frame_stream import FrameStream
from phantomlink.outputs.websocket.replay_stream import ReplayStream
from phantomlink.scheduling.spreading import spread_seconds
from phantomlink.wire.encoder import frame_message

_HANDSHAKE_SECONDS = 10.0
_CLOSE_SECONDS = 2.0


class TrioViewSocket:
    """A viewer of `phantomlink serve`: trio-websocket for the protocol, frames past it.

    Args:
        websocket: accepted.
        frames: that both write to.
        limits: how long it may be silent.
    """

    def __init__(
        self,
        websocket: trio_websocket.WebSocketConnection,
        frames: FrameStream,
        limits: ClientLimits,
    ) -> None:
        self._websocket = websocket
        self._frames = frames
        self._limits = limits

    async def send(self, message: bytes) -> None:
        """Send it; returns when the kernel has it.

        Raises:
            BrokenResourceError: the viewer is gone.
        """
        try:
            await self._frames.send_all(_framed(message))
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the viewer is gone") from error

    @property
    def send_nowait(self) -> Callable[[bytes], None] | None:
        """Gives a message to the kernel; what that does not take waits in the stream.

        None while the kernel has not taken all that was sent.
        """
        return None if self._frames.queued_bytes else self._put_nowait

    def _put_nowait(self, message: bytes) -> None:
        self._frames.put_nowait(_framed(message))

    async def until_closed(self) -> None:
        """Read and ignore what comes, until it leaves or is silent to pings."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_silent, nursery.cancel_scope)
            try:
                while True:
                    await self._websocket.get_message()
            except trio_websocket.ConnectionClosed:
                nursery.cancel_scope.cancel()

    async def close(self, code: int, reason: str) -> None:
        """Close."""
        await self._websocket.aclose(code, reason)

    async def _until_silent(self, reading: trio.CancelScope) -> None:
        limits = self._limits
        try:
            while True:
                await trio.sleep(spread_seconds(limits.ping_interval_seconds))
                with trio.fail_after(limits.ping_timeout_seconds):
                    await self._websocket.ping()
        except trio.TooSlowError:
            with trio.move_on_after(_CLOSE_SECONDS):
                await self.close(CLOSE_TOO_SLOW, limits.silent())
            reading.cancel()
        except trio_websocket.ConnectionClosed:
            reading.cancel()


@lru_cache(maxsize=64)
def _framed(message: bytes) -> bytes:
    # The same message for all viewers of a query, one after the other.
    return frame_message(message)


class AsgiViewSocket:
    """A viewer behind an ASGI server, which pings by itself.

    Args:
        websocket: accepted.
    """

    def __init__(self, websocket: AsgiWebSocket) -> None:
        self._websocket = websocket

    async def send(self, message: bytes) -> None:
        """Send it; returns when the server has taken it."""
        await self._websocket.send(message)

    send_nowait = None
    """ASGI knows no sending without waiting."""

    async def until_closed(self) -> None:
        """Read and ignore what comes; the framework cancels this when the viewer leaves."""
        while True:
            await self._websocket.receive()

    async def close(self, code: int, reason: str) -> None:
        """Close."""
        await self._websocket.close(code, reason)


async def serve_trio_view(
    stream: ReplayStream,
    n_head: int,
    subprotocol: str | None,
    limits: ClientLimits,
    serve: ServeView,
) -> None:
    """Shake hands with a viewer that was let in, and serve it. Closes the connection.

    Args:
        stream: the connection, from the upgrade request on.
        n_head: bytes of that request.
        subprotocol: to answer; None for none.
        limits: what a client is granted.
        serve: what it is shown.
    """
    frames = FrameStream(
        stream,
        n_head=n_head,
        max_frames=1,
        max_bytes=limits.queue_bytes,
        latency=Histogram(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(frames.flush_forever)
        try:
            with trio.fail_after(_HANDSHAKE_SECONDS):
                request = await trio_websocket.wrap_server_stream(
                    nursery, frames, max_message_size=limits.message_bytes
                )
                websocket = await request.accept(subprotocol=subprotocol)
            frames.upgraded(partial(bytes))
            try:
                await serve(TrioViewSocket(websocket, frames, limits))
            finally:
                if not websocket.closed:
                    with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                        await websocket.aclose(CLOSE_GOING_AWAY, "the server is going away")
        except (trio.TooSlowError, trio_websocket.ConnectionClosed):
            # It went away during the handshake.
            pass
        finally:
            with trio.CancelScope(shield=True):
                await frames.aclose()
            nursery.cancel_scope.cancel()
