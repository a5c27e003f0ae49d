"""A session that a worker owns, as its record is written: what has changed, and for whom.

While other nodes play a session too, its record changes only as announced (`Announcements`):
while a command is carried out nothing of it is written.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import trio

from phantomlink.cluster.session_record import record_of
from phantomlink.engine.directory import SessionRecord
from phantomlink.engine.events import NO_FILTER, SessionEvent, SessionEventKind
from phantomlink.engine.session import Session
from phantomlink.engine.silent_listener import SilentListener

# Others than these change nothing that a record says: a stall skips packets of the same grid.
_NOT_IN_RECORD = frozenset(
    {SessionEventKind.STALLED, SessionEventKind.CAPTURE, SessionEventKind.DATASET}
)
_CHANGING = frozenset(
    {
        SessionEventKind.PAUSED,
        SessionEventKind.RESUMED,
        SessionEventKind.SOUGHT,
        SessionEventKind.PACED,
        SessionEventKind.PERTURBED,
        SessionEventKind.STOPPED,
        SessionEventKind.ANCHORED,
        SessionEventKind.ENDED,
    }
)
_ENDING = frozenset({SessionEventKind.STOPPED, SessionEventKind.ENDED})


class KeptSession:
    """One of them.

    Args:
        session: that is owned.
        before: its record when another process had it; None for a new one.

    Attributes:
        session: as given.
        following: ends with it.
        has_no_digest: whether its file's digest was not known when it was written last.
        n_commands: that are being carried out.
        commands: taken by each while there are mirrors.
        changes_at: as in its record.
        anchored: set when its deadlines begin.
        is_changing: whether a command is carried out that mirrors were told of.
    """

    def __init__(self, session: Session, before: SessionRecord | None = None) -> None:
        self.session = session
        self.following = ExitStack()
        self.has_no_digest = True
        self.n_commands = 0
        self.commands = trio.StrictFIFOLock()
        self.changes_at: int | None = None
        self.anchored = trio.Event()
        self._revision = 0
        self._course = 0 if before is None else before.course
        self._holds_from = 0 if before is None else before.holds_from
        self.is_changing = self._has_changed = False
        self._listener: SilentListener | None = None
        self._refused: set[str] = set()
        self.mirrors: tuple[str, ...] = ()
        if before is not None:
            self.set_mirrors(before.mirrors)

    def told(self, event: SessionEvent) -> bool:
        """Something has happened to it; whether its record is to be written."""
        if event.kind in _NOT_IN_RECORD:
            return False
        if event.kind is SessionEventKind.ANCHORED:
            self.anchored.set()
        if event.kind in _CHANGING and event.filter == NO_FILTER and not self._has_changed:
            self._has_changed = self.is_changing
            self._course += 1
            self._holds_from = event.position.sequence_number
        if event.kind in _ENDING:
            self.refuse_mirrors()
        return not self.is_changing

    def record(self) -> SessionRecord:
        """What it is now."""
        self._revision += 1
        self.has_no_digest = self.session.open_recording.sha256 is None
        return replace(
            record_of(self.session, self._revision),
            course=self._course,
            holds_from=self._holds_from,
            mirrors=self.mirrors,
            changes_at=self.changes_at,
        )

    def begin_change(self) -> None:
        """A command is carried out: what follows from it is written when it is done."""
        self.is_changing, self._has_changed = True, False
        self.anchored = trio.Event()

    def end_change(self) -> None:
        """It is done."""
        self.is_changing = self._has_changed = False
        self.changes_at = None

    @property
    def may_have_mirrors(self) -> bool:
        """Whether its record says all about what it plays from now on."""
        is_at_rest = self.session.is_stopped or self.session.main.is_stepping
        return not (is_at_rest or self.n_commands or self.session.is_closed)

    def set_mirrors(self, tickets: tuple[str, ...]) -> bool:
        """Let these nodes play it too, and no others; whether that is anything new.

        While they do, it counts as listened to: who listens there is not seen here.
        """
        allowed = tuple(each for each in tickets if each not in self._refused)
        added = set(allowed) - set(self.mirrors)
        if added and not self.may_have_mirrors:
            allowed = tuple(each for each in allowed if each in self.mirrors)
        if allowed == self.mirrors:
            return False
        self.mirrors = allowed
        session = self.session
        if self.mirrors and self._listener is None:
            self._listener = SilentListener("mirror")
            session.subscribe(NO_FILTER, session.main, self._listener)
        elif not self.mirrors and self._listener is not None:
            listener, self._listener = self._listener, None
            session.unsubscribe(listener)
        return True

    def refuse_mirrors(self) -> None:
        """None of the nodes that play it now may do so any more."""
        self._refused = set(self.mirrors)
        self.set_mirrors(())
