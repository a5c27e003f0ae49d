"""The record of a session: written when something happens to it, and made into a session again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import partial

from phantomlink.cluster.links import Links
from phantomlink.cluster.worker_slots import slots_of
from phantomlink.engine.anchors import Anchor
from phantomlink.engine.directory import FORMAT, MAX_FILTERED, PlayheadRecord, SessionRecord
from phantomlink.engine.events import NO_FILTER, SessionEvent, SessionEventKind
from phantomlink.engine.fence import Fence
from phantomlink.engine.session import Session
from phantomlink.files.slots import SlotKind, Slots
from phantomlink.perturbation import NO_PERTURBATION, parse_perturbation
from phantomlink.recordings.blind import hidden_trials
from phantomlink.recordings.trials import Filter
from phantomlink.service.ownership import Keep, NodeIdentity
from phantomlink.service.service import Service
from phantomlink.state.file import SessionState
from phantomlink.state.form import DatasetFile

# Others than these change nothing that a record says: a stall skips packets of the same grid.
_NOT_IN_RECORD = frozenset(
    {SessionEventKind.STALLED, SessionEventKind.CAPTURE, SessionEventKind.DATASET}
)


@dataclass
class _Kept:
    following: ExitStack = field(default_factory=ExitStack)
    revision: int = 0
    has_no_digest: bool = True


class WorkerOwnership:
    """The sessions of one worker: reserved before they are made, written down as they change.

    Args:
        links: to the parent.
        service: of this worker, once there is one.
        epoch: that it writes records with.
        slots: descriptor of the file with the slots of all workers.

    Attributes:
        fence: until when packets may leave, where there are other nodes.
    """

    def __init__(
        self, links: Links, service: Callable[[], Service], epoch: int, slots: int
    ) -> None:
        self.fence = None if links.standing is None else Fence()
        self._epoch = epoch
        self._slots = slots
        self._links = links
        self._service = service
        self._kept: dict[Session, _Kept] = {}

    @property
    def node(self) -> NodeIdentity:
        """This worker."""
        standing = self._links.standing
        if standing is None:
            return NodeIdentity(self._links.node, self._epoch)
        return NodeIdentity(self._links.node, self._epoch, standing.state, standing.clock_offset_ns)

    def slots(self, kind: SlotKind, limit: int) -> Slots:
        """As `Ownership.slots`: of all workers together."""
        return slots_of(self._slots, kind, limit)

    @asynccontextmanager
    async def reserved(self, code: str) -> AsyncIterator[Keep]:
        """As `Ownership.reserved`."""
        if self._service().registry.find(code) is None:
            await self._links.reserve(code)
        try:
            yield self.keep
        finally:
            if self._service().registry.find(code) is None:
                self._links.forget(code)

    def keep(self, session: Session) -> None:
        """Write the session down, now and whenever something happens to it."""
        if session in self._kept:
            return
        self._kept[session] = kept = _Kept()
        kept.following.enter_context(session.followed_by(partial(self._follow, session)))
        self._write(session)

    def write_again(self) -> None:
        """Write all sessions down whose file's digest was not known when that was done last."""
        for session, kept in self._kept.items():
            if kept.has_no_digest and session.open_recording.sha256 is not None:
                self._write(session)

    def give_back(self, record: SessionRecord) -> None:
        """A session that was to be here cannot be."""
        self._links.give_back(record.code)

    def _follow(self, session: Session, event: SessionEvent) -> None:
        if event.kind is SessionEventKind.CLOSED:
            self._kept.pop(session).following.close()
            # Its code may be another session's by now.
            if self._service().registry.find(session.code) is None:
                self._links.forget(session.code)
        elif event.kind not in _NOT_IN_RECORD and session in self._kept:
            self._write(session)

    def _write(self, session: Session) -> None:
        kept = self._kept[session]
        kept.revision += 1
        kept.has_no_digest = session.open_recording.sha256 is None
        self._links.write(record_of(session, kept.revision))


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
