"""Keeps sessions in their file while they play, and gives back those that it held.

What is kept is looked at once in a while on the event loop, which costs some microseconds a
session, and written in a thread of its own, so that a disk that hangs holds up nothing but the
next writing. A failure to write is said once, and again when it works once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from phantomlink.engine.session import Session
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.recordings.blind import hidden_trials
from phantomlink.scheduling.loop_budget import LoopBudget
from phantomlink.state.file import (
    DatasetFile,
    RecordingIdentity,
    SessionState,
    StateFormError,
    read_state,
    set_aside,
    write_state,
)
from phantomlink.state.lock import StateLock, StateLockedError
from phantomlink.state.other_files import take_over

logger = logging.getLogger(__name__)

# A second may be lost, and writing takes a part of it.
_INTERVAL_SECONDS = 0.75
_LAST_WRITE_SECONDS = 2.0


class StateKeeper:
    """The state file of one recording.

    Args:
        folder: where it is kept; made when it is first written.
        identity: of the recording.
        sessions: those that there are, asked anew each time.
        sha256: of the recording's file; None while it is not known.
        hash_recording: the same, computed when called.
    """

    def __init__(
        self,
        folder: Path,
        identity: RecordingIdentity,
        sessions: Iterable[Session],
        sha256: Callable[[], str | None],
        hash_recording: Callable[[], str],
    ) -> None:
        self._path = folder / identity.file_name
        self._sha256 = sha256
        self._hash_recording = hash_recording
        self._lock = StateLock(self._path)
        self._identity = identity
        self._sessions = sessions
        self._written: tuple[SessionState, ...] | None = None
        self._written_sha256: str | None = None
        self._last: tuple[SessionState, ...] | None = None
        self._freezing = trio.Event()
        self._has_failed = False
        self._may_write = True
        self._thread = trio.CapacityLimiter(1)

    async def load(self) -> list[SessionState]:
        """What was kept before. A file of the wrong form is renamed, with a warning."""
        kept = await trio.to_thread.run_sync(self._load, limiter=self._thread)
        # What could not be written then is still to be.
        self._written = None if self._has_failed else tuple(kept)
        return kept

    async def run(self) -> None:
        """Write whatever changes, until cancelled or frozen."""
        try:
            while not self._freezing.is_set():
                state = await self._look()
                if not self._freezing.is_set():
                    await self._write(state)
                with trio.move_on_after(_INTERVAL_SECONDS):
                    await self._freezing.wait()
        finally:
            # Without a last state the server did not say that it goes, and what it had may be
            # gone already: then the file as it is tells more.
            if self._last is not None:
                with trio.move_on_after(_LAST_WRITE_SECONDS, shield=True):
                    await self._write(self._last)
            self._lock.release()

    def freeze(self) -> None:
        """Keep the sessions as they are now, before the server that goes away ends them."""
        if self._last is None:
            self._last = tuple(
                _state_of(session, self._identity.dataset) for session in self._sessions
            )
            self._freezing.set()

    async def _look(self) -> tuple[SessionState, ...]:
        """What there is to keep. A tick that is due comes in between."""
        state, turn = [], LoopBudget()
        for session in self._sessions:
            if not session.is_closed:
                state.append(_state_of(session, self._identity.dataset))
            if turn.is_over:
                await turn.end()
        return tuple(state)

    async def _write(self, state: tuple[SessionState, ...]) -> None:
        sha256 = self._sha256() or self._written_sha256
        is_same = state == self._written and (not state or sha256 == self._written_sha256)
        if is_same or not self._may_write:
            return
        try:
            await trio.to_thread.run_sync(
                write_state,
                self._path,
                self._identity,
                state,
                sha256,
                limiter=self._thread,
                abandon_on_cancel=True,
            )
        except OSError as error:
            self._say_failure(error)
            return
        if self._has_failed:
            logger.info("Sessions are kept over a restart again")
        self._has_failed = False
        self._written, self._written_sha256 = state, sha256

    def _say_failure(self, error: OSError) -> None:
        if not self._has_failed:
            logger.warning("Sessions are not kept over a restart now: %s", error)
        self._has_failed = True

    def _load(self) -> list[SessionState]:
        try:
            self._lock.acquire()
        except StateLockedError as error:
            self._may_write = False
            logger.warning("Sessions are not kept over a restart: %s", error)
            return []
        except OSError as error:
            # No lock, no other server: what can be written will be seen when it is.
            self._say_failure(error)
        try:
            if not self._path.exists():
                return self._take_over()
            return read_state(self._path, self._identity)
        except (StateFormError, OSError) as error:
            wrong = error
        try:
            kept = set_aside(self._path)
        except OSError as error:
            self._may_write = False
            logger.warning(
                "%s is not used: %s; it cannot be renamed (%s), so sessions are not kept",
                *(self._path, wrong, error),
            )
        else:
            logger.warning("%s is not used: %s; it is kept as %s", self._path, wrong, kept.name)
        return []

    def _take_over(self) -> list[SessionState]:
        """The sessions of the same content with another time of change; its file becomes ours."""
        other = take_over(self._path, self._identity, self._hash_recording)
        if other is None:
            return []
        logger.info(
            "The sessions of %s come back: the recording has the same content, only the time of "
            "its change is another",
            other.path.name,
        )
        try:
            write_state(self._path, self._identity, other.sessions, other.sha256)
            other.path.unlink(missing_ok=True)
        except OSError as error:
            # They are in the other file still, and are written to ours once that can be.
            self._say_failure(error)
        else:
            self._written_sha256 = other.sha256
        return other.sessions


def _state_of(session: Session, default: str) -> SessionState:
    # The default one may have another name when the server starts again.
    dataset = session.recording.dataset
    is_default = dataset == default
    playhead, applied = session.main.playhead, session.applied
    return SessionState(
        code=session.code,
        created_at=session.created_at,
        rate_hz=session.grid.rate_hz,
        speed=session.speed,
        bin_index=playhead.bin_index,
        sequence_number=playhead.sequence_number,
        loop=playhead.loop,
        is_paused=session.is_paused,
        is_stopped=session.is_stopped,
        perturbation=NO_PERTURBATION if applied is None else applied.perturbation,
        seed=session.seed,
        outputs={output.kind: output.is_wanted for output in session.outputs},
        dataset=None if is_default else dataset,
        dataset_file=None if is_default else _file_of(session),
        test_trials=tuple(sorted(hidden_trials(session.bins))) or None,
        was_stopped=session.was_stopped,
    )


def _file_of(session: Session) -> DatasetFile:
    identity = session.recording.identity
    return DatasetFile(identity.size, identity.mtime_ns, session.open_recording.sha256)
