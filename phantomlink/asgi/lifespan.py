"""Start and end of the application behind an ASGI server that is not ours.

The framework has a lifespan of its own, but logs a traceback for a recording that is not there,
and so does hypercorn. A start that fails for a reason that a person can mend is one line here.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, NoReturn, Protocol

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, LifespanScope

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.asgi.asyncio_connections import limit_asyncio_connections
from phantomlink.asgi.hypercorn_guard import guard_hypercorn
from phantomlink.asgi.worker_lock import WorkerLock
from phantomlink.errors import PhantomLinkError, leaves
from phantomlink.logs import limit_descriptor_lines

logger = logging.getLogger(__name__)

_START_FAILED = 2


class StartableApp(Protocol):
    """What is used of the application."""

    nursery: trio.Nursery

    async def run_service(self, task_status: trio.TaskStatus[None]) -> None:
        """Run the service until it is stopped."""
        ...

    def get_access_policy(self) -> AccessPolicy:
        """What lets requests and connections in."""
        ...

    async def startup(self) -> None:
        """Start the framework."""
        ...

    async def shutdown(self) -> None:
        """End the framework and the service."""
        ...


class Lifespan:
    """One lifespan of the application, as the framework makes it for each such call.

    Args:
        app: the application.
        scope: of the call.
    """

    def __init__(self, app: StartableApp, scope: LifespanScope) -> None:
        self._app = app
        self._has_started = False

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Start when told, end when told.

        Raises:
            Exception: a failure while starting or ending that is a bug.
        """
        failure: str | None = None
        limit_descriptor_lines()
        await receive()  # lifespan.startup
        try:
            with WorkerLock():
                await self._run(receive, send)
        except* PhantomLinkError as group:
            if self._has_started:
                raise
            failure = str(next(leaves(group)))
        if failure is None:
            await send({"type": "lifespan.shutdown.complete"})
        else:
            logger.error("phantomlink: %s", failure)
            failed: Any = {"type": "lifespan.startup.failed", "message": failure}
            await leaving_when_refused(send)(failed)

    async def _run(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async with trio.open_nursery() as nursery:
            self._app.nursery = nursery
            await nursery.start(self._app.run_service)
            await self._app.startup()
            # Before the server listens, which it does once this has started.
            pending = self._app.get_access_policy().pending_connections
            guard_hypercorn(pending)
            limit_asyncio_connections(pending)
            self._has_started = True
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
            await self._app.shutdown()
            nursery.cancel_scope.cancel()


def leaving_when_refused(send: ASGISendCallable) -> ASGISendCallable:
    """The server's `send`, which ends the worker where the server raises on a failed start."""

    async def send_or_leave(event: Any) -> None:
        try:
            await send(event)
        except Exception:
            # hypercorn's own, which it would show with 60 lines of traceback. Here and not where
            # the application hears of it: in its other thread, the server goes on meanwhile.
            if event["type"] != "lifespan.startup.failed":
                raise
            _leave()

    return send_or_leave


def _leave() -> NoReturn:
    """End the worker process at once, saying no more.

    hypercorn knows no other way to end a worker without a traceback: an exit that is raised
    arrives in a group. Nothing is served yet and nothing is open but the log.
    """
    logging.shutdown()
    sys.stderr.flush()
    os._exit(_START_FAILED)
