"""`phantomlink serve --processes N`: the process that listens, and sends each connection on.

It accepts, reads the first head, and passes the connection to the worker that has the session, with
what has been read. It plays nothing, opens no recording, and answers nothing itself but that nobody
can.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import h11
import trio

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.cluster.heads import FirstHead, first_head, read_first_head
from phantomlink.cluster.messages import Connection
from phantomlink.cluster.placing import with_most_room
from phantomlink.cluster.refusal import refuse
from phantomlink.cluster.routing import code_in, makes_session
from phantomlink.cluster.workers import Workers
from phantomlink.errors import SettingsError
from phantomlink.logs import limit_descriptor_lines
from phantomlink.scheduling.running_time import keep_running_time
from phantomlink.scheduling.spreading import spread_seconds
from phantomlink.server.listening import announce, listen
from phantomlink.server.ready_file import ReadyFile
from phantomlink.server.signals import StopSignals, watch_grace
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

_HEAD_SECONDS = 10.0
# For an heir of a session whose worker has just ended, or for a worker that starts.
_OWNER_SECONDS = 10.0
_PROMISE_SECONDS = 2.0


async def serve_processes(
    settings: Settings,
    recording: str | None = None,
    ready_path: Path | None = None,
    opens_browser: bool = False,
    more: Sequence[str] = (),
) -> None:
    """Open the port, start the workers, and serve until a signal; see `serve`.

    Raises:
        SettingsError: the port cannot be opened, the ready file not be written, a worker not start,
            or a setting does not go with several processes.
        PhantomLinkError: too many workers have ended.
    """
    check_settings(settings)
    limit_descriptor_lines()
    with ReadyFile(ready_path) as ready:
        async with trio.open_nursery() as nursery:
            signals = StopSignals(ready.remove)
            await nursery.start(signals.watch)
            nursery.start_soon(keep_running_time)
            with signals.starting:
                listeners = await listen(settings)
                parent = Parent(settings, recording, more, nursery)
                running = await nursery.start(parent.run_workers)
                nursery.start_soon(
                    partial(trio.serve_listeners, parent.handle, listeners, handler_nursery=nursery)
                )
                opener = nursery if opens_browser else None
                announce(settings, listeners, parent.policy.warn_if_exposed, ready, opener)
                signals.has_started = True
                await signals.told.wait()
                ready.remove()
                watch_grace(settings.grace_seconds, lambda: None, ready.remove)
                parent.workers.drain()
                await running.wait()
            nursery.cancel_scope.cancel()


def check_settings(settings: Settings) -> None:
    """Refuse what several processes cannot do.

    Raises:
        SettingsError: names it.
    """
    n = settings.processes
    if sys.platform != "linux":
        raise SettingsError(f"processes: got {n}, takes 1: more need Linux")
    if settings.state_dir is not None:
        raise SettingsError(
            f"state_dir: got {settings.state_dir}, takes none with processes = {n}: sessions are "
            "kept over a restart by one process only; leave PHANTOM_STATE_DIR away, or take "
            "--processes 1"
        )


def share_of(settings: Settings, n: int) -> Settings:
    """What each of `n` workers is told: memory and counts of all are divided among them."""
    return replace(
        settings,
        recordings_memory_mb=max(settings.recordings_memory_mb // n, 1),
        spin_share=settings.spin_share / n,
        lsl_max_sessions=math.ceil(settings.lsl_max_sessions / n),
        max_captures=math.ceil(settings.max_captures / n),
    )


class Parent:
    """The process that listens.

    Args:
        settings: what the server was told.
        recording: path or dataset name; None for the one that the settings name.
        more: paths or names of further datasets.
        nursery: in which connections wait for their worker.

    Attributes:
        policy: counts the connections that have said nothing yet.
        workers: where connections go.
    """

    def __init__(
        self,
        settings: Settings,
        recording: str | None,
        more: Sequence[str],
        nursery: trio.Nursery,
    ) -> None:
        self._settings = settings
        self.policy = AccessPolicy(settings)
        self._nursery = nursery
        self._turn = count()
        n = settings.processes
        self.workers = Workers(
            share_of(settings, n), recording, more, n, self._route_back, settings.max_sessions
        )

    async def run_workers(
        self, task_status: trio.TaskStatus[trio.Event] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the workers to their end, of which the event tells that `start` gives."""
        ended = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(self.workers.run)
            task_status.started(ended)
        ended.set()

    async def handle(self, stream: trio.SocketStream) -> None:
        """Send one connection on."""
        try:
            peer: str = stream.socket.getpeername()[0]
            with self.policy.pending_connections.counted(peer) as settle:
                if settle is None:
                    return
                head = None
                with trio.move_on_after(spread_seconds(_HEAD_SECONDS)):
                    head = await read_first_head(stream, self._settings.max_head_bytes)
                if head is not None:
                    await self._route(stream.socket.fileno(), head, None)
        except (OSError, trio.BrokenResourceError) as error:
            logger.debug("A connection broke: %s", error)
        finally:
            await trio.aclose_forcefully(stream)

    def _route_back(self, connection: Connection, sock: socket.socket) -> None:
        """A worker has given a connection back, or opens one to another worker."""
        self._nursery.start_soon(self._route_on, connection, sock)

    async def _route_on(self, connection: Connection, sock: socket.socket) -> None:
        with sock:
            if connection.peer is not None:
                child = self.workers.ready.get(connection.node or "")
                if child is not None:
                    child.pass_on(connection, sock.dup())
                return
            try:
                head = first_head(connection.received, self._settings.max_head_bytes)
            except h11.RemoteProtocolError:
                head = None
            await self._route(
                sock.fileno(), head or FirstHead(connection.received), connection.node
            )

    async def _route(self, descriptor: int, head: FirstHead, wanted: str | None) -> None:
        """Send a connection to a worker; it is closed by the caller, here."""
        with trio.move_on_after(_OWNER_SECONDS):
            node = wanted if wanted in self.workers.ready else await self._place(head)
            child = self.workers.ready[node]
            child.pass_on(Connection(head.received), socket.socket(fileno=os.dup(descriptor)))
            return
        await refuse(descriptor, "no process can serve this now: try again")

    async def _place(self, head: FirstHead) -> str:
        """The worker that a request belongs to, once there is one."""
        code = code_in(head.method, head.path, head.query)
        while True:
            directory, ready = self.workers.directory, self.workers.ready
            if code is not None and directory.has(code):
                owner = directory.find(code)
                if owner in ready:
                    return owner
            elif ready:
                if makes_session(head.method, head.path):
                    return self._promise()
                return sorted(ready)[next(self._turn) % len(ready)]
            await self.workers.changed()

    def _promise(self) -> str:
        """The worker that a new session goes to; it counts there before it is made."""
        node = with_most_room(self.workers.loads())
        child = self.workers.ready[node]
        child.n_promised += 1

        async def forget() -> None:
            await trio.sleep(_PROMISE_SECONDS)
            child.n_promised = max(child.n_promised - 1, 0)

        self._nursery.start_soon(forget)
        return node
