"""Which sessions of other nodes this node plays too, for its own viewers.

The parent counts the streams that it passes on. Enough of a session, and it asks the directory for
it again and again, each time leaving a ticket; once the owner's record names that, a worker plays
the session, is told what the directory answers, and has the streams from then on.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from phantomlink.cluster.demand import Demand
from phantomlink.cluster.heads import FirstHead
from phantomlink.cluster.membership import Membership
from phantomlink.cluster.messages import Answers, EndMirror, Mirror, MirrorSays
from phantomlink.cluster.passed_stream import PassedStream
from phantomlink.cluster.placing import with_most_room
from phantomlink.cluster.routing import is_plain, watched_code
from phantomlink.cluster.shared_directory import (
    DirectoryAwayError,
    Followed,
    Following,
    LeaseRefusedError,
)
from phantomlink.cluster.tickets import ticket_of
from phantomlink.cluster.workers import Workers
from phantomlink.engine.directory import SessionRecord
from phantomlink.engine.session_codes import is_code, shown_code

logger = logging.getLogger(__name__)

_NS = 1_000_000_000
_ASK_SECONDS = 0.02
_LOOK_SECONDS = 0.25
# Owners hear of tickets with their renewals, and may have to end a command first.
_ALLOWED_SECONDS = 10.0
# A session that has no heir by then plays nowhere.
_HEIR_SECONDS = 10.0


@dataclass(eq=False)
class _Mirror:
    """One that there is, or is to be.

    Attributes:
        ticket: of the wish.
        began: when that was.
        heard: when the directory answered last.
        owned: when it last named an owner.
        version: of the record that is known.
        record: the newest.
        url: what URLs of the owner's streams begin with.
        worker: that plays it; None as long as the owner has not allowed it.
        plays: whether it can have viewers.
        n_viewers: that it has.
    """

    ticket: str
    began: float
    heard: float
    owned: float
    version: str = ""
    record: SessionRecord | None = None
    url: str | None = None
    worker: str | None = None
    plays: bool = False
    n_viewers: int = 0


@dataclass(eq=False)
class _Watched:
    """A session of another node that somebody watches here.

    Attributes:
        demand: whether it is to be mirrored.
        passed: streams that are passed on.
        answering: addresses of clients that send predictions: these are passed on for good.
        mirror: of it.
    """

    demand: Demand
    passed: set[PassedStream] = field(default_factory=set)
    answering: set[str] = field(default_factory=set)
    mirror: _Mirror | None = None


class Mirrors:
    """Those of one node.

    Args:
        membership: of the node.
        workers: its processes.
        n_viewers: of a session that make a mirror; 0: never.
        url: what URLs of streams of this node begin with.
        silent_seconds: how long a mirror goes on that hears nothing.
    """

    def __init__(
        self,
        membership: Membership,
        workers: Workers,
        n_viewers: int,
        url: str,
        silent_seconds: float,
    ) -> None:
        self._membership = membership
        self._workers = workers
        self._n_viewers = n_viewers
        self._url = url
        self._silent_seconds = silent_seconds
        self._watched: dict[str, _Watched] = {}
        self._numbers = itertools.count(1)
        self._wanted = trio.Event()

    @contextmanager
    def passing(self, head: FirstHead, peer: str) -> Iterator[PassedStream | None]:
        """A request is passed on to its owner in here: see `PassedStream`; None for no stream."""
        code = watched_code(head.method, head.path) if head.upgrades else None
        if code is None or not is_code(code):
            yield None
            return
        watched = self._watched.setdefault(code, _Watched(Demand(self._n_viewers)))
        plain = is_plain(head.query) and peer not in watched.answering
        target = head.path if not head.query else f"{head.path}?{head.query}"
        passed = PassedStream(code, target, peer, is_plain=plain, request=head.received)
        watched.passed.add(passed)
        try:
            self._look(code, watched)
            yield passed
        finally:
            watched.passed.discard(passed)
            self._forget(code)

    def place(self, head: FirstHead, peer: str) -> str | None:
        """The worker that plays the session of a stream or view here; None where none does."""
        code = watched_code(head.method, head.path) if head.upgrades else None
        watched = None if code is None else self._watched.get(code)
        if watched is None or watched.mirror is None or not watched.mirror.plays:
            return None
        if not is_plain(head.query) or peer in watched.answering:
            return None
        return watched.mirror.worker

    def hear(self, message: MirrorSays | Answers) -> None:
        """As `MirrorReports.hear`."""
        if isinstance(message, MirrorSays):
            self._fares(message)
        elif message.code in self._watched:
            # Its owner has to have it.
            self._watched[message.code].answering.add(message.address)

    def _fares(self, says: MirrorSays) -> None:
        """A worker says how a session fares there."""
        watched = self._watched.get(says.code)
        mirror = None if watched is None else watched.mirror
        if watched is None or mirror is None or mirror.ticket != says.ticket:
            return
        if not says.plays:
            self._fail(says.code, watched, "it could not be sure of what is played")
            return
        mirror.n_viewers = says.n_viewers
        if not mirror.plays:
            mirror.plays = True
            logger.info(
                "Session %s of another node is played here too, for %d viewers",
                *(shown_code(says.code), len(watched.passed)),
            )
            for passed in watched.passed:
                if passed.may_move:
                    passed.move(self._url)

    def gone(self, worker: str) -> None:
        """A worker has ended."""
        for code, watched in list(self._watched.items()):
            if watched.mirror is not None and watched.mirror.worker == worker:
                self._fail(code, watched, "its process has ended")

    def own(self, code: str) -> None:
        """A session is this node's own from now on."""
        watched = self._watched.get(code)
        if watched is not None and watched.mirror is not None:
            self._end(code, watched, self._url)

    async def run(self) -> None:
        """Ask the directory as often as there are mirrors, until cancelled."""
        while True:
            self._wanted = trio.Event()
            if not any(each.mirror for each in self._watched.values()):
                with trio.move_on_after(_LOOK_SECONDS):
                    await self._wanted.wait()
            for code, watched in list(self._watched.items()):
                self._look(code, watched)
            await self._ask()

    async def _ask(self) -> None:
        asked_ns = time.monotonic_ns()
        mirrors = {code: each.mirror for code, each in self._watched.items() if each.mirror}
        if not mirrors:
            return
        wanted = [Following(code, each.ticket, each.version) for code, each in mirrors.items()]
        try:
            told = await self._membership.follow(wanted)
        except (DirectoryAwayError, LeaseRefusedError):
            told = None
        for code, mirror in mirrors.items():
            watched = self._watched.get(code)
            if watched is None or watched.mirror is not mirror:
                continue
            if told is not None:
                self._hear(code, watched, mirror, told.get(code), asked_ns)
            elif trio.current_time() - mirror.heard > self._silent_seconds:
                self._fail(code, watched, "the directory does not answer")
        passed_ns = time.monotonic_ns() - asked_ns
        await trio.sleep(max(_ASK_SECONDS - passed_ns / _NS, 0))

    def _hear(
        self, code: str, watched: _Watched, mirror: _Mirror, told: Followed | None, asked_ns: int
    ) -> None:
        """The directory has said how a session is."""
        now = mirror.heard = trio.current_time()
        if told is None:
            self._tell(mirror, EndMirror(code, None, has_ended=True))
            self._forget_mirror(code, watched)
            return
        if told.node == self._membership.node.name:
            self.own(code)
            return
        mirror.version = told.version
        mirror.record = told.record or mirror.record
        url = None if told.node is None else self._membership.url_of(told.node)
        if told.node is not None:
            mirror.owned = now
        elif now - mirror.owned > _HEIR_SECONDS:
            self._fail(code, watched, "it has no owner")
            return
        mirror.url = None if url is None else url.replace("http", "ws", 1)
        record = mirror.record
        if mirror.worker is not None:
            self._tell(mirror, Mirror(code, mirror.ticket, asked_ns, told.record, mirror.url))
        elif record is not None and mirror.ticket in record.mirrors:
            if record.sha256 in self._workers.digests:
                mirror.worker = with_most_room(self._workers.loads())
                self._tell(mirror, Mirror(code, mirror.ticket, asked_ns, record, mirror.url))
            else:
                self._fail(code, watched, "its recording is not here")
        elif now - mirror.began > _ALLOWED_SECONDS:
            self._fail(code, watched, "its owner has not allowed it")

    def _look(self, code: str, watched: _Watched) -> None:
        """Whether there is to be a mirror now, or no longer."""
        now, mirror = trio.current_time(), watched.mirror
        movable = [each for each in watched.passed if each.may_move]
        n_viewers = len(movable) + (mirror.n_viewers if mirror is not None else 0)
        if watched.demand.ends(n_viewers, now):
            self._end(code, watched, None if mirror is None else mirror.url)
        elif any(each.listens for each in movable) and watched.demand.begins(n_viewers, now):
            name, epoch = self._membership.node.name, self._membership.epoch
            ticket = ticket_of(name, epoch, next(self._numbers))
            watched.mirror = _Mirror(ticket, now, now, now)
            self._wanted.set()

    def _fail(self, code: str, watched: _Watched, why: str) -> None:
        shown = shown_code(code)
        logger.warning("Session %s of another node is passed on to it again: %s", shown, why)
        watched.demand.failed(trio.current_time())
        self._end(code, watched, None if watched.mirror is None else watched.mirror.url)

    def _end(self, code: str, watched: _Watched, url: str | None) -> None:
        if watched.mirror is not None:
            self._tell(watched.mirror, EndMirror(code, url))
        self._forget_mirror(code, watched)

    def _forget_mirror(self, code: str, watched: _Watched) -> None:
        watched.mirror = None
        watched.demand.end()
        self._forget(code)

    def _forget(self, code: str) -> None:
        """Let go what nobody watches; but not how often it has failed."""
        watched = self._watched.get(code)
        if watched is None or watched.passed or watched.mirror is not None:
            return
        if not watched.demand.waits(trio.current_time()):
            del self._watched[code]

    def _tell(self, mirror: _Mirror, message: Mirror | EndMirror) -> None:
        child = self._workers.ready.get(mirror.worker or "")
        if child is not None:
            child.channel.send_nowait(message)
