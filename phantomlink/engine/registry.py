"""The sessions of the server: made, found, expired, supervised.

Sessions live in a nursery of ours, each behind a supervisor: one that fails is logged once, with
its traceback, and ends alone. (A task of the web framework's own nursery that raises would take
the application down while its port keeps answering.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import trio

from phantomlink.close_codes import (
    CLOSE_GOING_AWAY,
    CLOSE_INTERNAL_ERROR,
    CLOSE_MOVED,
    CLOSE_NOT_HERE,
    CLOSE_SESSION_GONE,
    CLOSE_TRY_AGAIN_LATER,
    MAX_CLOSE_REASON_BYTES,
)
from phantomlink.engine.ledger import Ledger
from phantomlink.engine.output import Output
from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.engine.session import REAL_TIME, Session
from phantomlink.engine.session_codes import make_up_code, shown_code, validate_code
from phantomlink.errors import (
    RecordingError,
    SessionNotFoundError,
    TooManySessionsError,
    UnavailableError,
    leaves,
)
from phantomlink.logs import bind
from phantomlink.perturbation import NO_PERTURBATION, Perturbation
from phantomlink.scheduling.loop_budget import LoopBudget
from phantomlink.scheduling.running_time import running_seconds

logger = logging.getLogger(__name__)


class Registry:
    """Sessions by code.

    Args:
        make_parts: what a new session is made of when nothing else is asked for.
        max_sessions: at once.
        ttl_seconds: a session without listeners or calls ends after this time.
        perturbation: of a session that asks for none.
        seed: of a session that names none.
    """

    def __init__(
        self,
        make_parts: Callable[[], PlaybackParts],
        *,
        max_sessions: int,
        ttl_seconds: float,
        perturbation: Perturbation = NO_PERTURBATION,
        seed: int = 0,
    ) -> None:
        self._make_parts = make_parts
        self.max_sessions = max_sessions
        self.ttl_seconds = ttl_seconds
        self.perturbation = perturbation
        self.seed = seed
        self.ledger = Ledger()
        self._sessions: dict[str, Session] = {}
        self._nursery: trio.Nursery | None = None
        self._closing = False

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __contains__(self, code: object) -> bool:
        return code in self._sessions

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, code: str) -> Session:
        """The session of this code; the call counts as use.

        Raises:
            InvalidParameterError: it is not a code.
            SessionNotFoundError: there is none.
        """
        session = self._sessions.get(validate_code(code))
        if session is None:
            raise SessionNotFoundError(
                f"no session has the code {code!r}: it was not made, has expired or was deleted"
            )
        session.touch()
        return session

    def find(self, code: str) -> Session | None:
        """The session of this code, if there is one.

        Raises:
            InvalidParameterError: it is not a code.
        """
        return self._sessions.get(validate_code(code))

    def create(
        self,
        code: str | None = None,
        *,
        parts: PlaybackParts | None = None,
        speed: Fraction = REAL_TIME,
        outputs: Sequence[Output[Session]] = (),
        perturbation: Perturbation | None = None,
        seed: int | None = None,
        applied: AppliedPerturbation | None = None,
    ) -> tuple[Session, bool]:
        """The session of this code, or of a made-up one; and whether it is new.

        Args:
            code: its name; None for one that we make up.
            parts: what a new one is made of; None for the usual.
            speed: of a new one.
            outputs: of a new one.
            perturbation: of a new one; None for the server's.
            seed: of a new one; None for the server's.
            applied: both ready for use, where that has been made already.

        Raises:
            InvalidParameterError: it is not a code, or the perturbation does not fit.
            TooManySessionsError: every session has a listener and there is no room.
            UnavailableError: the server is starting or going away.
        """
        if code is None:
            code = make_up_code(self._sessions)
        elif validate_code(code) in self._sessions:
            return self.get(code), False
        if self._nursery is None or self._closing:
            raise UnavailableError("the server is starting or going away: try again")
        session = Session(
            code,
            parts or self._make_parts(),
            speed,
            perturbation=self.perturbation if perturbation is None else perturbation,
            seed=self.seed if seed is None else seed,
            applied=applied,
            outputs=outputs,
        )
        self._make_room()
        self._sessions[code] = session
        self._nursery.start_soon(self._supervise, session)
        n = len(self._sessions)
        shown = shown_code(code)
        logger.info("Session %s created (%d in all)", shown, n, extra={"session": shown})
        return session, True

    def delete(self, code: str) -> None:
        """End a session whoever is connected.

        Raises:
            SessionNotFoundError: there is none.
        """
        self._end(self.get(code), CLOSE_SESSION_GONE, "session deleted")

    def give_up(self, code: str, moved_to: str | None) -> None:
        """End a session here that another node plays, or will; no matter whether it is here.

        Args:
            code: of it.
            moved_to: URL of its stream there; None where that is not known.
        """
        session = self.find(code)
        if session is None:
            return
        if moved_to is None:
            self._end(session, CLOSE_NOT_HERE, "this node may no longer serve the session")
        else:
            fits = len(moved_to.encode()) <= MAX_CLOSE_REASON_BYTES
            self._end(session, CLOSE_MOVED, moved_to if fits else "")

    def end(self, session: Session, code: int, reason: str) -> None:
        """End a session for a reason of the caller's.

        Args:
            session: that ends.
            code: with which its sockets are closed.
            reason: beside it.
        """
        self._end(session, code, reason)

    def cleanup(self) -> int:
        """End the expired sessions; answers how many."""
        expired = [session for session in self if self._is_expired(session)]
        for session in expired:
            self._end(session, CLOSE_SESSION_GONE, "session expired")
        return len(expired)

    async def _expire(self) -> None:
        """As `cleanup`. Those that expire together do not delay a tick that is due."""
        budget = LoopBudget()
        for session in self:
            if self._is_expired(session):
                self._end(session, CLOSE_SESSION_GONE, "session expired")
            if budget.is_over:
                await budget.end()

    def _is_expired(self, session: Session) -> bool:
        return not session.is_in_use and session.last_used <= running_seconds() - self.ttl_seconds

    def close(self) -> None:
        """The server goes away: end every session and make no more."""
        self._closing = True
        for session in self:
            self._end(session, CLOSE_GOING_AWAY, "the server is going away")

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the sessions until cancelled. Sessions can be made once this has started."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                while True:
                    await trio.sleep(min(max(self.ttl_seconds / 4, 0.05), 30.0))
                    await self._expire()
                    # Else the last session that has ended would keep its recording in memory.
                    self.ledger.settle()
            finally:
                self.close()
                self._nursery = None

    def oldest_idle(self) -> Session | None:
        """The least recently used session without a listener: the first to make room."""
        idle = [session for session in self if not session.is_in_use]
        return min(idle, key=lambda session: session.last_used, default=None)

    def evict(self, session: Session) -> None:
        """Let a session make room for a new one."""
        logger.info("Session %s makes room for a new one", shown_code(session.code))
        self._end(session, CLOSE_SESSION_GONE, "session evicted")

    def _make_room(self) -> None:
        if len(self._sessions) < self.max_sessions:
            return
        oldest = self.oldest_idle()
        if oldest is None:
            raise TooManySessionsError(
                f"all {self.max_sessions} sessions have listeners; "
                "delete one, or let the server have more (PHANTOM_MAX_SESSIONS)"
            )
        self.evict(oldest)

    def _end(self, session: Session, code: int, reason: str) -> None:
        if self._sessions.get(session.code) is session:
            del self._sessions[session.code]
            self.ledger.ended(session)
            shown = shown_code(session.code)
            logger.info("Session %s ends: %s", shown, reason, extra={"session": shown})
        session.close(code, reason)

    async def _supervise(self, session: Session) -> None:
        shown = shown_code(session.code)
        bind(session=shown, client=None)
        try:
            await session.run()
        except* RecordingError as group:
            for error in leaves(group):
                logger.error("Session %s: %s", shown, error)  # noqa: TRY400
            self._end(session, CLOSE_TRY_AGAIN_LATER, "the recording cannot be read")
        except* Exception:
            logger.exception("Session %s failed and ends", shown)
            self._end(session, CLOSE_INTERNAL_ERROR, "internal error")
