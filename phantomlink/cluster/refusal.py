"""What the process that listens answers itself: that nobody can serve a request now."""

from __future__ import annotations

import json
import os
import socket

import trio

_RETRY_AFTER_SECONDS = 5
_SECONDS = 1.0


def refusal(detail: str) -> bytes:
    """A whole answer, as the workers give it for what is not available."""
    problem = {"type": "about:blank", "title": "Not available", "status": 503, "detail": detail}
    body = json.dumps(problem).encode()
    lines = (
        "HTTP/1.1 503 Service Unavailable",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        f"retry-after: {_RETRY_AFTER_SECONDS}",
        "connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


async def refuse(descriptor: int, detail: str) -> None:
    """Answer 503 on a connection, and give the client a second to read it.

    Args:
        descriptor: of the connection; it stays open.
        detail: why.
    """
    sock = socket.socket(fileno=os.dup(descriptor))
    sock.setblocking(False)
    async with trio.SocketStream(trio.socket.from_stdlib_socket(sock)) as stream:
        with trio.move_on_after(_SECONDS):
            await stream.send_all(refusal(detail))
            await stream.send_eof()
            # Closing with unread bytes would reset the connection, and the answer with it.
            while await stream.receive_some():
                pass
