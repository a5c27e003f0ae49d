"""The state file of a server of several processes: the parent keeps it, from the records it has.

A record says where a session is at any time, so nothing is asked of the workers, and a session
whose worker has just died is kept as well. Only to read the file takes a worker: what is in it has
to be checked by what plays it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from phantomlink.cluster.messages import StateRead
from phantomlink.engine.anchors import Anchor
from phantomlink.engine.directory import MemoryDirectory, SessionRecord
from phantomlink.scheduling.loop_budget import LoopBudget
from phantomlink.scheduling.worker_thread import run_in_thread_patiently
from phantomlink.state.form import RecordingIdentity, write_entries
from phantomlink.state.writer import StateWriter

logger = logging.getLogger(__name__)


class LastRun(Protocol):
    """As `ComingBack`."""

    @property
    def directory(self) -> MemoryDirectory:
        """Who owns which session."""
        ...

    @property
    def identity(self) -> RecordingIdentity:
        """Of the recording that sessions play which name no dataset."""
        ...

    @property
    def sha256(self) -> str | None:
        """Of its file; None while it is not known."""
        ...

    async def read_state(self, folder: Path) -> StateRead:
        """What the last run has left, read by a worker."""
        ...

    async def bring_back(self, records: tuple[SessionRecord, ...]) -> int:
        """Let sessions of the last run be there again; how many are."""
        ...


class KeptSessions:
    """Writes the file, and brings back what it held.

    Args:
        folder: where it is kept.
        last_run: what the workers tell of it, and where the records are.
        loops: whether a session starts again after the last bin.
        now_ns: common time of all processes.
    """

    def __init__(
        self,
        folder: Path,
        last_run: LastRun,
        *,
        loops: bool,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._folder = folder
        self._last_run = last_run
        self._loops = loops
        self._now_ns = now_ns
        self._identity = last_run.identity
        self._read_sha256: str | None = None
        path = folder / self._identity.file_name
        write = partial(write_entries, path, self._identity)
        self._writer = StateWriter(path, self._look, write, self._sha256)

    async def bring_back(self) -> None:
        """Let the sessions of the last run be there again, each where it was."""
        writer = self._writer
        await run_in_thread_patiently(writer.lock, limiter=writer.thread)
        if not writer.may_write:
            return
        read = await self._last_run.read_state(self._folder)
        writer.may_write = read.may_write
        self._read_sha256 = read.sha256
        if read.failure:
            writer.say_failure(OSError(read.failure))
        if not read.records:
            writer.has_read((), read.sha256)
            return
        n_back = await self._last_run.bring_back(read.records)
        logger.info("Sessions of the last run that are back: %d", n_back)

    async def run(self) -> None:
        """Write whatever changes, until cancelled or frozen."""
        await self._writer.run()

    def freeze(self) -> None:
        """Keep the sessions as they are now, before the workers end them."""
        self._writer.freeze(tuple(map(self._entry, self._last_run.directory.records())))

    def _sha256(self) -> str | None:
        return self._last_run.sha256 or self._read_sha256

    def _entry(self, record: SessionRecord) -> dict[str, Any]:
        return entry_of(record, self._identity.dataset, self._now_ns(), loops=self._loops)

    async def _look(self) -> tuple[dict[str, Any], ...]:
        entries, turn = [], LoopBudget()
        for record in self._last_run.directory.records():
            entries.append(self._entry(record))
            if turn.is_over:
                await turn.end()
        return tuple(entries)


def entry_of(
    record: SessionRecord, default_dataset: str, now_ns: int, *, loops: bool
) -> dict[str, Any]:
    """What a state file says of a session, as `SessionState` has it, in JSON.

    Args:
        record: of the session.
        default_dataset: that sessions play which name none; it may have another name next time.
        now_ns: common time.
        loops: whether it starts again after the last bin.
    """
    is_default = record.dataset == default_dataset
    at = _position(record, now_ns, loops=loops)
    entry = {
        "code": record.code,
        "created_at": record.created_at,
        "rate_hz": record.rate_hz,
        "speed": record.speed,
        "bin_index": at.position,
        "sequence_number": at.sequence_number,
        "loop": at.loop,
        "is_paused": record.is_paused,
        "is_stopped": record.is_stopped,
        "seed": record.seed,
        "outputs": record.outputs,
        "dataset": None if is_default else record.dataset,
        "test_trials": record.test_trials,
        "was_stopped": record.was_stopped,
    }
    if record.perturbation is not None:
        entry["perturbation"] = record.perturbation
    if not is_default and record.file_size_bytes is not None:
        entry["dataset_file"] = {
            "size_bytes": record.file_size_bytes,
            "modified_ns": record.file_modified_ns,
            "sha256": record.sha256,
        }
    return entry


def _position(record: SessionRecord, now_ns: int, *, loops: bool) -> Anchor:
    """The next packet of the unfiltered playhead."""
    anchor = record.playheads[0].anchor
    if record.n_bins is None:
        return anchor
    rate_hz = Fraction(record.rate_hz) * Fraction(record.speed)
    return anchor.at(now_ns, rate_hz, record.n_bins, loop=loops)
