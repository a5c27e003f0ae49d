"""What the process that listens answers itself: that nobody can serve a request now."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from http import HTTPStatus

import trio

_RETRY_AFTER_SECONDS = 5
_SECONDS = 1.0


def refusal(detail: str, status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE) -> bytes:
    """A whole answer, of the form in which the workers refuse."""
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    body = json.dumps(problem).encode()
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        f"retry-after: {_RETRY_AFTER_SECONDS}",
        "connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


async def refuse(
    descriptor: int, detail: str, status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE
) -> None:
    """Answer on a connection, and give the client a second to read it, if it is still there.

    Args:
        descriptor: of the connection; it stays open.
        detail: why.
        status: of the answer.
    """
    async with stream_of(descriptor) as stream:
        with trio.move_on_after(_SECONDS), suppress(trio.BrokenResourceError):
            await stream.send_all(refusal(detail, status))
            await stream.send_eof()
            # Closing with unread bytes would reset the connection, and the answer with it.
            while await stream.receive_some():
                pass


def stream_of(descriptor: int) -> trio.SocketStream:
    """A connection once more; its descriptor stays open beside it."""
    sock = socket.socket(fileno=os.dup(descriptor))
    sock.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))
