"""The rest of a request's body, waited for before its answer ends.

An application may answer before it has been sent the whole body: a route that takes none, a path
that there is not, a body that is too long. Where the rest then comes in a later segment, hypercorn
wants to close the connection: within the application's last `send`, and after telling it of the
disconnect. Quart-Trio cancels that very `send` on hearing of it. So the connection was neither
closed nor read on, for ever, and with it whatever the client asked next
(`tests/e2e/test_rest_of_body.py`).

Here the end of an answer waits until the body has been received, while the framework reads it, so
that the connection can go on with the next request. What has been answered is with the client
already. When the rest does not come, or does not end, the last `send` is let through, shielded.
"""

from __future__ import annotations

import trio
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
)

_REST_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
# Of a body that is too long, for a client that reads no answer before it has sent it all.
_REST_BYTES = 2**20


class RequestBody:
    """The two callables of one HTTP request, for an application that reads while it answers.

    Args:
        receive, send: of the server.
    """

    def __init__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        self._receive = receive
        self._send = send
        self._n_bytes = 0
        self._is_over = trio.Event()

    async def receive(self) -> ASGIReceiveEvent:
        """The next event."""
        event = await self._receive()
        if event["type"] == "http.request":
            self._n_bytes += len(event.get("body", b""))
            if not event.get("more_body", False) or self._n_bytes > _REST_BYTES:
                self._is_over.set()
        return event

    async def send(self, event: ASGISendEvent) -> None:
        """Send; the end of the answer when the body is over.

        Cancelled: the client has gone, or the server goes away.
        """
        if event["type"] != "http.response.body" or event.get("more_body", False):
            await self._send(event)
            return
        with trio.move_on_after(_REST_SECONDS):
            await self._is_over.wait()
        with trio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._send(event)
