"""Listens to a stream: one task that receives and takes the time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import h11
import trio
import trio_websocket

from phantomlink.errors import PhantomLinkError
from phantomlink.watch.checks import StreamChecker
from phantomlink.watch.figures import Arrivals
from phantomlink.watch.rest import REST_SECONDS, RestAnswer, ask, json_object
from phantomlink.watch.target import Target
from phantomlink.watch.verdicts import Closed

# 1024 units as JSON, with a metadata message of a long recording, are well below.
_MAX_MESSAGE_BYTES = 16 * 2**20
_CONNECT_SECONDS = 10.0
_DISCONNECT_SECONDS = 2.0
_ABNORMAL_CLOSURE = 1006
_ASK_AGAIN_SECONDS = 0.2
# Nobody answers, or who answers says that the server is starting.
_NOT_YET = frozenset({None, 502, 503})

OnMessage = Callable[[int, dict[str, Any] | None], bool]
"""Told of every message: when it came (monotonic, ns) and its packet, if it was one. Answers
whether to go on."""


class CannotWatchError(PhantomLinkError):
    """There is no stream to watch: no server, or it refuses.

    Attributes:
        status: HTTP status with which the server refused; None when none answered.
        problem: its problem details, if it gave any.
    """

    title = "Cannot watch"

    def __init__(
        self, message: str, status: int | None = None, problem: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


async def listen(
    target: Target,
    seconds: float,
    checker: StreamChecker,
    arrivals: Arrivals,
    on_message: OnMessage,
) -> Closed | None:
    """Receive until the time is over, the server closes or `on_message` has enough.

    Cancelled: what was received until then is in `checker` and `arrivals`.

    Args:
        target: the stream.
        seconds: how long, from when the connection is open.
        checker: gets every message.
        arrivals: gets the time of every packet.
        on_message: told after both.

    Returns:
        How the server closed; None when it did not.

    Raises:
        CannotWatchError: no connection.
    """
    arrivals.connecting_ns = arrivals.opened_ns = arrivals.ended_ns = time.monotonic_ns()
    opened = False
    closed: Closed | None = None
    try:
        async with trio_websocket.open_websocket_url(
            target.url,
            max_message_size=_MAX_MESSAGE_BYTES,
            connect_timeout=_CONNECT_SECONDS,
            disconnect_timeout=_DISCONNECT_SECONDS,
            extra_headers=[
                (name.encode(), value.encode()) for name, value in target.headers.items()
            ],
        ) as connection:
            opened = True
            arrivals.opened_ns = arrivals.ended_ns = time.monotonic_ns()
            try:
                with trio.move_on_after(seconds):
                    closed = await _receive(connection, checker, arrivals, on_message)
            finally:
                arrivals.ended_ns = time.monotonic_ns()
    except trio_websocket.HandshakeError as error:
        # Once it was open, only the goodbye can have failed, and that is none of our business.
        if not opened:
            raise _cannot_watch(target, error) from error
    except h11.ProtocolError as error:
        # trio-websocket lets out what its parser says of an answer that is not HTTP's.
        if opened:
            raise
        raise CannotWatchError(f"{target.url} does not speak WebSocket: {error}") from error
    return closed


async def wait_for_server(target: Target, seconds: float) -> None:
    """Wait until the server answers and is ready, at most for so long."""
    with trio.move_on_after(seconds):
        # Another process: there is no event to wait for.
        while (await _rest("GET", target, "/readyz")).status in _NOT_YET:  # noqa: ASYNC110
            await trio.sleep(_ASK_AGAIN_SECONDS)


async def ask_session(target: Target) -> RestAnswer:
    """What the server's REST says of the session."""
    return await _rest("GET", target, f"/api/sessions/{quote(target.code)}")


async def end_session(target: Target) -> None:
    """End the session, if the server lets us: it was made for this watching alone."""
    await _rest("DELETE", target, f"/api/sessions/{quote(target.code)}")


async def _receive(
    connection: trio_websocket.WebSocketConnection,
    checker: StreamChecker,
    arrivals: Arrivals,
    on_message: OnMessage,
) -> Closed | None:
    while True:
        try:
            raw = await connection.get_message()
        except trio_websocket.ConnectionClosed as error:
            reason = error.reason
            if reason is None:
                return Closed(_ABNORMAL_CLOSURE, "")
            return Closed(reason.code, reason.reason or "")
        received_ns = time.monotonic_ns()
        n_packets = checker.n_packets
        packet = checker.message(raw)
        if checker.n_packets > n_packets:
            arrivals.packet(received_ns, len(raw))
        if not on_message(received_ns, packet):
            return None


def _cannot_watch(target: Target, error: trio_websocket.HandshakeError) -> CannotWatchError:
    if isinstance(error, trio_websocket.ConnectionRejected):
        answer = RestAnswer(error.status_code, json_object(error.body or b""))
        what = f": {answer.detail}" if answer.detail else ""
        return CannotWatchError(
            f"{target.url} was refused with status {answer.status}{what}",
            answer.status,
            answer.body,
        )
    if isinstance(error, trio_websocket.ConnectionTimeout):
        return CannotWatchError(
            f"{target.url} did not answer as a WebSocket server does in {_CONNECT_SECONDS:g} s"
        )
    if isinstance(error.__cause__, OSError):
        return CannotWatchError(
            f"cannot connect to {target.url}: {_reason(error.__cause__)}; start a server with "
            "`phantomlink serve`, or name another by its URL"
        )
    return CannotWatchError(f"{target.url} does not speak WebSocket")


def _reason(error: BaseException) -> str:
    """Why no connection came about. trio tries every address and keeps the reasons behind it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(_reason(each) for each in error.exceptions))
    if not isinstance(error, OSError):
        return str(error)
    if error.errno is None and error.__cause__ is not None:
        return _reason(error.__cause__)
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


async def _rest(method: str, target: Target, path: str) -> RestAnswer:
    asked = partial(ask, target.api_url + path, method, target.headers)
    with trio.move_on_after(REST_SECONDS):
        return await trio.to_thread.run_sync(asked, abandon_on_cancel=True)
    return RestAnswer()
