"""Runs a Trio application in a thread of its own, for a server that runs asyncio.

`hypercorn phantomlink.app:app`, without `--worker-class trio`, calls the application from an
asyncio loop. Everything behind it needs Trio, so Trio runs in a second thread and the two loops
pass ASGI events to each other.

Theory of operation. The lifespan call owns the thread: it starts it, and when it ends the thread
has ended. Every call of the server (lifespan, request, WebSocket) is a Trio task of the
application and an asyncio task that waits for it. `receive` and `send` are the server's own,
called on its loop one at a time, and Trio's side waits for the outcome: at most one event is on
its way in each direction, so backpressure and errors arrive as if the two ran on one loop, and
nothing is polled. What Trio cancels while the server is at it goes on there: an event that was
being received is kept for the next `receive`, and the next `send` waits its turn. When the server
cancels a call, the application is cancelled, and the server's task ends after it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeVar

import outcome
import trio

from phantomlink.scheduling.running_time import RunningClock

logger = logging.getLogger(__name__)

Event = Any
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

# How long the server's task waits for a call that it has cancelled: a WebSocket client may be
# given two seconds to answer the close.
_CANCEL_SECONDS = 5.0

# Kept until the thread has ended: on these the server ends us, too.
_LAST_EVENTS = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})

_T = TypeVar("_T")


class BridgeError(RuntimeError):
    """The thread of the application is not there, or has ended under a call."""


class AsyncioBridge:
    """An ASGI application for asyncio that is one for Trio.

    Args:
        app: the application, called under Trio only, in one thread.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._side: _TrioSide | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass one call on.

        Raises:
            BridgeError: the server has not called the lifespan, or that has ended.
            Exception: what the application raised.
        """
        if scope["type"] == "lifespan":
            logger.warning(
                "Running under asyncio, with Trio in a thread beside it: "
                "hypercorn --worker-class trio is faster, and phantomlink serve faster still"
            )
            _say_without_values(asyncio.get_running_loop())
            await self._run_thread(scope, receive, send)
        elif self._side is None:
            raise BridgeError("the application runs from the start to the end of its lifespan")
        else:
            await self._side.call(self._app, scope, receive, send)

    async def _run_thread(self, scope: Any, receive: Receive, send: Send) -> None:
        last: list[Event] = []

        async def send_or_keep(event: Event) -> None:
            if event["type"] in _LAST_EVENTS:
                last.append(event)
            else:
                await send(event)

        self._side = side = _TrioSide()
        try:
            await side.call(self._app, scope, receive, send_or_keep)
        finally:
            self._side = None
            await side.stop()
        for event in last:
            await send(event)


def _say_without_values(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop say of a task whose error nobody took what the error is, but not the task.

    Its repr has the error's, and that of an error about bytes which could not be decoded has the
    bytes: a token may be in them. Early Python 3.11 say so of what hypercorn could not read.
    """
    server_says = loop.get_exception_handler()

    def say(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        told = {name: value for name, value in context.items() if name not in {"future", "task"}}
        if server_says is None:
            loop.default_exception_handler(told)
        else:
            server_says(loop, told)

    loop.set_exception_handler(say)


class _TrioSide:
    """The thread, and the calls that it works on. Made and called on the asyncio loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_open = False
        self._has_begun = threading.Event()
        self._ended = asyncio.Event()
        self._calls: set[_Call] = set()
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        # A daemon: a loop that is torn down without the end of the lifespan must not keep the
        # process. In every other case it is joined.
        self._thread = threading.Thread(target=self._run, name="phantomlink-trio", daemon=True)
        self._thread.start()
        # A millisecond, before the server serves: no state between none and running.
        self._has_begun.wait()

    async def stop(self) -> None:
        """End the thread, and with it the calls that are left; a cancellation waits for that."""
        _run_soon(self._token, self._close)
        waiting = self._loop.create_task(self._ended.wait())
        cancelled: asyncio.CancelledError | None = None
        until = self._loop.time() + _CANCEL_SECONDS
        while not waiting.done() and (left := until - self._loop.time()) > 0:
            try:
                await asyncio.wait([waiting], timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
        if waiting.done():
            self._thread.join()
        else:
            waiting.cancel()
            logger.error("The Trio loop did not end within %g s", _CANCEL_SECONDS)
        if cancelled is not None:
            raise cancelled

    async def call(self, app: Application, scope: Any, receive: Receive, send: Send) -> None:
        """Run one call of the application to its end."""
        if self._ended.is_set():
            raise BridgeError("the application's thread has ended")
        call = _Call(self._loop, self._token, receive, send)
        self._calls.add(call)
        try:
            # Where the loop ends before it begins, `_note_end` ends the waiting.
            _run_soon(self._token, self._begin, call, partial(app, scope))
            await call.wait()
        finally:
            self._calls.discard(call)

    # On the Trio thread.

    def _run(self) -> None:
        result = outcome.capture(partial(trio.run, self._main, clock=RunningClock()))
        _call_soon(self._loop, self._note_end, result)

    async def _main(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._token = trio.lowlevel.current_trio_token()
            self._is_open = True
            self._has_begun.set()
            await trio.sleep_forever()

    def _begin(self, call: _Call, app: Callable[[Any, Any], Awaitable[None]]) -> None:
        if self._is_open:
            self._nursery.start_soon(call.run, app)

    def _close(self) -> None:
        self._is_open = False
        self._nursery.cancel_scope.cancel()

    # On the asyncio loop again.

    def _note_end(self, result: outcome.Outcome[None]) -> None:
        self._ended.set()
        if isinstance(result, outcome.Error):
            logger.error("The Trio loop failed", exc_info=result.error)
        for call in self._calls:
            call.abandon(BridgeError("the application's thread has ended"))


class _Call:
    """One call: an asyncio task that waits, and a Trio task that runs the application."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        token: trio.lowlevel.TrioToken,
        receive: Receive,
        send: Send,
    ) -> None:
        self._loop = loop
        self._token = token
        self._server_receive = receive
        self._server_send = send
        self._done: asyncio.Future[None] = loop.create_future()
        self._at_work: set[asyncio.Task[None]] = set()
        self._scope = trio.CancelScope()
        self._receiving = trio.Lock()
        self._received: _Pending[Event] | None = None
        self._sending = trio.Lock()
        self._sent: _Pending[None] | None = None

    async def wait(self) -> None:
        """Wait on the asyncio loop until the application has ended, and raise what it raised."""
        try:
            await asyncio.shield(self._done)
        except asyncio.CancelledError:
            if not self._done.done():
                _run_soon(self._token, self._scope.cancel)
                await asyncio.wait([self._done], timeout=_CANCEL_SECONDS)
            if self._done.done() and not self._done.cancelled():
                self._done.exception()  # seen: the cancellation is what counts
            raise
        finally:
            for task in self._at_work:
                task.cancel()
            if self._at_work:
                await asyncio.wait(self._at_work)

    def abandon(self, error: Exception) -> None:
        """End the waiting: the application will not answer any more."""
        if not self._done.done():
            self._done.set_exception(error)

    # On the Trio thread.

    async def run(self, app: Callable[[Any, Any], Awaitable[None]]) -> None:
        """Run the application; nothing that it raises leaves this task."""
        with self._scope:
            result = await outcome.acapture(app, self._receive, self._send)
        _call_soon(self._loop, self._note_end, _without_cancelled(result))

    async def _receive(self) -> Event:
        async with self._receiving:
            if self._received is None:
                self._received = self._ask(self._server_receive)
            result = await self._received.wait()
            # Not before: a cancelled wait leaves the event to the next call.
            self._received = None
        return result.unwrap()

    async def _send(self, event: Event) -> None:
        async with self._sending:
            if self._sent is not None:
                # Its caller was cancelled and does not want to know; the order stays.
                await self._sent.wait()
            self._sent = self._ask(partial(self._server_send, event))
            result = await self._sent.wait()
            self._sent = None
        result.unwrap()

    def _ask(self, function: Callable[[], Awaitable[_T]]) -> _Pending[_T]:
        pending = _Pending[_T]()
        _call_soon(self._loop, self._begin, function, pending)
        return pending

    # On the asyncio loop.

    def _begin(self, function: Callable[[], Awaitable[_T]], pending: _Pending[_T]) -> None:
        task = self._loop.create_task(self._finish(function, pending))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _finish(self, function: Callable[[], Awaitable[_T]], pending: _Pending[_T]) -> None:
        result = await outcome.acapture(function)
        _run_soon(self._token, pending.set, result)

    def _note_end(self, result: outcome.Outcome[None]) -> None:
        if self._done.done():
            return
        if isinstance(result, outcome.Error):
            self._done.set_exception(result.error)
        else:
            self._done.set_result(None)


