"""One viewer's connection, whatever serves it: it sends what is new as fast as that is taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import trio

from phantomlink.outputs.view.feed import ViewFeed
from phantomlink.outputs.view.session_list import SessionList

_CLOSE_SECONDS = 2.0


class ViewSocket(Protocol):
    """An accepted WebSocket."""

    async def send(self, message: bytes) -> None:
        """Send a binary message; returns when the connection has taken it.

        Raises:
            BrokenResourceError: the other side is gone.
        """
        ...

    async def until_closed(self) -> None:
        """Read and ignore what comes, until the other side leaves or is silent to pings."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close."""
        ...


async def serve_session_view(socket: ViewSocket, feed: ViewFeed) -> None:
    """Show a session until it ends or the viewer leaves."""
    ended: tuple[int, str] | None = None

    async def send() -> None:
        nonlocal ended
        number = feed.history.end
        await socket.send(feed.hello())
        state_number, stats_number, decoders_number = 0, 0, 0
        while True:
            news = feed.news
            if feed.history.end > number:
                messages = feed.columns_since(number)
                number = feed.history.end
                for message in messages:
                    await socket.send(message)
            elif feed.state_number != state_number:
                state_number = feed.state_number
                await socket.send(feed.state)
            elif feed.stats_number != stats_number and feed.stats is not None:
                stats_number = feed.stats_number
                await socket.send(feed.stats)
            elif feed.decoders_number != decoders_number and feed.decoders is not None:
                decoders_number = feed.decoders_number
                await socket.send(feed.decoders)
            elif feed.ended is not None:
                ended = feed.ended
                return
            else:
                await news()

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
