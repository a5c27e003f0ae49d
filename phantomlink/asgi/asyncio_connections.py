"""hypercorn's asyncio worker, so that connections which say nothing are limited there too.

Each connection is a task of its own there, so nothing has to be guarded. The handler is replaced in
the one name by which the worker refers to it, before the worker has begun to listen; it changes
nothing but that a connection for which there is no room is closed at once.

There is no room either when few descriptors are left. Without any, asyncio's `_accept_connection`
(Python 3.11) schedules a hundred retries, each of which schedules a hundred more: the loop does
nothing else then, and every stream stands still.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer

from phantomlink.access.pending_connections import PendingConnections

if sys.platform != "win32":
    import resource

logger = logging.getLogger("asyncio")

# More than asyncio accepts at once (hypercorn's `backlog`) before a handler of these can close one.
_RESERVED = 150


class LimitedTCPServer(TCPServer):
    """hypercorn's connection handler; counted until its first request reaches the application."""

    def __init__(self, pending: PendingConnections, *args: Any) -> None:
        super().__init__(*args)
        self._pending = pending
        self._settle: Callable[[], None] | None = None
        self._real_app = self.app
        self.app = self._run_app  # type: ignore[assignment]  # passes on what it is given

    def __await__(self) -> Generator[Any, Any, None]:
        return self.run().__await__()

    async def run(self) -> None:
        """Serve the connection to its end, or close it."""
        peer = self.writer.get_extra_info("peername")
        descriptor = self.writer.get_extra_info("socket").fileno()
        if _is_among_the_last(descriptor):
            _say_full(descriptor)
            self.writer.transport.abort()
            return
        with self._pending.counted(peer[0] if isinstance(peer, tuple) else None) as self._settle:
            if self._settle is None:
                self.writer.transport.abort()
                return
            try:
                await super().run()
            except asyncio.CancelledError:
                # The end of this task. Python 3.11's streams show a traceback for each that is
                # cancelled, which those of stuck clients are when the worker ends.
                if not self.context.terminated.is_set():
                    raise

    async def _run_app(self, scope: Any, receive: Any, send: Any, *tools: Any) -> None:
        if self._settle is not None:
            self._settle()
        await self._real_app(scope, receive, send, *tools)


def _is_among_the_last(descriptor: int) -> bool:
    """Whether few are left. The lowest free number is taken, so a high one says how many are."""
    if sys.platform == "win32":
        return False
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and descriptor >= limit - _RESERVED


def _say_full(descriptor: int) -> None:
    # With the error that it would become, so that it is one line a minute.
    error = OSError(errno.EMFILE, f"{descriptor} {os.strerror(errno.EMFILE)}")
    logger.warning("New connections are closed", exc_info=error)


def limit_asyncio_connections(pending: PendingConnections) -> None:
    """Limit those of this process's asyncio worker, if there is one."""
    worker: Any = hypercorn.asyncio.run
    worker.TCPServer = partial(LimitedTCPServer, pending)