class _Pending(Generic[_T]):
    """What the server's `receive` or `send` will have come to; used on the Trio thread."""

    def __init__(self) -> None:
        self._is_set = trio.Event()
        self._result: outcome.Outcome[_T]

    def set(self, result: outcome.Outcome[_T]) -> None:
        """It has come to this."""
        self._result = result
        self._is_set.set()

    async def wait(self) -> outcome.Outcome[_T]:
        """Wait for it; a cancelled wait changes nothing."""
        await self._is_set.wait()
        return self._result


def _without_cancelled(result: outcome.Outcome[None]) -> outcome.Outcome[None]:
    """The outcome as asyncio may know it: being cancelled is between us and Trio."""
    if not isinstance(result, outcome.Error):
        return result
    error: BaseException | None = result.error
    if isinstance(error, trio.Cancelled):
        error = None
    elif isinstance(error, BaseExceptionGroup):
        error = error.split(trio.Cancelled)[1]
    return outcome.Value(None) if error is None else outcome.Error(error)


def _run_soon(token: trio.lowlevel.TrioToken, function: Callable[..., Any], *args: Any) -> None:
    """Call on the Trio loop, from the asyncio thread; nothing when that loop has ended."""
    try:
        token.run_sync_soon(function, *args)
    except trio.RunFinishedError:
        logger.debug("The Trio loop has ended by itself")


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> None:
    """Call on the asyncio loop, from the Trio thread; nothing when that loop has been closed."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        logger.debug("The asyncio loop was closed before the application had ended")
