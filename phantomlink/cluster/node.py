"""This node among the others: what its processes have, told to the directory of all nodes.

The parent's own directory knows which process of the node has a session; here is what follows for
the other nodes. Nothing of it is imported where there are none.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from urllib.parse import urlsplit

import trio

from phantomlink import __version__
from phantomlink.access.exposure import may_be_exposed
from phantomlink.cluster.lease import LeaseTimes
from phantomlink.cluster.lease import Standing as Stands
from phantomlink.cluster.membership import Membership
from phantomlink.cluster.messages import Mirrored, Standing
from phantomlink.cluster.mirrors import Mirrors
from phantomlink.cluster.placing import Elsewhere
from phantomlink.cluster.relay import Relay
from phantomlink.cluster.relay_header import Relayed, verified
from phantomlink.cluster.shared_directory import DirectoryAwayError, NodeRecord, Ownership
from phantomlink.cluster.tickets import node_of
from phantomlink.cluster.valkey import open_directory
from phantomlink.cluster.workers import Workers
from phantomlink.engine.directory import SessionRecord
from phantomlink.errors import SettingsError
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

_NS = 1_000_000_000
_MOVE_SHARE_OF_GRACE = 0.3
_LOOK_SECONDS = 0.05
_REMEMBERED_OWNERS = 1000


class Node:
    """As `NodeSessions`, and what the parent asks.

    Args:
        membership: of this node.
        workers: its processes.
        settings: of this node.

    Attributes:
        membership, relay: of it.
        mirrors: sessions of other nodes that it plays too.
    """

    def __init__(
        self, membership: Membership, workers: Workers, relay: Relay, settings: Settings
    ) -> None:
        self.membership = membership
        self.relay = relay
        self._workers = workers
        self.mirrors = Mirrors(
            membership,
            workers,
            settings.mirror_clients,
            websocket_url(membership.node.url),
            settings.cluster_lease_seconds,
        )
        self._owners: dict[str, Ownership] = {}
        # What the workers know of the mirrors of their sessions.
        self._mirrored = Mirrored({}, {})
        self._secret = settings.cluster_secret or ""
        self._max_sessions = settings.max_sessions
        self._grace_seconds = settings.grace_seconds

    def records(self) -> list[SessionRecord]:
        """As `NodeSessions.records`."""
        return self._workers.directory.records()

    def room(self) -> int:
        """As `NodeSessions.room`."""
        if not self._workers.ready:
            return 0
        return max(self._max_sessions - len(self._workers.directory), 0)

    def digests(self) -> Collection[str]:
        """As `NodeSessions.digests`."""
        return self._workers.digests

    def inherit(self, records: Sequence[SessionRecord]) -> None:
        """As `NodeSessions.inherit`."""
        logger.warning("Sessions taken over from another node: %d", len(records))
        for record in records:
            self.mirrors.own(record.code)
        # Their mirrors go on: no command may be carried out that they have not been told of.
        inherited = {each.code: each.mirrors for each in records if each.mirrors}
        self.mirrored(self._mirrored.tickets | inherited)
        self._workers.inherit(records)

    def give_up(self, codes: Sequence[str], moved_to: str | None = None) -> None:
        """As `NodeSessions.give_up`."""
        self._workers.give_up(codes, moved_to)

    def mirrored(self, tickets: Mapping[str, tuple[str, ...]]) -> None:
        """As `NodeSessions.mirrored`."""
        names = {node_of(ticket) for its in tickets.values() for ticket in its}
        peers = [each for each in self.membership.peers if each.name in names]
        told = Mirrored(dict(tickets), {each.name: websocket_url(each.url) for each in peers})
        if told != self._mirrored:
            self._mirrored = told
            self._workers.tell_mirrored(told)

    def standing_changed(self) -> None:
        """As `NodeSessions.standing_changed`."""
        peers = self.membership.peers
        processes = tuple(name for peer in peers for name in peer.processes)
        self._workers.stand(self._standing(), processes)

    def verified(self, value: str, method: str, target: str) -> Relayed | None:
        """What another node says of a request; None where it is none of ours."""
        return verified(value, method, target, self._secret, time.time())

    async def owner_of(self, code: str) -> Ownership | None:
        """Who has a session; None where there is none, or nobody knows.

        While the directory is away, who had it when it was asked last.
        """
        try:
            owner = await self.membership.find(code)
        except DirectoryAwayError:
            return self._owners.get(code)
        self._owners.pop(code, None)
        if owner is not None and owner.node is not None:
            self._owners[code] = owner
            if len(self._owners) > _REMEMBERED_OWNERS:
                del self._owners[next(iter(self._owners))]
        return owner

    async def place_of(self, code: str) -> Elsewhere | bool:
        """Where a session is that this node does not know; False where it waits for its owner.

        True where there is none, or nobody knows: a worker says so.
        """
        owner = await self.owner_of(code)
        if owner is None:
            return True
        url = self.membership.url_of(owner.node or "")
        return False if url is None else Elsewhere(url)

    def url_of_process(self, process: str) -> str | None:
        """Where the node of a process is reached."""
        peers = self.membership.peers
        return next((peer.url for peer in peers if process in peer.processes), None)

    async def leave(self) -> None:
        """Let the other nodes take over, and tell the clients where their sessions are then."""
        codes = [record.code for record in self.records()]
        peers = self.membership.peers
        await self.membership.leave()
        if not peers:
            return
        with trio.move_on_after(self._grace_seconds * _MOVE_SHARE_OF_GRACE):
            while codes:
                for code in list(codes):
                    owner = await self.owner_of(code)
                    url = None if owner is None else self.membership.url_of(owner.node or "")
                    if url is not None:
                        codes.remove(code)
                        self.give_up([code], websocket_url(url))
                await trio.sleep(_LOOK_SECONDS)

    def _standing(self) -> Standing:
        membership = self.membership
        lease = membership.lease
        state = {Stands.HELD: "up", Stands.STATIC: "static"}.get(lease.standing, "gone")
        return Standing(
            lease.plays_until_ns,
            membership.may_change,
            state,  # type: ignore[arg-type]
            membership.common.offset_ns,
        )


def check_cluster(settings: Settings) -> None:
    """Refuse what would not be safe, or not work.

    Raises:
        SettingsError: names it.
    """
    if find_spec("coredis") is None:
        raise SettingsError(
            "cluster_url: got a server, but its client is not installed; install it with: "
            "pip install 'phantomlink[cluster]'"
        )
    if settings.cluster_secret is None:
        raise SettingsError(
            "cluster_secret: got none, takes one where there is a cluster_url: that of all nodes"
        )
    parts = urlsplit(settings.cluster_url or "")
    if not parts.password and parts.scheme == "redis" and may_be_exposed(parts.hostname or ""):
        raise SettingsError(
            "cluster_url: got a server beyond this machine without a password: whoever reaches it "
            "could steer all nodes; give one, redis://:PASSWORD@HOST"
        )


def with_identity(settings: Settings, url: str, port: int) -> Settings:
    """The settings with the name and URL of this node, where they are not given."""
    return replace(
        settings,
        node_name=settings.node_name or f"{socket.gethostname()}-{port}"[:64],
        node_url=settings.node_url or url,
    )


async def run_node(
    settings: Settings,
    workers: Workers,
    task_status: trio.TaskStatus[Node] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be one of the nodes until `Node.leave`, or cancelled; started with the node.

    Raises:
        SettingsError: the directory cannot be reached, or the name is taken.
    """
    name, url, secret = settings.node_name, settings.node_url, settings.cluster_secret
    assert name is not None
    assert url is not None
    assert secret is not None
    relay = Relay(name, secret)

    async def ask(peers: Sequence[NodeRecord]) -> list[bool]:
        answers: list[bool] = []

        async def ask_one(peer: NodeRecord) -> None:
            answer = await relay.sees_directory(peer.url)
            if answer is not None:
                answers.append(answer)

        with trio.move_on_after(settings.cluster_lease_seconds / 5):
            async with trio.open_nursery() as nursery:
                for peer in peers:
                    nursery.start_soon(ask_one, peer)
        return answers

    ttl_ns = int(settings.cluster_lease_seconds * _NS)
    times = LeaseTimes(ttl_ns, int(settings.cluster_grace_seconds * _NS))
    opening = open_directory(
        settings.cluster_url or "", settings.cluster_prefix, ttl_ns // 1_000_000
    )
    async with opening as directory:
        record = NodeRecord(name, url, workers.names, __version__)
        membership = Membership(record, directory, times, ask)
        await membership.join()
        node = Node(membership, workers, relay, settings)
        task_status.started(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.mirrors.run)
            await membership.run(node)
            nursery.cancel_scope.cancel()


def websocket_url(url: str) -> str:
    """What URLs of a node's streams begin with."""
    return url.replace("http", "ws", 1)
