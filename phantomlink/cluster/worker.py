"""One of the processes that play.

It is the server of one process without a port: connections come from the parent, with what has
been read of them. It ends at once when the parent does.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from phantomlink.application import Application
from phantomlink.cluster.announcements import Announcements
from phantomlink.cluster.channel import Channel
from phantomlink.cluster.dispatch import WorkerDispatch
from phantomlink.cluster.known_datasets import KnownDatasets
from phantomlink.cluster.last_run import identity_of, read_last_run
from phantomlink.cluster.links import Links
from phantomlink.cluster.lists import InnerDispatch, OtherLists
from phantomlink.cluster.messages import (
    Alive,
    AskIdle,
    Claim,
    Clients,
    Connection,
    Digests,
    Drain,
    EndMirror,
    Evict,
    Failed,
    GiveUp,
    Idle,
    Mirror,
    Mirrored,
    Nodes,
    Passed,
    ReadState,
    Ready,
    Reserved,
    Standing,
    Start,
    Synced,
    Taken,
    ToWorker,
)
from phantomlink.cluster.mirror_sessions import MirrorSessions
from phantomlink.cluster.records import WorkerOwnership
from phantomlink.cluster.routing import code_in
from phantomlink.cluster.session_making import SessionMaking
from phantomlink.cluster.takeover import Takeover
from phantomlink.engine.session_codes import is_code
from phantomlink.errors import PhantomLinkError, leaves
from phantomlink.logs import limit_descriptor_lines, set_up_logging
from phantomlink.rest.request import RequestHead
from phantomlink.scheduling.loop_budget import after_late_ticks
from phantomlink.scheduling.running_time import RunningClock, running_seconds
from phantomlink.server.front import Server
from phantomlink.server.handover import InnerConnection
from phantomlink.server.serve import say_what
from phantomlink.server.signals import watch_grace
from phantomlink.service.service import Service
from phantomlink.settings import Settings

ALIVE_SECONDS = 0.5
# Whether there is LSL.
_SAID_BY_THE_FIRST = "phantomlink.outputs.lsl.manager"


class Worker:
    """A process that plays.

    Args:
        channel: to the parent.
        start: what the parent has said first.
        slots: descriptor of the file with the slots of all workers.
    """

    def __init__(self, channel: Channel[ToWorker], start: Start, slots: int) -> None:
        self._channel = channel
        self._start = start
        # Written by the parent's process, which started this one.
        self._settings: Settings = pickle.loads(start.settings)
        self._links = Links(channel, start.node, has_nodes=start.has_nodes)
        self._connections_send, self._connections = trio.open_memory_channel[
            tuple[Connection, socket.socket]
        ](float("inf"))
        self._is_drained = trio.Event()
        self._ownership = WorkerOwnership(self._links, self._service, start.epoch, slots)
        self._app = Application(
            self._settings, start.recording, more=start.more, ownership=self._ownership
        )
        self._inner = InnerDispatch(self._app.dispatch, self._app)
        self._announcements = Announcements(self._ownership, self._links.written)
        self._dispatch = WorkerDispatch(self._app.dispatch, self._links, self._announcements)
        self._app.dispatch = self._dispatch
        self._server = Server(self._app, self._settings, self)
        self._takeover: Takeover | None = None
        self._mirrors: MirrorSessions | None = None
        self._known: KnownDatasets | None = None
        self._digests = Digests(())

    async def run(self) -> None:
        """Serve until the parent says that it is over."""
        limit_descriptor_lines()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._channel.run)
            nursery.start_soon(self._listen_to_parent, nursery)
            nursery.start_soon(self._beat)
            await nursery.start(self._app.run_service)
            self._share_counts()
            self._app.get_service().datasets.after_look = self._dispatch.rescan_others
            self._app.get_views().include(OtherLists(self._links).look)
            service = self._service()
            if self._start.has_nodes:
                self._known = KnownDatasets(service.datasets)
                nursery.start_soon(self._known.run)
            making = SessionMaking(service, self._known)
            self._takeover = Takeover(making, self._ownership, nursery)
            if self._start.has_nodes:
                await nursery.start(service.mirrored.run)
                n_views = self._app.get_views().hub.n_viewers_of
                self._mirrors = MirrorSessions(service, making, self._links, nursery, n_views)
            await nursery.start(self._server.run_with, self._accept)
            if self._start.says_what:
                say_what(self._app.get_service())
            identity = identity_of(self._service())
            self._channel.send_nowait(
                Ready(identity.dataset, identity.size_bytes, identity.modified_ns)
            )
            await self._is_drained.wait()
            watch_grace(self._settings.grace_seconds, self._server.give_up)
            await self._server.say_goodbye()
            self._app.stop()
            nursery.cancel_scope.cancel()

    def _share_counts(self) -> None:
        """Let requests and clients of an address, and viewers, count at the other workers, too."""

        def say(address: str | None, n_clients: int) -> None:
            self._channel.send_nowait(Clients(self._links.node, address, n_clients))

        policy = self._service().policy
        policy.rates.after_take = lambda address: self._channel.send_nowait(Passed(address))
        policy.connection_limits.after_change = say
        self._app.get_views().hub.after_change = partial(say, None)

    def _service(self) -> Service:
        return self._app.get_service()

    async def belongs_here(self, head: RequestHead) -> bool:
        """As `Handover.belongs_here`: no session, or one that is here or about to be."""
        code = code_in(head.method, head.path, head.query)
        if code is None or not is_code(code):
            return True
        assert self._takeover is not None
        await self._takeover.arrival(code)
        return code in self._app.get_service().registry

    async def settle(self, head: RequestHead) -> None:
        """As `Handover.settle`."""
        code = code_in(head.method, head.path, head.query)
        if code is not None and self._takeover is not None:
            await self._takeover.arrival(code)

    def hand_over(self, stream: trio.SocketStream, received: bytes, node: str | None) -> None:
        """As `Handover.hand_over`."""
        self._links.hand_over(stream, received, node)

    async def _accept(self, nursery: trio.Nursery) -> None:
        async for connection, sock in self._connections:
            sock.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
            inner = (
                None if connection.peer is None else InnerConnection(connection.peer, self._inner)
            )
            nursery.start_soon(
                self._server.handle, stream, connection.received, inner, connection.client
            )
            await after_late_ticks()

    async def _listen_to_parent(self, nursery: trio.Nursery) -> None:
        while (came := await self._channel.receive()) is not None:
            message, sock = came
            match message:
                case Connection():
                    assert sock is not None
                    if message.peer is None:
                        self._channel.send_nowait(Taken())
                    self._connections_send.send_nowait((message, sock))
                case Reserved() | Synced():
                    self._links.answered(message)
                case Standing():
                    self._stand(message)
                case GiveUp(codes=codes, moved_to=moved_to):
                    self._give_up(codes, moved_to)
                case Mirrored(tickets=tickets, urls=urls):
                    self._announcements.set_mirrors(tickets, urls)
                case Mirror() if self._mirrors is not None:
                    self._mirrors.tell(message)
                case EndMirror() if self._mirrors is not None:
                    self._mirrors.end(message)
                case Nodes(names=names):
                    self._links.others = tuple(each for each in names if each != self._links.node)
                    self._service().policy.connection_limits.forget_elsewhere(names)
                    self._app.get_views().hub.forget_elsewhere(names)
                case Passed(address=address):
                    self._service().policy.rates.taken_elsewhere(address)
                case Clients(node=node, address=None, n_clients=n_clients):
                    self._app.get_views().hub.count_elsewhere(node, n_clients)
                case Clients(node=node, address=str(address), n_clients=n_clients):
                    self._service().policy.connection_limits.count_elsewhere(
                        node, address, n_clients
                    )
                case Claim(records=records):
                    assert self._takeover is not None
                    self._takeover.expect(records)
                case ReadState(folder=folder):
                    nursery.start_soon(self._read_state, Path(folder))
                case AskIdle(call=call):
                    self._say_idle(call)
                case Evict(code=code):
                    self._evict(code)
                case Drain():
                    self._is_drained.set()
        # The parent is gone, and the port with it.
        os._exit(0)

    def _stand(self, standing: Standing) -> None:
        self._links.standing = standing
        if self._ownership.fence is not None:
            self._ownership.fence.move(standing.plays_until_ns)

    def _give_up(self, codes: Sequence[str], moved_to: str | None) -> None:
        registry = self._app.get_service().registry
        for code in codes:
            registry.give_up(code, None if moved_to is None else f"{moved_to}/stream/{code}")

    def _say_idle(self, call: int) -> None:
        session = self._app.get_service().registry.oldest_idle()
        seconds = 0.0 if session is None else running_seconds() - session.last_used
        code = None if session is None else session.code
        self._channel.send_nowait(Idle(call, code, seconds))

    def _evict(self, code: str) -> None:
        registry = self._app.get_service().registry
        session = registry.find(code)
        if session is not None and not session.is_in_use:
            registry.evict(session)

    async def _beat(self) -> None:
        while True:
            self._channel.send_nowait(Alive())
            if self._takeover is not None:
                self._say_digests()
                self._announcements.look()
            if self._mirrors is not None:
                self._mirrors.say_viewers()
            await trio.sleep(ALIVE_SECONDS)

    def _say_digests(self) -> None:
        """Once the digest of a file is known, sessions that play it can be taken over."""
        service, known = self._service(), self._known
        sha256 = service.datasets.digests() if known is None else known.digests()
        digests = Digests(tuple(sorted(sha256)), service.sha256)
        if digests != self._digests:
            self._digests = digests
            self._channel.send_nowait(digests)
        self._ownership.write_again()

    async def _read_state(self, folder: Path) -> None:
        self._channel.send_nowait(await read_last_run(self._service(), folder))


async def _run(sock: socket.socket, slots: int) -> None:
    channel: Channel[ToWorker] = Channel(sock, ToWorker)  # type: ignore[arg-type]
    came = await channel.receive()
    if came is None:
        return
    start = came[0]
    assert isinstance(start, Start)
    settings: Settings = pickle.loads(start.settings)
    set_up_logging(settings.log_level, settings.log_format, start.node)
    if not start.says_what:
        logging.getLogger(_SAID_BY_THE_FIRST).setLevel(logging.ERROR)
    try:
        await Worker(channel, start, slots).run()
    except* (PhantomLinkError, OSError) as group:
        channel.send_nowait(Failed(str(next(leaves(group)))))
        await channel.flushed()


def run_worker(descriptor: int, slots: int) -> None:
    """Run until the parent ends it.

    Args:
        descriptor: of this end of the channel to the parent.
        slots: descriptor of the file with the slots of all workers.
    """
    trio.run(_run, socket.socket(fileno=descriptor), slots, clock=RunningClock())
