"""One viewer's connection, whatever serves it: it sends what is new as fast as that is taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import trio

from phantomlink.outputs.view.session_list import SessionList

if TYPE_CHECKING:
    from phantomlink.outputs.view.feed import ViewFeed

_CLOSE_SECONDS = 2.0


class ViewSocket(Protocol):
    """An accepted WebSocket."""

    async def send(self, message: bytes) -> None:
        """Send a binary message; returns when the connection has taken it.

        Raises:
            BrokenResourceError: the other side is gone.
        """
        ...

    @property
    def send_nowait(self) -> Callable[[bytes], None] | None:
        """Sends a binary message without waiting; what the connection does not take, waits.

        None while something waits already, and always where there is no such sending.
        """
        ...

    async def until_closed(self) -> None:
        """Read and ignore what comes, until the other side leaves or is silent to pings."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close."""
        ...


class _Viewer:
    """What one viewer has had of a feed."""

    def __init__(self, socket: ViewSocket, feed: ViewFeed) -> None:
        self._socket = socket
        self._feed = feed
        self._number = feed.history.end
        self._state_number = 0
        self._stats_number = 0
        self._decoders_number = 0

    def news(self) -> list[bytes]:
        """The messages that it has not had, of each kind what is newest; they count as had."""
        feed = self._feed
        messages: list[bytes] = []
        if feed.history.end > self._number:
            messages = feed.columns_since(self._number).copy()
            self._number = feed.history.end
        if feed.state_number != self._state_number:
            self._state_number = feed.state_number
            messages.append(feed.state)
        if feed.stats_number != self._stats_number and feed.stats is not None:
            self._stats_number = feed.stats_number
            messages.append(feed.stats)
        if feed.decoders_number != self._decoders_number and feed.decoders is not None:
            self._decoders_number = feed.decoders_number
            messages.append(feed.decoders)
        return messages

    def take_nowait(self) -> bool:
        """Send what is new if the socket is free; whether it was."""
        send = self._socket.send_nowait
        if send is None:
            return False
        for message in self.news():
            send(message)
        return True


async def serve_session_view(socket: ViewSocket, feed: ViewFeed) -> None:
    """Show a session until it ends or the viewer leaves."""
    ended: tuple[int, str] | None = None

    async def send() -> None:
        nonlocal ended
        viewer = _Viewer(socket, feed)
        await socket.send(feed.hello())
        while True:
            messages = viewer.news()
            for message in messages:
                await socket.send(message)
            if messages:
                continue
            if feed.ended is not None:
                ended = feed.ended
                return
            await feed.news(viewer)

    await _until_either_ends(socket, send)
    await _close(socket, ended)


async def serve_session_list(socket: ViewSocket, sessions: SessionList) -> None:
    """Show the list of sessions until the viewer leaves."""

    async def send() -> None:
        seen, hello = sessions.hello()
        await socket.send(hello)
        while True:
            await sessions.news(seen)
            if sessions.ended is not None:
                return
            seen, message = sessions.since(seen)
            await socket.send(message)

    sessions.viewer_came()
    try:
        await _until_either_ends(socket, send)
    finally:
        sessions.viewer_left()
    await _close(socket, sessions.ended)


async def _close(socket: ViewSocket, reason: tuple[int, str] | None) -> None:
    if reason is not None:
        with trio.move_on_after(_CLOSE_SECONDS):
            await socket.close(*reason)


async def _until_either_ends(socket: ViewSocket, send: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:

        async def watch_for_leaving() -> None:
            await socket.until_closed()
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch_for_leaving)
        # It may leave while it is being sent to.
        with suppress(trio.BrokenResourceError):
            await send()
        nursery.cancel_scope.cancel()
