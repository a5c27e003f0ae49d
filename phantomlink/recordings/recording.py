"""A recording that is open: units, behaviour, trials and bins, whatever format its file has.

Every call here that touches the file blocks, and h5py has one lock for the whole process: call
from one worker thread, except `Bins.read` of a recording that is in memory.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import PhantomLinkError, RecordingError
from phantomlink.files.shown import without_folders
from phantomlink.recordings.absent import absent_parts
from phantomlink.recordings.bins import Block, RecordedBins
from phantomlink.recordings.clocks import Span
from phantomlink.recordings.contents import Contents, OpenContents, OpenRequest
from phantomlink.recordings.formats import format_of
from phantomlink.recordings.grid import BinGrid, zero_of
from phantomlink.recordings.identity import FileIdentity, Original
from phantomlink.recordings.options import SEARCH, ProgressCallback, SeriesOptions
from phantomlink.recordings.read_contents import ReadContents
from phantomlink.recordings.spikes import SpikeSource

_BYTES_OF_A_VALUE = 100
MAX_BINS = 2**40
"""With more bins than this, a timestamp must be corrupt."""


class Recording:
    """A recording that is open. Made by `open_recording`; close it, or use it in a `with`.

    Attributes:
        path: of the file.
        dataset: its name without folder and suffix.
        info: what the file says about itself.
        unit_ids: labels of the units, in the order of the counts.
        units: the unit table.
        t0_seconds: start of bin 0, recording clock.
        last_event_seconds: last spike, sample of behaviour, or start or stop of a trial.
        behaviour: series found.
        trials: trials found; may be empty.
        target_columns: which columns of the trial table say what was aimed at.
        anomalies: what was looked for and not found, left out, or looks doubtful.
        observed: when the units were observed; None where the file does not say.
        n_spikes: of all units together.
        in_memory: True when nothing more is read from the file.
    """

    def __init__(
        self, request: OpenRequest, open_contents: OpenContents, read: ReadContents | None = None
    ) -> None:
        contents: Contents = open_contents(request) if read is None else read
        self._blocks: Mapping[Fraction, Block] = {} if read is None else read.blocks
        self._open_contents = open_contents
        self._request = request
        self._contents = contents
        self._original = Original(request.path, contents.identity)
        # One thread at a time reads from the file, or exchanges it.
        self._lock = threading.Lock()
        self._lost: str | None = None
        self.path = request.path
        self.dataset = request.name or request.path.stem
        self.info = contents.info
        self.units = contents.units
        self.unit_ids = contents.units.ids
        self.trials, self.target_columns = contents.trials, contents.target_columns
        self._behaviour = contents.behaviour
        self.behaviour = self._behaviour.summary
        self._spikes = contents.spikes
        self.n_spikes = self._spikes.n_spikes
        try:
            self.t0_seconds, self.last_event_seconds = self._ends()
        except BaseException:
            self.close()
            raise
        self.observed = contents.units.observed
        absent = absent_parts(
            n_spikes=self.n_spikes,
            behaviour=self.behaviour,
            trials=self.trials,
            target_columns=self.target_columns,
            observed=self.observed,
            span=Span(self.t0_seconds, self.last_event_seconds),
        )
        self.anomalies = (*absent, *contents.anomalies)
        self.in_memory = self._spikes.in_memory and self._behaviour.in_memory

    @property
    def missing(self) -> tuple[str, ...]:
        """The anomalies as lines."""
        return tuple(map(str, self.anomalies))

    def read_contents(self, rates_hz: Sequence[Fraction]) -> ReadContents | None:
        """All of it, for another process; None where some is still read from the file.

        Args:
            rates_hz: in bins of which rates, too; one that cannot be is left out.
        """
        contents = ReadContents.of(self._contents)
        if contents is None:
            return None
        blocks = {}
        for rate_hz in rates_hz:
            with suppress(PhantomLinkError):
                bins = self.at_rate(rate_hz)
                if bins.whole is not None:
                    blocks[rate_hz] = bins.whole
        return replace(contents, blocks=blocks)

    @property
    def memory_bytes(self) -> int:
        """What is kept of it in memory, with bins that came with it; trials are guessed at."""
        trials = sum(len(trial.columns) for trial in self.trials) * _BYTES_OF_A_VALUE
        blocks = sum(block.nbytes for block in self._blocks.values())
        return self._spikes.memory_bytes + self._behaviour.memory_bytes + trials + blocks

    @property
    def linked_paths(self) -> tuple[Path, ...]:
        """Other files that are read because the recording links to them."""
        return self._contents.linked_paths

    def at_rate(self, rate_hz: Fraction) -> RecordedBins:
        """The recording in bins of this rate; a small one is binned here and now.

        Where it came in such bins, they are used.

        Raises:
            RecordingError: the rate makes no sense with this recording.
        """
        if rate_hz <= 0:
            raise RecordingError(f"{float(rate_hz):g} bins per second asked for; must be above 0")
        if (self.last_event_seconds - self.t0_seconds) * rate_hz > MAX_BINS:
            raise RecordingError(
                f"{self.path}: its times run from {self.t0_seconds:g} s to "
                f"{self.last_event_seconds:g} s, too long for {float(rate_hz):g} bins per second"
            )
        grid = BinGrid.covering(self.t0_seconds, self.last_event_seconds, rate_hz)
        self._spikes.check_rate(grid)
        return RecordedBins(
            grid,
            self.unit_ids,
            self,
            self,
            self.trials,
            unit_labels=self.units.labels,
            observed=self.observed,
            targets=self if self._behaviour.has_targets else None,
            whole=self._blocks.get(rate_hz),
        )

    def counts(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.uint16]:
        """(stop - start, n_units) spikes per bin of bins [start, stop).

        Raises:
            RecordingError: the index cannot be read any more; more than 65535 spikes of one unit
                in one bin.
        """
        self._check_not_lost()
        return self._spikes.counts(grid, start, stop)

    def kinematics(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.float64]:
        """(stop - start, 4) vx, vy, x, y of bins [start, stop); NaN where there is none.

        Raises:
            RecordingError: the file cannot be read any more.
        """
        return self._read_behaviour(lambda: self._behaviour.kinematics(grid, start, stop))

    def targets(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.float64]:
        """(stop - start, 2) x, y of the target at the start of each bin; NaN where not known.

        Raises:
            RecordingError: the file cannot be read any more.
        """
        return self._read_behaviour(lambda: self._behaviour.targets(grid, start, stop))

    @property
    def identity(self) -> FileIdentity:
        """Of the file when it was opened."""
        return self._contents.identity

    def check(self) -> None:
        """Whether the open files are still what they were; costs next to nothing.

        Raises:
            RecordingError: they are not.
        """
        with self._lock, self._contents.reading(""):
            self._check_not_lost()
            self._contents.check()
            self._spikes.check()

    def whereabouts(self) -> str | None:
        """What has become of the file's name; None while it is the file that is open.

        A file that was deleted, or that another one was moved over, plays on: an open file stays
        until it is closed.
        """
        try:
            now = FileIdentity.of(self.path)
        except FileNotFoundError:
            return "was deleted or moved away"
        except OSError as error:
            return f"cannot be reached under its name: {error.strerror}"
        return None if now.place == self.identity.place else "has another file in its place"

    def reopen(self, sha256: str | None) -> None:
        """Open the same recording once more, after it could not be read.

        Everything that was made of it goes on with what is opened now. A library may keep what it
        has read, as HDF5 does, and share it with whoever opens the file again: so the old one is
        closed first, and until a call of this succeeds nothing can be read.

        Args:
            sha256: of the file that was opened first; None when it is not known.

        Raises:
            RecordingError: there is nothing under its name, or another file, or it cannot be read.
        """
        with self._lock:
            identity = self._original.check(sha256)
            self._lost = f"{self.path}: is being opened again"
            self._contents.close()
            # To sort the spikes again would take seconds; only a time of change that nobody can
            # account for makes an index doubtful.
            is_known = sha256 is not None or identity.content == self.identity.content
            kept = self._spikes if is_known and _is_whole(self._spikes) else None
            if kept is None:
                self._spikes.close()
            try:
                request = replace(self._request, progress=None, spikes=kept)
                again = Recording(request, self._open_contents)
                try:
                    again.check_like(self)
                except BaseException:
                    again.close()
                    raise
            except RecordingError as error:
                self._lost = str(error)
                raise
            self._original = Original(self.path, again.identity)
            self._contents = again._contents
            self._behaviour, self._spikes = again._behaviour, again._spikes
            self._lost = None

    def check_like(self, other: Recording) -> None:
        """Whether this is the same recording as another, by what is said in them.

        Raises:
            RecordingError: it is not.
        """
        for what, mine, others in (
            ("identifier", self.info.identifier, other.info.identifier),
            ("number of spikes", self.n_spikes, other.n_spikes),
            ("last event", self.last_event_seconds, other.last_event_seconds),
            ("start", self.t0_seconds, other.t0_seconds),
            ("number of trials", len(self.trials), len(other.trials)),
        ):
            if mine != others:
                raise RecordingError(
                    f"{self.path}: another recording is in its place: its {what} is {mine}, not "
                    f"{others}"
                )
        if self.unit_ids != other.unit_ids:
            raise RecordingError(f"{self.path}: another recording is in its place: other units")

    def as_told(self, error: RecordingError) -> RecordingError:
        """The same error for clients: it names the file, not where on the server that is."""
        return type(error)(without_folders(str(error), self.path))

    def close(self) -> None:
        """Close the file and the index; closing twice is fine."""
        self._spikes.close()
        self._contents.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read_behaviour(self, read: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        if self._behaviour.in_memory:
            return read()
        with self._lock, self._contents.reading("behaviour"):
            self._check_not_lost()
            # Before, since rubbish may not even be computed with; after, since it counts.
            self._contents.check()
            values = read()
            self._contents.check()
            return values

    def _check_not_lost(self) -> None:
        if self._lost is not None:
            raise RecordingError(self._lost)

    def _ends(self) -> tuple[float, float]:
        events = self._behaviour.ends()
        spikes = (self._spikes.first_seconds, self._spikes.last_seconds)
        events += [time for time in spikes if time is not None]
        events += [t for trial in self.trials for t in (trial.start_time, trial.stop_time)]
        events = [time for time in events if math.isfinite(time)]
        if not events:
            raise RecordingError(
                f"{self.path}: {len(self.unit_ids)} units, but no spikes, no behaviour and no "
                "trials: nothing to play"
            )
        return zero_of(min(events), max(events)), max(events)


def open_recording(
    path: Path,
    *,
    options: SeriesOptions = SEARCH,
    cache_dir: Path | None = None,
    progress: ProgressCallback | None = None,
    name: str | None = None,
) -> Recording:
    """Open a recording and read what is small of it.

    Args:
        path: of a file in one of the formats of `formats`.
        options: series and trial columns to use in place of those the search finds.
        cache_dir: where the index of a large recording goes when its own folder cannot be
            written; None: the user's cache directory.
        progress: called while that index is made, which happens once a recording.
        name: of the dataset; None: that of the file, without its ending.

    Raises:
        RecordingError: one line that names the file and what is wrong or missing.
    """
    request = OpenRequest(path, options, cache_dir, progress, name=name)
    return Recording(request, format_of(path))


def read_recording(
    path: Path, contents: ReadContents, options: SeriesOptions, name: str
) -> Recording:
    """A recording of which all has been read.

    Args:
        path: of the file.
        contents: of it.
        options: that it was opened with.
        name: of the dataset.
    """
    return Recording(OpenRequest(path, options, name=name), format_of(path), contents)


def _is_whole(spikes: SpikeSource) -> bool:
    try:
        spikes.check()
    except RecordingError:
        return False
    return True
