"""Keeps the sessions of this process in their file while they play, and gives back what it held.

To look at them costs some microseconds a session on the event loop; see `StateWriter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from phantomlink.engine.session import Session
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.recordings.blind import hidden_trials
from phantomlink.scheduling.loop_budget import LoopBudget
from phantomlink.scheduling.worker_thread import run_in_thread_patiently
from phantomlink.state.file import SessionState, write_state
from phantomlink.state.form import DatasetFile, RecordingIdentity
from phantomlink.state.load import Loaded, load_state
from phantomlink.state.writer import StateWriter


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
        self._hash_recording = hash_recording
        self._identity = identity
        self._sessions = sessions
        write = partial(write_state, self._path, identity)
        self._writer = StateWriter(self._path, self._look, write, sha256)

    async def load(self) -> list[SessionState]:
        """What was kept before. A file of the wrong form is renamed, with a warning."""
        writer = self._writer
        kept = await run_in_thread_patiently(self._load, limiter=writer.thread)
        writer.may_write = writer.may_write and kept.may_write
        if kept.failure is not None:
            writer.say_failure(kept.failure)
        writer.has_read(kept.sessions, kept.sha256)
        return list(kept.sessions)

    async def run(self) -> None:
        """Write whatever changes, until cancelled or frozen."""
        await self._writer.run()

    def freeze(self) -> None:
        """Keep the sessions as they are now, before the server that goes away ends them."""
        if not self._writer.is_frozen:
            dataset = self._identity.dataset
            self._writer.freeze(tuple(_state_of(each, dataset) for each in self._sessions))

    async def _look(self) -> tuple[SessionState, ...]:
        """What there is to keep. A tick that is due comes in between."""
        state, turn = [], LoopBudget()
        for session in self._sessions:
            if not session.is_closed:
                state.append(_state_of(session, self._identity.dataset))
            if turn.is_over:
                await turn.end()
        return tuple(state)

    def _load(self) -> Loaded:
        self._writer.lock()
        if not self._writer.may_write:
            return Loaded(may_write=False)
        return load_state(self._path, self._identity, self._hash_recording)


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
