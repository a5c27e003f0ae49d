"""`phantomlink serve --processes N`: the process that listens, and sends each connection on.

It accepts, reads the first head, and passes the connection to the worker that has the session, with
what has been read. It plays nothing, opens no recording, and answers nothing itself but that nobody
can.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import h11
import trio

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.cluster.heads import FirstHead, first_head, read_first_head
from phantomlink.cluster.kept_sessions import KeptSessions
from phantomlink.cluster.messages import Connection
from phantomlink.cluster.placing import Elsewhere, with_most_room
from phantomlink.cluster.process_settings import check_settings, share_of
from phantomlink.cluster.refusal import refuse, stream_of
from phantomlink.cluster.relay import Unreachable
from phantomlink.cluster.relay_header import ASK, CLIENT
from phantomlink.cluster.routing import code_in, makes_session
from phantomlink.cluster.workers import Workers
from phantomlink.engine.session_codes import is_code
from phantomlink.logs import limit_descriptor_lines
from phantomlink.scheduling.running_time import keep_running_time
from phantomlink.scheduling.spreading import spread_seconds
from phantomlink.server.addresses import urls_of
from phantomlink.server.listening import announce, listen
from phantomlink.server.ready_file import ReadyFile
from phantomlink.server.signals import StopSignals, watch_grace
from phantomlink.settings import Settings

if TYPE_CHECKING:
    from phantomlink.cluster.node import Node

logger = logging.getLogger(__name__)

_HEAD_SECONDS = 10.0
# For an heir of a session whose worker has just ended, or for a worker that starts.
_OWNER_SECONDS = 10.0
_PROMISE_SECONDS = 2.0
_LOOK_SECONDS = 0.05


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
                settings = _with_identity(settings, listeners)
                parent = Parent(settings, recording, more, nursery)
                node = await _join(settings, parent, nursery)
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
                parent.keep_last_state()
                if node is not None:
                    await node.leave()
                parent.workers.drain()
                await running.wait()
            nursery.cancel_scope.cancel()


def _with_identity(settings: Settings, listeners: list[trio.SocketListener]) -> Settings:
    """With name and URL of this node, where there are others."""
    if settings.cluster_url is None:
        return settings
    from phantomlink.cluster.node import check_cluster, with_identity  # noqa: PLC0415

    check_cluster(settings)
    address = listeners[0].socket.getsockname()[:2]
    return with_identity(settings, urls_of(*address)[0], address[1])


async def _join(settings: Settings, parent: Parent, nursery: trio.Nursery) -> Node | None:
    """Be one of several nodes, to the end of the nursery, where there are others."""
    if settings.cluster_url is None:
        return None
    from phantomlink.cluster.node import run_node  # noqa: PLC0415

    node: Node = await nursery.start(run_node, settings, parent.workers)
    parent.join(node)
    return node


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
        names = [str(number) for number in range(n)]
        if settings.cluster_url is not None:
            names = [f"{settings.node_name}/{number}" for number in names]
        self.workers = Workers(
            share_of(settings, n), recording, more, names, self._route_back, settings.max_sessions
        )
        self._node: Node | None = None
        self._kept: KeptSessions | None = None

    async def run_workers(
        self, task_status: trio.TaskStatus[trio.Event] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the workers to their end, of which the event tells that `start` gives.

        Started when the sessions of the last run are there again.
        """
        ended = trio.Event()
        folder = self._settings.state_dir
        async with trio.open_nursery() as nursery:
            await nursery.start(self.workers.run)
            if folder is not None:
                self._kept = KeptSessions(
                    folder, self.workers.coming_back, loops=self._settings.loop
                )
                await self._kept.bring_back()
                nursery.start_soon(self._kept.run)
            task_status.started(ended)
        ended.set()

    def keep_last_state(self) -> None:
        """Keep the sessions as they are now, before the workers end them."""
        if self._kept is not None:
            self._kept.freeze()

    def join(self, node: Node) -> None:
        """This is one of several nodes."""
        self._node = node
        self.workers.membership = node.membership
        self.workers.mirrors = node.mirrors

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
                    await self._enter(stream.socket.fileno(), head, None, settle)
        except (OSError, trio.BrokenResourceError) as error:
            logger.debug("A connection broke: %s", error)
        finally:
            await trio.aclose_forcefully(stream)

    def _route_back(self, connection: Connection, sock: socket.socket) -> None:
        """A worker has given a connection back, or opens one to another worker."""
        self._nursery.start_soon(self._route_on, connection, sock)

    async def _route_on(self, connection: Connection, sock: socket.socket) -> None:
        try:
            await self._route_again(connection, sock)
        except (OSError, trio.BrokenResourceError) as error:
            logger.debug("A connection broke: %s", error)

    async def _route_again(self, connection: Connection, sock: socket.socket) -> None:
        with sock:
            if connection.peer is not None:
                await self._connect(connection, connection.peer, sock)
                return
            try:
                head = first_head(connection.received, self._settings.max_head_bytes)
            except h11.RemoteProtocolError:
                head = None
            await self._enter(
                sock.fileno(), head or FirstHead(connection.received), connection.node
            )

    async def _connect(self, connection: Connection, peer: str, sock: socket.socket) -> None:
        """Bring a worker's question to another worker, of this node or another one."""
        name = connection.node or ""
        child = self.workers.ready.get(name)
        if child is not None:
            child.pass_on(connection, sock.dup())
        elif self._node is not None and (url := self._node.url_of_process(name)) is not None:
            request = self._node.relay.sign(connection.received, name, peer, closes=True)
            async with stream_of(sock.fileno()) as stream:
                with suppress(Unreachable, trio.BrokenResourceError):
                    await self._node.relay.pass_on(stream, url, request, _never)

    async def _enter(
        self,
        descriptor: int,
        head: FirstHead,
        wanted: str | None,
        settle: Callable[[], None] | None = None,
    ) -> None:
        """Send a connection to where it belongs; it is closed by the caller, here.

        Args:
            descriptor: of it.
            head: of its first request.
            wanted: a worker or node that it is known to belong to.
            settle: called once it goes on here for as long as its client wants.
        """
        if head.relay is None:
            await self._route(descriptor, head, wanted, None, settle)
            return
        target = head.path if not head.query else f"{head.path}?{head.query}"
        node = self._node
        relayed = None if node is None else node.verified(head.relay, head.method, target)
        if node is None or relayed is None:
            await refuse(descriptor, "the relay header proves nothing", HTTPStatus.FORBIDDEN)
        elif relayed.purpose == ASK:
            sees = node.membership.sees_directory
            status = HTTPStatus.OK if sees else HTTPStatus.SERVICE_UNAVAILABLE
            await refuse(descriptor, "whether the directory is in reach", status)
        elif relayed.purpose == CLIENT:
            await self._route(descriptor, head, wanted, relayed.peer)
        elif (child := self.workers.ready.get(relayed.purpose)) is not None:
            connection = Connection(head.received, relayed.purpose, relayed.peer)
            child.pass_on(connection, socket.socket(fileno=os.dup(descriptor)))

    async def _route(
        self,
        descriptor: int,
        head: FirstHead,
        wanted: str | None,
        client: str | None,
        settle: Callable[[], None] | None = None,
    ) -> None:
        """Send a client's connection to a worker, or pass it on to another node.

        Args:
            descriptor: of it.
            head: of its first request.
            wanted: a worker or node that it is known to belong to.
            client: of one that another node has passed on, the client's address.
            settle: as for `_enter`.
        """
        reason, status = "no process can serve this now: try again", HTTPStatus.SERVICE_UNAVAILABLE
        place: str | Elsewhere | None = None
        end = trio.current_time() + _OWNER_SECONDS
        while trio.current_time() < end:
            place = self._mirror(descriptor, head) if (client, wanted) == (None, None) else None
            if place is None:
                with trio.move_on_at(end):
                    place = await self._place(head, wanted)
            if not isinstance(place, Elsewhere) or client is not None:
                break
            if settle is not None:
                # A stream that is passed on is no longer one that has said nothing.
                settle()
            try:
                await self._pass_on(descriptor, head, place.url)
            except Unreachable as error:
                reason, status = str(error), HTTPStatus.BAD_GATEWAY
                if error.was_sent and head.method not in {"GET", "HEAD"}:
                    break
                # It is gone, most likely, and has an heir soon.
                await trio.sleep(_LOOK_SECONDS)
            else:
                return
        child = self.workers.ready.get(place) if isinstance(place, str) else None
        if place is None and self._node is not None and self.workers.ready:
            reason = (
                "the node that had the session is gone, and no other one that has its recording "
                "has taken it over yet: try again"
            )
        if child is None:
            await refuse(descriptor, reason, status)
            return
        connection = Connection(head.received, client=client)
        child.pass_on(connection, socket.socket(fileno=os.dup(descriptor)))

    async def _pass_on(self, descriptor: int, head: FirstHead, url: str) -> None:
        """Pass a request on to another node, to the end of its answer.

        Raises:
            Unreachable: nothing of an answer has come.
        """
        assert self._node is not None
        sock = socket.socket(fileno=os.dup(descriptor))
        with sock:
            peer = sock.getpeername()[0]
        request = self._node.relay.sign(head.received, CLIENT, peer, closes=not head.upgrades)
        is_gone = partial(self._node.membership.is_gone, url)
        with self._node.mirrors.passing(head, peer) as passed:
            async with stream_of(descriptor) as stream:
                with suppress(trio.BrokenResourceError):
                    await self._node.relay.pass_on(stream, url, request, is_gone, passed)

    def _mirror(self, descriptor: int, head: FirstHead) -> str | None:
        """The worker that plays the session of a stream though another node owns it."""
        if self._node is None:
            return None
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            peer: str = sock.getpeername()[0]
        return self._node.mirrors.place(head, peer)

    async def _place(self, head: FirstHead, wanted: str | None) -> str | Elsewhere:
        """Where a request belongs to, once that is known: a worker, or another node."""
        if wanted in self.workers.ready:
            return wanted
        if self._node is not None and wanted is not None:
            url = self._node.membership.url_of(wanted)
            if url is not None:
                return Elsewhere(url)
        code = code_in(head.method, head.path, head.query)
        while True:
            directory, ready = self.workers.directory, self.workers.ready
            if code is not None and directory.has(code):
                owner = directory.find(code)
                if owner in ready:
                    return owner
            elif ready:
                if code is not None and self._node is not None and is_code(code):
                    found = await self._node.place_of(code)
                    if isinstance(found, Elsewhere):
                        return found
                    if not found:
                        # It waits for an heir: this node, or one that is soon told of.
                        await trio.sleep(_LOOK_SECONDS)
                        continue
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


def _never() -> bool:
    """Questions of workers have short deadlines of their own."""
    return False
