"""One request and its answer on a connection of `phantomlink serve`, as h11 reads and frames them.

Theory of operation. A connection is a row of exchanges; each has an h11 of its own, which is given
the bytes that came behind the exchange before. The head is read whole before anything is decided.
A body is read when the dispatch asks for it, and a client that waits to be asked for it
(`Expect: 100-continue`) is asked then. What nobody asked for is thrown away behind the answer, so
that the connection can go on, if it comes soon and is not much; otherwise the connection ends.
Everything that waits for the client has a deadline.
"""

from __future__ import annotations

import time
from contextlib import aclosing, suppress
from wsgiref.handlers import format_date_time

import h11
import trio

from phantomlink.errors import BadHeadError, BodyTimeoutError, BodyTooLargeError
from phantomlink.rest.response import PIECE_BYTES, Response

_BODY_SECONDS = 30.0
_PIECE_SECONDS = 30.0
_REST_SECONDS = 5.0
# Of a body that nobody wants, for a client that reads no answer before it has sent it all.
_REST_BYTES = 2**20
_READ_BYTES = 64 * 1024
_TOO_LARGE = 431


class Exchange:
    """One request, from its first byte to the last one of its answer.

    Args:
        stream: the connection.
        received: what has been read from it already.
        max_head_bytes: that an incomplete head may have; the policy measures whole ones.

    Attributes:
        received: every byte since the first of the request.
    """

    def __init__(self, stream: trio.SocketStream, received: bytes, max_head_bytes: int) -> None:
        self._stream = stream
        self._max_head_bytes = max_head_bytes
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=max_head_bytes)
        self._is_of_head = False
        self.received = bytearray(received)
        if received:
            self._h11.receive_data(received)

    async def read_head(self) -> h11.Request | None:
        """The request; None when the client leaves before it is complete.

        Raises:
            BadHeadError: it is not HTTP/1.1, or too large.
        """
        while True:
            event = self._next_event()
            if isinstance(event, h11.Request):
                self._is_of_head = event.method == b"HEAD"
                return event
            if event is not h11.NEED_DATA:
                raise BadHeadError("the connection was closed before a request was complete")
            data = bytes(await self._stream.receive_some(_READ_BYTES))
            if not data:
                return None
            self.received += data
            self._h11.receive_data(data)

    @property
    def n_head(self) -> int:
        """Bytes of the head, once it has been read."""
        return len(self.received) - len(self.rest)

    @property
    def rest(self) -> bytes:
        """What came behind what has been read of the request."""
        return bytes(self._h11.trailing_data[0])

    async def read_body(self, max_bytes: int, announced_bytes: int) -> bytes:
        """The whole body.

        Args:
            max_bytes: that it may have.
            announced_bytes: by its Content-Length.

        Raises:
            BodyTooLargeError: it is too long.
            BodyTimeoutError: it has not come in time.
            BadHeadError: its chunks cannot be read.
        """
        if announced_bytes > max_bytes:
            raise BodyTooLargeError(max_bytes)
        body, deadline = bytearray(), trio.current_time() + _BODY_SECONDS
        while (piece := await self._next_piece(deadline)) is not None:
            body += piece
            if len(body) > max_bytes:
                raise BodyTooLargeError(max_bytes)
        return bytes(body)

    async def send(self, response: Response) -> bool:
        """Send the answer, without its body where a HEAD asked.

        Returns:
            Whether another request may follow on the connection.

        Raises:
            trio.BrokenResourceError: the client has gone, or takes nothing.
        """
        headers = response.raw_headers()
        headers.append((b"date", format_date_time(time.time()).encode()))
        if self._h11.they_are_waiting_for_100_continue:
            # Whether the body comes now is for the client to know.
            headers.append((b"connection", b"close"))
        head = self._h11.send(h11.Response(status_code=response.status, headers=headers))
        assert head is not None
        if self._is_of_head or not len(response.body):
            await self._write(head + self._end())
        elif isinstance(response.body, bytes) and len(response.body) <= PIECE_BYTES:
            await self._write(head + self._framed(response.body) + self._end())
        else:
            await self._write(head)
            async with aclosing(response.pieces()) as pieces:
                async for piece in pieces:
                    await self._write(self._framed(piece))
            self._end()
        if self._h11.their_state is h11.SEND_BODY:
            await self._throw_rest_away()
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    def _framed(self, piece: bytes) -> bytes:
        return self._h11.send(h11.Data(data=piece)) or b""

    def _end(self) -> bytes:
        return self._h11.send(h11.EndOfMessage()) or b""

    async def _write(self, data: bytes) -> None:
        with trio.move_on_after(_PIECE_SECONDS) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError(f"a client took nothing for {_PIECE_SECONDS:g} s")

    async def _throw_rest_away(self) -> None:
        """Read what is left of the body; its connection ends where that is too much."""
        n_bytes, deadline = 0, trio.current_time() + _REST_SECONDS
        try:
            while self._h11.their_state is h11.SEND_BODY and n_bytes <= _REST_BYTES:
                n_bytes += len(await self._next_piece(deadline) or b"")
        except (BadHeadError, BodyTimeoutError):
            # It has its answer already.
            return

    async def _next_piece(self, deadline: float) -> bytes | None:
        """More of the body; None when it is over.

        Raises:
            BodyTimeoutError: nothing has come by the deadline, trio's clock, s.
            BadHeadError: its chunks cannot be read, or it ends too early.
        """
        while True:
            event = self._next_event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if event is not h11.NEED_DATA:
                return None
            if self._h11.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self._write(self._h11.send(go_on) or b"")
            data = b""
            with trio.move_on_at(deadline) as scope, suppress(trio.BrokenResourceError):
                data = bytes(await self._stream.receive_some(_READ_BYTES))
            if scope.cancelled_caught:
                raise BodyTimeoutError(_BODY_SECONDS)
            self.received += data
            # Of a client that has gone, h11 says that its body is not complete.
            self._h11.receive_data(data)

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What h11 makes of what has been received.

        Raises:
            BadHeadError: it cannot be read.
        """
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            # It holds itself by a frame of h11's, and with it all that has been read.
            error.__traceback__ = None
            if error.error_status_hint == _TOO_LARGE:
                what = f"first line and headers: takes {self._max_head_bytes} bytes at most"
                raise BadHeadError(f"{what} (PHANTOM_MAX_HEAD_BYTES)", _TOO_LARGE) from error
            # Without the line that h11 quotes: it may be the one with the token.
            said = str(error).partition(": b")[0]
            raise BadHeadError(
                f"not a request that can be read: {said}", error.error_status_hint
            ) from None
