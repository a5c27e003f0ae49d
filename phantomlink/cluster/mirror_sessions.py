"""Sessions of other nodes that a worker plays too: made from their records, and kept to them.

What they play, and until when that is certain, is for `Course` to say; here it is done. One that
cannot be sure ends, and its clients are told where the session is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import trio

from phantomlink.close_codes import CLOSE_MOVED, CLOSE_NOT_HERE, MAX_CLOSE_REASON_BYTES
from phantomlink.cluster.course import Course, UnsureError, main_anchor, plays, rate_of
from phantomlink.cluster.links import Links
from phantomlink.cluster.messages import EndMirror, Mirror, MirrorSays
from phantomlink.cluster.session_making import SessionMaking
from phantomlink.engine.directory import SessionRecord
from phantomlink.engine.events import NO_FILTER, SessionEvent, SessionEventKind
from phantomlink.engine.fence import Fence
from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.engine.silent_listener import SilentListener
from phantomlink.errors import PhantomLinkError
from phantomlink.outputs.decoders.elsewhere import ScoredElsewhere
from phantomlink.service.service import Service

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.001
_LATE_NS = 100_000_000
# A mirror never chooses its deadlines, and has no end that its owner has not.
_UNSURE = frozenset({SessionEventKind.ANCHORED, SessionEventKind.ENDED})


class _MirrorSession:
    """One of them.

    Args:
        first: that it is to be played.
    """

    def __init__(self, first: Mirror) -> None:
        self.ticket = first.ticket
        self.latest = first
        self.fence = Fence()
        self.session: Session | None = None
        self.course: Course | None = None
        self.scope = trio.CancelScope()
        self.news = trio.Event()
        self.told: list[Mirror] = [first]

    @property
    def where(self) -> tuple[int, str]:
        """With which code and reason its clients are closed."""
        url = self.latest.url
        if url is None:
            return CLOSE_NOT_HERE, "this node may no longer serve the session"
        url = f"{url}/stream/{self.latest.code}"
        return CLOSE_MOVED, url if len(url.encode()) <= MAX_CLOSE_REASON_BYTES else ""


class MirrorSessions:
    """Those of one worker.

    Args:
        service: of the worker.
        making: makes them.
        links: to the parent.
        nursery: in which they are followed.
        n_views: how many watch a session.
    """

    def __init__(
        self,
        service: Service,
        making: SessionMaking,
        links: Links,
        nursery: trio.Nursery,
        n_views: Callable[[Session], int],
    ) -> None:
        self._service = service
        self._making = making
        self._links = links
        self._nursery = nursery
        self._n_views = n_views
        self._mirrors: dict[str, _MirrorSession] = {}

    def tell(self, told: Mirror) -> None:
        """A session is to be played here, or there is news of it."""
        mirror = self._mirrors.get(told.code)
        if mirror is None or mirror.ticket != told.ticket:
            if told.record is None:
                # Of one that has ended here, of which the parent has not heard yet.
                return
            if mirror is not None:
                self._end(mirror)
            mirror = self._mirrors[told.code] = _MirrorSession(told)
            self._nursery.start_soon(self._run, mirror)
            return
        mirror.latest = told
        mirror.told.append(told)
        mirror.news.set()

    def end(self, message: EndMirror) -> None:
        """A session is not to be played here any more; no matter whether it is."""
        mirror = self._mirrors.get(message.code)
        if mirror is None:
            return
        if message.has_ended and mirror.session is not None:
            self._service.mirrored.delete(message.code)
        else:
            mirror.latest = Mirror(message.code, mirror.ticket, 0, None, message.url)
        self._end(mirror)

    def say_viewers(self) -> None:
        """Tell the parent how many viewers there are; called now and then."""
        for code, mirror in self._mirrors.items():
            session = mirror.session
            if session is not None and mirror.course is not None:
                n_viewers = max(session.n_listening - 1, 0) + self._n_views(session)
                self._links.say_mirror(MirrorSays(code, mirror.ticket, True, n_viewers))

    def _end(self, mirror: _MirrorSession) -> None:
        if self._mirrors.get(mirror.latest.code) is mirror:
            del self._mirrors[mirror.latest.code]
        mirror.scope.cancel()
        session = mirror.session
        if session is not None and self._service.mirrored.find(session.code) is session:
            self._service.mirrored.end(session, *mirror.where)

    async def _run(self, mirror: _MirrorSession) -> None:
        """Make one, and follow its record, until it ends."""
        code, ticket = mirror.latest.code, mirror.ticket
        shown = shown_code(code)
        with mirror.scope:
            try:
                await self._play(mirror)
            except (UnsureError, PhantomLinkError, OSError) as error:
                logger.warning(
                    "Session %s of another node is no longer played here: %s",
                    *(shown, error),
                    extra={"session": shown},
                )
                self._links.say_mirror(MirrorSays(code, ticket, False))
                self._end(mirror)

    async def _play(self, mirror: _MirrorSession) -> None:
        code = mirror.latest.code
        first = mirror.told[0].record
        assert first is not None

        def answers(address: str) -> tuple[int, str]:
            self._links.say_answers(code, address)
            return mirror.where

        outputs = (ScoredElsewhere(answers),)
        session = await self._making.made(first, (mirror.fence, outputs))
        mirror.session = session
        unsure = trio.Event()
        with session.followed_by(partial(_look_for_own_ways, unsure)):
            session.subscribe(NO_FILTER, session.main, SilentListener("mirror"))
            course = Course(first, session.grid.n_bins)
            self._become(session, first, None)
            mirror.course = course
            self._take_news(mirror, course)
            self._links.say_mirror(MirrorSays(code, mirror.ticket, True))
            while not (unsure.is_set() or session.is_closed):
                if course.changes:
                    await self._change(mirror, session, course)
                else:
                    mirror.news = trio.Event()
                    await mirror.news.wait()
                self._take_news(mirror, course)
        raise UnsureError("it has gone its own way")

    def _take_news(self, mirror: _MirrorSession, course: Course) -> None:
        """Hear what the parent has told meanwhile.

        Raises:
            UnsureError: it is not what this mirror can follow.
        """
        session = mirror.session
        assert session is not None
        told, mirror.told = mirror.told, []
        for each in told:
            if each.record is not None:
                record = each.record
                if record.is_stopped and not session.is_stopped:
                    # Its clients are closed as the owner's are.
                    session.stop()
                    raise UnsureError("it was stopped")
                if mirror.ticket not in record.mirrors:
                    raise UnsureError("its owner does not want it")
                before = main_anchor(course.record).due_ns
                course.told(record)
                after = main_anchor(course.record)
                if after.due_ns != before and plays(course.record):
                    self._pull(session, course)
            course.asked(each.asked_ns)
        mirror.fence.move(course.plays_until_ns)

    async def _change(self, mirror: _MirrorSession, session: Session, course: Course) -> None:
        """Go on with the next record once the packets before have left."""
        clock, head = session.parts.clock, session.main.playhead
        before = course.record
        record = course.changed(head.sequence_number, clock.now_ns())
        if record is None:
            await trio.sleep(_LOOK_SECONDS)
            return
        applied, is_perturbed = None, _perturbation(record) != _perturbation(before)
        if is_perturbed:
            mirror.fence.move(-1)
            if record.perturbation is not None:
                applied = await self._service.sessions.prepared(
                    session, record.perturbation, record.seed
                )
        self._become(session, record, (applied,) if is_perturbed else None)

    def _become(
        self,
        session: Session,
        record: SessionRecord,
        applied: tuple[AppliedPerturbation | None] | None,
    ) -> None:
        """Let a session be what its record says: no packet leaves meanwhile.

        Args:
            session: that is played.
            record: of it.
            applied: what is done to its packets, where that is another now.
        """
        now_ns, anchor = session.parts.clock.now_ns(), main_anchor(record)
        session.set_speed(Fraction(record.speed))
        if applied is not None:
            session.apply(applied[0], record.seed)
        if record.is_paused and not session.is_paused:
            session.pause()
        elif session.is_paused and not record.is_paused:
            session.resume()
        if anchor.due_ns is not None and now_ns - anchor.due_ns > _LATE_NS:
            anchor = anchor.at(
                now_ns, rate_of(record), session.grid.n_bins, loop=session.parts.loop
            )
        if session.main.playhead.bin_index != anchor.position:
            session.seek(anchor.position)
        session.main.go_on_from(anchor)

    def _pull(self, session: Session, course: Course) -> None:
        """Keep to the owner's clock, which has drifted."""
        at = course.packet(session.main.playhead.sequence_number)
        session.main.go_on_from(at)


def _perturbation(record: SessionRecord) -> tuple[object, int]:
    return record.perturbation, record.seed


def _look_for_own_ways(unsure: trio.Event, event: SessionEvent) -> None:
    if event.kind in _UNSURE:
        unsure.set()
