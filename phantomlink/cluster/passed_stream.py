"""A WebSocket that is passed on to another node, as bytes: it can be told to come again."""

from __future__ import annotations

from contextlib import suppress

import trio

from phantomlink.close_codes import CLOSE_MOVED, MAX_CLOSE_REASON_BYTES
from phantomlink.cluster.frames import FrameTracker, close_frame

_PIECE_BYTES = 64 * 1024
_CLOSE_SECONDS = 1.0


class PassedStream:
    """One of them.

    Args:
        code: of the session.
        path: of the request.
        peer: address of the client's connection.
        is_plain: whether a mirror could serve it.
        request: its head, and what came behind.
    """

    def __init__(self, code: str, path: str, peer: str, *, is_plain: bool, request: bytes) -> None:
        self.code = code
        self.peer = peer
        self._path = path
        self._is_plain = is_plain
        self._from_client = FrameTracker()
        self._from_client.feed(request)
        self._from_node = FrameTracker()
        self._moves_to: str | None = None
        self._receiving = trio.CancelScope()
        self._has_left = trio.Event()

    @property
    def listens(self) -> bool:
        """Whether it is a stream, which keeps its session playing, and no view."""
        return self._path.startswith("/stream/")

    @property
    def answers(self) -> bool:
        """Whether the client has sent anything: predictions, most likely."""
        return self._from_client.n_data > 0

    @property
    def may_move(self) -> bool:
        """Whether a mirror could serve it from now on."""
        return self._is_plain and not self.answers

    def move(self, url: str) -> None:
        """Let its client come again, to this node.

        Args:
            url: what URLs of streams here begin with.
        """
        self._moves_to = f"{url}{self._path}"
        self._receiving.cancel()

    def heard(self, data: bytes) -> None:
        """Something has come from the client; empty when it has left."""
        self._from_client.feed(data)
        if not data or self._from_client.has_closed:
            self._has_left.set()

    async def pass_down(self, node: trio.abc.Stream, client: trio.abc.Stream, first: bytes) -> None:
        """Pass on what comes from the node, to the end of one side, or until it moves.

        Args:
            node: that has the session.
            client: whose stream it is.
            first: what has come already.
        """
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            piece: bytes | None = first
            while piece != b"":
                if piece is not None:
                    await client.send_all(piece)
                    self._from_node.feed(piece)
                if self._moves_to is not None and self._from_node.is_between:
                    await self._close(client, self._moves_to)
                    return
                piece = await self._next_from(node)
            if isinstance(client, trio.abc.HalfCloseableStream):
                await client.send_eof()

    async def _next_from(self, node: trio.abc.Stream) -> bytes | None:
        """What comes next; None when it is to be looked at first whether it moves."""
        with trio.CancelScope() as self._receiving:
            return bytes(await node.receive_some(_PIECE_BYTES))
        return None

    async def _close(self, client: trio.abc.Stream, url: str) -> None:
        fits = len(url.encode()) <= MAX_CLOSE_REASON_BYTES
        with trio.move_on_after(_CLOSE_SECONDS):
            await client.send_all(close_frame(CLOSE_MOVED, url if fits else ""))
            # Its answer must have been read, or closing would reset the connection.
            await self._has_left.wait()
