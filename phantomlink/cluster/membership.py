"""A node's part in the shared directory: its lease, its records, and what it takes over.

One task renews the lease and acts as `Lease` decides; another one writes the records that have
changed, all that have gathered in one step. While the directory is away they wait: the newest one
of each session.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import Enum

import trio

from phantomlink.cluster.common_time import CommonTime, TimeSample
from phantomlink.cluster.heirs import Heirs
from phantomlink.cluster.lease import Lease, LeaseTimes, Standing
from phantomlink.cluster.lookup import OwnerLookup
from phantomlink.cluster.node_sessions import NodeSessions
from phantomlink.cluster.shared_directory import (
    DirectoryAwayError,
    DirectoryReturnedError,
    Followed,
    Following,
    LeaseRefusedError,
    NodeNameTakenError,
    NodeRecord,
    Ownership,
    Renewal,
    SharedDirectory,
    shifted,
)
from phantomlink.engine.directory import SessionRecord
from phantomlink.errors import SettingsError

logger = logging.getLogger(__name__)

_NS = 1_000_000_000
_JOIN_LEASES = 3
_WRITTEN_SECONDS = 1.0
# Directories tell what is left of a lease to a millisecond.
_AFTER_END_NS = 2_000_000


class _End(Enum):
    """What became of a session that is not here any more."""

    FOR_ALL = "ended"
    RESERVED = "not made"
    HERE = "given back"


AskPeers = Callable[[Sequence[NodeRecord]], Awaitable[list[bool]]]
"""Whether each peer that answers reaches the directory."""


class Membership:
    """Of one node.

    Args:
        node: what it tells of itself.
        directory: that it shares.
        times: of its lease.
        ask_peers: asks the others.
        now_ns: the machine's monotonic clock.

    Attributes:
        node: as given.
        lease: of it.
        common: time of all nodes.
        epoch: that it writes with; 0 before it has joined.
        peers: the other nodes, as last known.
    """

    def __init__(
        self,
        node: NodeRecord,
        directory: SharedDirectory,
        times: LeaseTimes,
        ask_peers: AskPeers,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.node = node
        self.lease = Lease(times)
        self.common = CommonTime()
        self.epoch = 0
        self.peers: tuple[NodeRecord, ...] = ()
        self._directory = directory
        self._times = times
        self._ask_peers = ask_peers
        self._now_ns = now_ns
        self._sessions: NodeSessions | None = None
        self._waiting: dict[str, SessionRecord | _End] = {}
        self._came = trio.Event()
        self._all_written = trio.Event()
        self._all_written.set()
        self._lookup = OwnerLookup(directory.find)
        self._heirs = Heirs()
        self._may_have_claimed = False
        self._has_left = False
        self._next_end_ns: int | None = None
        self._has_ended = trio.Event()

    async def join(self) -> None:
        """Be one of the nodes.

        Raises:
            SettingsError: the directory cannot be reached, or another node has this name.
        """
        tries = _JOIN_LEASES * self._times.ttl_ns // self._times.renew_ns
        for n in range(tries + 1):
            try:
                self.epoch = await self._directory.join(self.node, self.epoch)
                break
            except NodeNameTakenError as error:
                # One that was killed leaves its lease behind for a while.
                if n == tries:
                    raise SettingsError(f"node_name: {error}; give each its own name") from None
            except DirectoryAwayError as error:
                raise SettingsError(f"cluster_url: {error}") from None
            await trio.sleep(self._times.renew_ns / _NS)

    async def run(self, sessions: NodeSessions) -> None:
        """Renew and write until it leaves, and find sessions until cancelled; it has joined."""
        self._sessions = sessions
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._lookup.run)
            nursery.start_soon(self._be_member, sessions)

    async def _be_member(self, sessions: NodeSessions) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_always)
            while not self._has_left:
                sent_ns = self._now_ns()
                async with trio.open_nursery() as asking:
                    asking.start_soon(self._settle_in_time, sessions, sent_ns)
                    await self._renew(sessions, sent_ns)
                    asking.cancel_scope.cancel()
                await self._settle(sessions)
                sessions.standing_changed()
                await trio.sleep(self._until_next_turn_ns(sent_ns) / _NS)
            self._has_ended.set()
            nursery.cancel_scope.cancel()

    def _until_next_turn_ns(self, sent_ns: int) -> int:
        """A part of the lease after the last renewal; at once when another node's lease ends."""
        next_ns = self._times.renew_ns
        if self._next_end_ns is not None:
            next_ns = min(next_ns, self._next_end_ns + _AFTER_END_NS)
        return max(sent_ns + next_ns - self._now_ns(), 0)

    async def leave(self) -> None:
        """Let others have what this node plays."""
        await self.written()
        self._has_left = True
        # A renewal behind it would be a lease that nobody gives up.
        with trio.move_on_after(self._times.ttl_ns / _NS):
            await self._has_ended.wait()
        try:
            await self._directory.leave(self.node.name, self.epoch)
        except DirectoryAwayError as error:
            logger.warning("The other nodes are not told that this one goes: %s", error)

    @property
    def may_change(self) -> bool:
        """Whether sessions may be made and steered now."""
        return not self._has_left and self.lease.may_change(self._now_ns())

    @property
    def sees_directory(self) -> bool:
        """What this node answers to peers that ask."""
        return self.may_change

    def url_of(self, name: str) -> str | None:
        """Where a peer is reached."""
        return next((peer.url for peer in self.peers if peer.name == name), None)

    def is_gone(self, url: str) -> bool:
        """Whether no peer with a lease is reached there."""
        return all(peer.url != url for peer in self.peers)

    def note(self, record: SessionRecord) -> None:
        """A session of this node is like this now."""
        self._wait_for(record.code, record)

    def forget(self, code: str) -> None:
        """A session of this node has ended, or its reservation is given up."""
        self._wait_for(code, _End.FOR_ALL)

    def give_back(self, code: str) -> None:
        """A session that was taken over cannot be here: others may have it."""
        self._wait_for(code, _End.HERE)

    async def reserve(self, code: str) -> Ownership:
        """Have a code for this node; answers who has it.

        Raises:
            DirectoryAwayError: nobody knows.
        """
        if not self.may_change:
            raise DirectoryAwayError("the directory of the nodes cannot be reached: try again")
        if code in self._waiting:
            # A session that has just ended.
            await self.written()
        try:
            return await self._directory.create(code, self.node.name, self.epoch)
        except DirectoryAwayError as error:
            if not isinstance(error, DirectoryReturnedError):
                # It may have been done.
                self._wait_for(code, _End.RESERVED)
            raise

    async def has_reserved(self, code: str) -> bool:
        """Have a code for this node, as soon as anybody can tell.

        False where another one has it, or the directory has its record and it waits for an heir.
        """
        while True:
            try:
                owner = await self.reserve(code)
            except DirectoryAwayError:
                await trio.sleep(self._times.renew_ns / _NS)
            else:
                return owner.node == self.node.name

    async def find(self, code: str) -> Ownership | None:
        """Who has a session.

        Raises:
            DirectoryAwayError: nobody knows.
        """
        return await self._lookup.owner_of(code)

    async def follow(self, wanted: Sequence[Following]) -> dict[str, Followed]:
        """What has become of sessions of other nodes that this one plays too.

        Raises:
            DirectoryAwayError: nobody knows.
            LeaseRefusedError: this node has no lease.
        """
        told = await self._directory.follow(self.node.name, self.epoch, wanted)
        by_ns = -self.common.offset_ns
        return {
            code: each if each.record is None else replace(each, record=shifted(each.record, by_ns))
            for code, each in told.items()
        }

    async def written(self) -> bool:
        """Wait until what has been noted is in the directory; whether it is."""
        with trio.move_on_after(_WRITTEN_SECONDS):
            await self._all_written.wait()
        return not self._waiting

    def _wait_for(self, code: str, news: SessionRecord | _End) -> None:
        if not self._has_left:
            self._waiting[code] = news
            if self._all_written.is_set():
                self._all_written = trio.Event()
            self._came.set()

    async def _renew(self, sessions: NodeSessions, sent_ns: int) -> None:
        self._next_end_ns = None
        try:
            renewal = await self._directory.renew(self.node, self.epoch)
            self._next_end_ns = renewal.next_end_ns
            self.common.answered(TimeSample(sent_ns, renewal.common_ns, self._now_ns()))
            self.peers = tuple(each for each in renewal.nodes if each.name != self.node.name)
            if renewal.had_lapsed:
                await self._look_again(sessions)
            self._renewed(sent_ns)
            sessions.mirrored(renewal.mirrors)
            if not self._has_left and self.lease.may_claim(self._now_ns()):
                await self._claim(sessions, renewal)
        except DirectoryAwayError as error:
            if self.lease.may_change(self._now_ns()):
                logger.warning("%s", error)
            self.lease.missed()
        except LeaseRefusedError as error:
            logger.warning("%s: what this node plays is given up", error)
            self.lease.refused()
            sessions.give_up([record.code for record in sessions.records()])
            await self.join()

    def _renewed(self, sent_ns: int) -> None:
        if self.lease.standing in {Standing.STATIC, Standing.CUT_OFF}:
            logger.warning("The directory is back")
        self.lease.renewed(sent_ns, self._now_ns())

    async def _look_again(self, sessions: NodeSessions) -> None:
        """Write all records anew where others may have claimed sessions, and give those up."""
        records = sessions.records()
        refused = await self._write(records)
        logger.warning(
            "The lease of this node had ended: of %d sessions, others have taken %d",
            *(len(records), len(refused)),
        )
        sessions.give_up(refused)

    async def _settle_in_time(self, sessions: NodeSessions, sent_ns: int) -> None:
        """As `_settle`, when a renewal has no answer before the lease ends."""
        await trio.sleep(self.lease.answer_within_ns(sent_ns) / _NS)
        await self._settle(sessions)
        sessions.standing_changed()

    async def _settle(self, sessions: NodeSessions) -> None:
        """Where the directory is away, find out for whom."""
        if self.lease.asks_peers(self._now_ns()):
            with trio.move_on_after(self._times.renew_ns / _NS) as scope:
                answers = await self._ask_peers(self.peers)
            if scope.cancelled_caught:
                answers = []
            n_peers = len(self.peers)
            self.lease.heard(self._now_ns(), n_peers=n_peers, see_directory=answers)
            logger.warning("The directory is away; this node is %s", self.lease.standing.value)
        if self.lease.is_over(self._now_ns()):
            sessions.give_up([record.code for record in sessions.records()])

    async def _claim(self, sessions: NodeSessions, renewal: Renewal) -> None:
        name, epoch = self.node.name, self.epoch
        room = sessions.room()
        if room <= 0 or not (renewal.waiting or self._may_have_claimed):
            return
        most = self._heirs.shares(renewal.waiting, len(renewal.nodes), room)
        claimed: list[SessionRecord] = []
        if self._may_have_claimed:
            # The answer to a claim got lost, and with it what this node owns since then.
            has = {record.code for record in sessions.records()} | set(self._waiting)
            owned = await self._directory.owned(name, epoch)
            claimed = [record for record in owned if record.code not in has]
        self._may_have_claimed = True
        claimed += await self._directory.claim(name, epoch, most, sessions.digests())
        self._may_have_claimed = False
        if claimed:
            for record in claimed:
                # That it ended here was of an earlier time: it would end it once more.
                self._waiting.pop(record.code, None)
            by_ns = -self.common.offset_ns
            sessions.inherit([shifted(record, by_ns) for record in claimed])

    async def _write(self, records: Sequence[SessionRecord]) -> list[str]:
        if not records:
            return []
        shared = [shifted(record, self.common.offset_ns) for record in records]
        return await self._directory.write(self.node.name, self.epoch, shared)

    async def _write_always(self) -> None:
        assert self._sessions is not None
        while True:
            await self._came.wait()
            taken = dict(self._waiting)
            records = [news for news in taken.values() if isinstance(news, SessionRecord)]
            try:
                refused = await self._write(records)
                if ended := [code for code, news in taken.items() if news is _End.FOR_ALL]:
                    await self._directory.forget(self.node.name, self.epoch, ended)
                if unmade := [code for code, news in taken.items() if news is _End.RESERVED]:
                    await self._directory.unreserve(self.node.name, self.epoch, unmade)
                if given_back := [code for code, news in taken.items() if news is _End.HERE]:
                    await self._directory.release(self.node.name, given_back)
            except DirectoryAwayError:
                await trio.sleep(self._times.renew_ns / _NS)
                continue
            if refused:
                self._sessions.give_up(refused)
            for code, news in taken.items():
                if self._waiting.get(code) is news:
                    self._waiting.pop(code, None)
            if not self._waiting:
                self._came = trio.Event()
                self._all_written.set()
