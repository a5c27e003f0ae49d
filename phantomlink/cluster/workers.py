"""Starts the workers, hears what they say, and keeps as many running as there should be.

A worker's end is seen at once, by the end of its channel: what it had written is read before. Its
sessions go to the others, and another one starts in its place, unless so many have ended that
something must be wrong with all of them.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import trio

from phantomlink.cluster.child import Child
from phantomlink.cluster.coming_back import ComingBack
from phantomlink.cluster.messages import (
    Answers,
    Claim,
    Clients,
    Connection,
    Digests,
    Drain,
    Failed,
    Forget,
    GiveBack,
    GiveUp,
    Idle,
    Mirrored,
    MirrorSays,
    Nodes,
    Passed,
    Ready,
    Reserve,
    Reserved,
    Standing,
    StateRead,
    Sync,
    Synced,
    Taken,
    ToParent,
    Write,
)
from phantomlink.cluster.placing import Load, shares
from phantomlink.cluster.room import RoomMaker
from phantomlink.cluster.starts import Starts
from phantomlink.cluster.worker_slots import slots_file
from phantomlink.engine.directory import MemoryDirectory, SessionRecord
from phantomlink.errors import PhantomLinkError, SettingsError
from phantomlink.settings import Settings

if TYPE_CHECKING:
    from phantomlink.cluster.membership import Membership
    from phantomlink.cluster.mirror_reports import MirrorReports

logger = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
# Before a node claims sessions again of a dataset that it could not play.
_FAILED_SECONDS = 30.0


class Workers:
    """All of them.

    Args:
        settings: of each.
        recording: path or dataset name; None for the one that the settings name.
        more: paths or names of further datasets.
        names: of each; as many as there are to be.
        route: sends a connection on that a worker has given back.
        max_sessions: of all of them.

    Attributes:
        directory: who owns which session.
        names: as given.
        membership: this node's among others, once there is one.
        mirrors: hears of the sessions of other nodes that are played here too.
        coming_back: sessions of the last run.
    """

    def __init__(
        self,
        settings: Settings,
        recording: str | None,
        more: Sequence[str],
        names: Sequence[str],
        route: Callable[[Connection, socket.socket], None],
        max_sessions: int,
    ) -> None:
        self._settings = settings
        self._recording = recording
        self._more = tuple(more)
        self.names = tuple(names)
        self._route = route
        self.directory = MemoryDirectory()
        self._room = RoomMaker(self.directory, max_sessions)
        self._ready: dict[str, Child] = {}
        self._changed = trio.Event()
        self._starts = Starts()
        self.membership: Membership | None = None
        self.mirrors: MirrorReports | None = None
        self._mirrored = Mirrored({}, {})
        self._standing: Standing | None = None
        self._remote: tuple[str, ...] = ()
        self._digests: dict[str, tuple[str, ...]] = {}
        self._failed: dict[str, float] = {}
        # What each has said last of the clients of each address, and of the viewers.
        self._clients: dict[tuple[str, str | None], Clients] = {}
        self._is_draining = False
        self._has_started = False
        self.coming_back = ComingBack(
            self.directory, self._ready, self.inherit, self._reserve_again
        )

    @property
    def ready(self) -> dict[str, Child]:
        """Those that can serve now, by name."""
        return self._ready

    def loads(self) -> dict[str, Load]:
        """What each of them has to do."""
        return {
            node: Load(self.directory.n_sessions(node), child.n_promised)
            for node, child in self._ready.items()
        }

    async def changed(self) -> None:
        """Wait until a worker comes or goes."""
        await self._changed.wait()

    def _has_changed(self) -> None:
        self.coming_back.look()
        self._changed.set()
        self._changed = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep them running, until all have ended after `drain`. Started when all are ready.

        Raises:
            PhantomLinkError: one cannot start, or too many have ended.
        """
        with slots_file() as slots:
            async with trio.open_nursery() as nursery:
                for node in self.names:
                    # One by one: the first one makes the index of the recording for all.
                    await nursery.start(self._keep, node, slots)
                self._has_started = True
                task_status.started()

    def drain(self) -> None:
        """Let all of them tell their clients, and end."""
        self._is_draining = True
        for child in self._ready.values():
            child.channel.send_nowait(Drain())

    async def _keep(
        self,
        node: str,
        slots: int,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run one worker after another under this name; `slots` as `Child` has them."""
        while True:
            gently = self._has_started and bool(self._ready)
            child = Child(node, self.directory.join(node), slots, gently=gently)
            says_what = not self._has_started and node == self.names[0]
            child.start(
                self._settings,
                self._recording,
                self._more,
                says_what=says_what,
                has_nodes=self._settings.cluster_url is not None,
            )
            try:
                await self._listen_to(child, task_status)
            finally:
                await child.end()
                self._gone(child)
            if child.failure is not None and not child.is_ready:
                raise SettingsError(child.failure)
            if self._is_draining:
                return
            self._starts.check()
            logger.error("Process %s (pid %d) has ended: another one starts", node, child.pid)
            if self._ready:
                # To start takes a core for a second, which the heirs and their clients need now.
                await trio.sleep(_RESTART_SECONDS)

    async def _listen_to(self, child: Child, task_status: trio.TaskStatus[None]) -> None:
        """Hear what a worker says, to its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.channel.run)
            nursery.start_soon(self._kill_when_silent, child)
            while (came := await child.channel.receive()) is not None:
                child.heard()
                message, sock = came
                if isinstance(message, Ready):
                    self.coming_back.came(message)
                    self._came(child)
                    if not self._has_started:
                        task_status.started()
                else:
                    self._hear(child, message, sock, nursery)
            nursery.cancel_scope.cancel()

    def _hear(
        self, child: Child, message: ToParent, sock: socket.socket | None, nursery: trio.Nursery
    ) -> None:
        match message:
            case Connection():
                assert sock is not None
                self._route(message, sock)
            case Taken():
                child.taken()
            case Reserve():
                nursery.start_soon(self._reserve, child, message)
            case Write(record=record):
                # What it has given up meanwhile must not come back.
                has = self.directory.has(record.code)
                if has and self.directory.write(child.node, child.epoch, record):
                    self._note(record)
                    self.coming_back.settle(record.code)
            case Forget(code=code):
                if self.directory.find(code) == child.node:
                    self.directory.forget(code, child.node)
                    self._forget(code)
                    self.coming_back.settle(code)
                self._room.look()
            case GiveBack(code=code):
                self._take_back(child, code)
                self.coming_back.settle(code)
            case StateRead():
                self.coming_back.has_read(message)
            case Digests(sha256=sha256, default=default):
                self._digests[child.node] = sha256
                self.coming_back.sha256 = default or self.coming_back.sha256
            case MirrorSays() | Answers() if self.mirrors is not None:
                self.mirrors.hear(message)
            case Sync(call=call):
                nursery.start_soon(self._sync, child, call)
            case Passed():
                self._tell_others(child, message)
            case Clients(node=node, address=address, n_clients=n_clients):
                self._clients[node, address] = message
                if not n_clients:
                    del self._clients[node, address]
                self._tell_others(child, message)
            case Idle():
                self._room.answered(message)
            case Failed(text=text):
                child.failure = text

    def _tell_others(self, child: Child, message: Passed | Clients) -> None:
        for other in self._ready.values():
            if other is not child:
                other.channel.send_nowait(message)

    async def _reserve(self, child: Child, asked: Reserve) -> None:
        answer = await self._reserved(child, asked)
        child.n_promised = max(child.n_promised - 1, 0)
        child.channel.send_nowait(answer)

    async def _reserved(self, child: Child, asked: Reserve) -> Reserved:
        call, code = asked.call, asked.code
        if not self.directory.has(code):
            if reason := await self._room.make(self._ready.values()):
                return Reserved(call, None, reason)
            if self.membership is not None:
                try:
                    owner = await self.membership.reserve(code)
                except PhantomLinkError as error:
                    return Reserved(call, None, away=str(error))
                if owner.node != self.membership.node.name:
                    return Reserved(call, owner.node)
        return Reserved(call, self.directory.create(code, child.node))

    async def _reserve_again(self, code: str) -> bool:
        """Whether a session of the last run is to come back: no node has it, or is to have it."""
        is_free = self.membership is None or await self.membership.has_reserved(code)
        return is_free and not self.directory.has(code)

    async def _sync(self, child: Child, call: int) -> None:
        is_written = self.membership is None or await self.membership.written()
        child.channel.send_nowait(Synced(call, is_written))

    def _note(self, record: SessionRecord) -> None:
        if self.membership is not None:
            self.membership.note(record)

    def _forget(self, code: str) -> None:
        if self.membership is not None and not self._is_draining:
            self.membership.forget(code)

    @property
    def digests(self) -> set[str]:
        """SHA-256 of the datasets that all who can serve have, and that none has failed to play."""
        now = trio.current_time()
        self._failed = {sha256: until for sha256, until in self._failed.items() if until > now}
        known = [set(self._digests.get(node, ())) for node in self._ready]
        return set.intersection(*known) - set(self._failed) if known else set()

    def _take_back(self, child: Child, code: str) -> None:
        """A worker cannot have a session that it was given."""
        if self.directory.find(code) != child.node:
            return
        record = self.directory.record(code)
        self.directory.forget(code, child.node)
        self._room.look()
        if self.membership is not None and not self._is_draining:
            if record is not None and record.sha256 is not None:
                self._failed[record.sha256] = trio.current_time() + _FAILED_SECONDS
            self.membership.give_back(code)

    def inherit(self, records: Sequence[SessionRecord]) -> None:
        """Let sessions of another node go on here."""
        for record in records:
            if not self.directory.has(record.code):
                self.directory.adopt(record)
        self._find_heirs()

    def give_up(self, codes: Sequence[str], moved_to: str | None) -> None:
        """End sessions here that another node has; see `GiveUp`."""
        of_child: dict[str, list[str]] = {}
        for code in codes:
            node = self.directory.drop(code)
            if node is not None:
                of_child.setdefault(node, []).append(code)
        for node, its in of_child.items():
            if node in self._ready:
                self._ready[node].channel.send_nowait(GiveUp(tuple(its), moved_to))
        self._room.look()

    def tell_mirrored(self, mirrored: Mirrored) -> None:
        """Tell all which of their sessions other nodes play too."""
        self._mirrored = mirrored
        for child in self._ready.values():
            child.channel.send_nowait(mirrored)

    def stand(self, standing: Standing, remote: tuple[str, ...]) -> None:
        """Tell all how this node stands, and which processes other nodes have."""
        self._standing = standing
        for child in self._ready.values():
            child.channel.send_nowait(standing)
        if remote != self._remote:
            self._remote = remote
            self._tell_all()

    async def _kill_when_silent(self, child: Child) -> None:
        await child.kill_when_silent()
        logger.error("Process %s (pid %d) does nothing: it is killed", child.node, child.pid)

    def _came(self, child: Child) -> None:
        child.is_ready = True
        self._ready[child.node] = child
        if self._standing is not None:
            child.channel.send_nowait(self._standing)
            child.channel.send_nowait(self._mirrored)
        for clients in self._clients.values():
            child.channel.send_nowait(clients)
        if self._is_draining:
            child.channel.send_nowait(Drain())
        self._tell_all()
        self._find_heirs()

    def _gone(self, child: Child) -> None:
        self._ready.pop(child.node, None)
        if self.mirrors is not None:
            self.mirrors.gone(child.node)
        for code in self.directory.leave(child.node):
            self._forget(code)
        self._digests.pop(child.node, None)
        self._clients = {key: each for key, each in self._clients.items() if key[0] != child.node}
        for connection, sock in child.take_back():
            self._route(connection, sock)
        self._tell_all()
        if not self._is_draining:
            self._find_heirs()

    def _tell_all(self) -> None:
        names = (*self._ready, *self._remote)
        for child in self._ready.values():
            child.channel.send_nowait(Nodes(names))
        self._has_changed()

    def _find_heirs(self) -> None:
        """Let the sessions that nobody owns go to the workers that there are."""
        for node, n in (
            shares(self.directory.n_unowned, self.loads()).items() if self._ready else ()
        ):
            if n:
                records = tuple(self.directory.claim(node, n))
                self._ready[node].channel.send_nowait(Claim(records))
        self._has_changed()
