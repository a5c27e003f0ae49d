"""The record of a session, and the session's form in which it is made again."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from phantomlink.engine.anchors import Anchor
from phantomlink.engine.directory import FORMAT, MAX_FILTERED, PlayheadRecord, SessionRecord
from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.session import Session
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.blind import hidden_trials
from phantomlink.recordings.trials import Filter
from phantomlink.state.file import SessionState
from phantomlink.state.form import DatasetFile


def record_of(session: Session, revision: int) -> SessionRecord:
    """What a session is now."""
    playbacks = list(session.playbacks().items())[: MAX_FILTERED + 1]
    applied, hidden = session.applied, hidden_trials(session.bins)
    return SessionRecord(
        format=FORMAT,
        code=session.code,
        created_at=session.created_at.isoformat(),
        dataset=session.recording.dataset,
        sha256=session.open_recording.sha256,
        rate_hz=str(session.grid.rate_hz),
        speed=str(session.speed),
        perturbation=None if applied is None else applied.perturbation.as_json(),
        seed=session.seed,
        test_trials=tuple(sorted(hidden)) or None,
        is_paused=session.is_paused,
        is_stopped=session.is_stopped,
        was_stopped=session.was_stopped,
        outputs={output.kind: output.is_wanted for output in session.outputs},
        playheads=tuple(
            PlayheadRecord(
                wanted.trial_id,
                wanted.target_id,
                wanted.reach_id,
                playback.anchor(),
                playback.fanout.n_listening > 0,
            )
            for wanted, playback in playbacks
        ),
        revision=revision,
        n_bins=session.grid.n_bins,
        file_size_bytes=session.recording.identity.size,
        file_modified_ns=session.recording.identity.mtime_ns,
    )


def record_of_state(state: SessionState, default_dataset: str) -> SessionRecord:
    """What a session of an earlier run was: nobody listens to it."""
    file = state.dataset_file
    anchor = Anchor(state.bin_index, state.sequence_number, state.loop, None)
    return SessionRecord(
        format=FORMAT,
        code=state.code,
        created_at=state.created_at.isoformat(),
        dataset=state.dataset or default_dataset,
        sha256=None if file is None else file.sha256,
        rate_hz=str(state.rate_hz),
        speed=str(state.speed),
        perturbation=None if state.perturbation.is_identity else state.perturbation.as_json(),
        seed=state.seed,
        test_trials=state.test_trials,
        is_paused=state.is_paused,
        is_stopped=state.is_stopped,
        was_stopped=state.was_stopped,
        outputs=dict(state.outputs),
        playheads=(PlayheadRecord(None, None, None, anchor, is_listened_to=False),),
        revision=0,
        file_size_bytes=None if file is None else file.size_bytes,
        file_modified_ns=None if file is None else file.modified_ns,
    )


def state_of(record: SessionRecord, default_dataset: str) -> SessionState:
    """What a record says, in the form in which sessions are made again; not where it is.

    Raises:
        InvalidParameterError: the perturbation has the wrong form.
    """
    is_default = record.dataset == default_dataset
    perturbation = (
        NO_PERTURBATION if record.perturbation is None else parse_perturbation(record.perturbation)
    )
    return SessionState(
        code=record.code,
        created_at=datetime.fromisoformat(record.created_at),
        rate_hz=Fraction(record.rate_hz),
        speed=Fraction(record.speed),
        bin_index=0,
        sequence_number=0,
        loop=0,
        is_paused=record.is_paused,
        is_stopped=record.is_stopped,
        seed=record.seed,
        outputs=record.outputs,
        dataset=None if is_default else record.dataset,
        dataset_file=None if is_default else _file_of(record),
        perturbation=perturbation,
        test_trials=record.test_trials,
        was_stopped=record.was_stopped,
    )


def _file_of(record: SessionRecord) -> DatasetFile | None:
    size_bytes, modified_ns = record.file_size_bytes, record.file_modified_ns
    if size_bytes is None or modified_ns is None:
        return None
    return DatasetFile(size_bytes, modified_ns, record.sha256)


def filter_of(playhead: PlayheadRecord) -> Filter:
    """Which bins a playhead plays."""
    wanted = Filter(playhead.trial_id, playhead.target_id, playhead.reach_id)
    return NO_FILTER if wanted == NO_FILTER else wanted
