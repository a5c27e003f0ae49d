"""What a run of bins holds: counts, kinematics, and the trial of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import TooManySpikesError
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.observed import ObservedTime
from phantomlink.recordings.trials import TrialTable

KINEMATICS = ("vx", "vy", "x", "y")
"""Columns of `Block.kinematics`."""

_PIECE_SPIKES = 32_768
WHOLE_BYTES = 64 * 2**20
"""A recording whose bins fit this is binned once at load; a larger one block by block."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What bins [start, start + n) hold; the arrays are read-only.

    Attributes:
        start: index of the first bin.
        counts: (n, n_units) spikes per bin, units in the order of `unit_ids`.
        kinematics: (n, 4) vx, vy, x, y in the recording's own units; NaN where there is none.
        trial_rows: (n,) row in the trial table of the trial that contains the bin's start,
            -1 outside trials.
        observed: (n,) whether any of the bin's time was observed; None: all of it was, or the
            recording does not say.
        targets: (n, 2) x, y of the target at the bin's start, NaN where not known; None: the
            trials say it.
    """

    start: int
    counts: NDArray[np.uint16]
    kinematics: NDArray[np.float64]
    trial_rows: NDArray[np.int32]
    observed: NDArray[np.bool_] | None = None
    targets: NDArray[np.float64] | None = None

    @property
    def nbytes(self) -> int:
        """What the arrays take."""
        arrays = (self.counts, self.kinematics, self.trial_rows, self.observed, self.targets)
        return sum(array.nbytes for array in arrays if array is not None)

    def rows(self, first: int, last: int) -> Block:
        """Rows [first, last) of it; the arrays are views."""
        rows = slice(first, last)
        return Block(
            self.start + first,
            self.counts[rows],
            self.kinematics[rows],
            self.trial_rows[rows],
            None if self.observed is None else self.observed[rows],
            None if self.targets is None else self.targets[rows],
        )


class Bins(Protocol):
    """A recording at one rate.

    One that is in memory may be read on the event loop, any other only in one worker thread.
    """

    @property
    def grid(self) -> BinGrid:
        """Where the bins are."""
        ...

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """Labels of the units, in the order of the counts."""
        ...

    @property
    def unit_labels(self) -> tuple[str, ...] | None:
        """Ids of the file as texts where `unit_ids` are rows; None where those are the file's."""
        ...

    @property
    def trials(self) -> TrialTable:
        """Trials of the recording."""
        ...

    @property
    def in_memory(self) -> bool:
        """True when reading neither blocks nor touches a file."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What is kept of it in memory."""
        ...

    def read(self, start: int, stop: int) -> Block:
        """Bins [start, stop).

        Raises:
            BinRangeError: the range leaves the recording.
            RecordingError: the file cannot be read; never zeros in its place.
        """
        ...


class CountSource(Protocol):
    """Where spike counts come from: spikes in memory, or a sorted index in a file."""

    @property
    def in_memory(self) -> bool:
        """True when reading neither blocks nor touches a file."""
        ...

    def counts(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.uint16]:
        """(stop - start, n_units) spikes per bin."""
        ...


class KinematicsSource(Protocol):
    """Where kinematics come from: samples in memory, or rows of the file."""

    @property
    def in_memory(self) -> bool:
        """True when reading neither blocks nor touches a file."""
        ...

    def kinematics(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.float64]:
        """(stop - start, 4) vx, vy, x, y; NaN where there is none."""
        ...


class TargetSource(Protocol):
    """Where the places of targets come from, when a series says them."""

    def targets(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.float64]:
        """(stop - start, 2) x, y of the target at the start of each bin; NaN where not known."""
        ...


class RecordedBins:
    """`Bins` of a recording: binned whole when all is in memory and the result is small.

    Only then are they `in_memory`: a block is a slice. To count one, even of spikes that are in
    memory, grows with the block, and an event loop that ticks has no time for that.

    Args:
        grid: where the bins are.
        unit_ids: labels of the units.
        spikes: where counts come from.
        behaviour: where kinematics come from.
        trials: of the recording.
        unit_labels: ids of the file as texts where `unit_ids` are rows.
        observed: when the units were observed; None where the recording does not say.
        targets: where the places of targets come from; None: the trials say it.
        whole: all bins, where they were computed before; None: they are computed here.

    Attributes:
        whole: all bins; None where they are too many to be kept.
    """

    def __init__(
        self,
        grid: BinGrid,
        unit_ids: tuple[int, ...],
        spikes: CountSource,
        behaviour: KinematicsSource,
        trials: TrialTable,
        *,
        unit_labels: tuple[str, ...] | None = None,
        observed: ObservedTime | None = None,
        targets: TargetSource | None = None,
        whole: Block | None = None,
    ) -> None:
        self.grid = grid
        self.unit_ids = unit_ids
        self.unit_labels = unit_labels
        self.trials = trials
        self._observed = observed
        self._targets = targets
        self._spikes = spikes
        self._behaviour = behaviour
        bin_bytes = 2 * len(unit_ids) + 8 * len(KINEMATICS) + 4
        fits = grid.n_bins * bin_bytes <= WHOLE_BYTES
        self.in_memory = fits and spikes.in_memory and behaviour.in_memory
        # What was computed before is kept by who gave it.
        self.memory_bytes = grid.n_bins * bin_bytes if self.in_memory and whole is None else 0
        if whole is None and self.in_memory:
            whole = self._compute(0, grid.n_bins)
        self.whole = whole

    def read(self, start: int, stop: int) -> Block:
        """Bins [start, stop); see `Bins.read`."""
        self.grid.check(start, stop)
        whole = self.whole
        if whole is None:
            return self._compute(start, stop)
        return whole.rows(start, stop)

    def _compute(self, start: int, stop: int) -> Block:
        counts = self._spikes.counts(self.grid, start, stop)
        kinematics = self._behaviour.kinematics(self.grid, start, stop)
        trial_rows = self.trials.rows_at(self.grid.starts_of(start, stop))
        observed = None if self._observed is None else self._observed.bins(self.grid, start, stop)
        targets = None if self._targets is None else self._targets.targets(self.grid, start, stop)
        for array in (counts, kinematics, trial_rows, observed, targets):
            if array is not None:
                array.setflags(write=False)
        return Block(start, counts, kinematics, trial_rows, observed, targets)


def count_spikes(
    bins: NDArray[np.int64], units: NDArray[np.integer], shape: tuple[int, int]
) -> NDArray[np.uint16]:
    """Count spikes into a table.

    Args:
        bins: (n,) row of each spike, 0 <= bins < shape[0].
        units: (n,) column of each spike.
        shape: (bins, units) of the result.

    Returns:
        `shape`, spikes per bin and unit.

    Raises:
        TooManySpikesError: more than 65535 spikes of one unit in one bin.
    """
    cells = bins * shape[1] + units
    counts = np.zeros(shape[0] * shape[1], dtype=np.uint16)
    # Not bincount: it makes int64 of the whole table first, four times what is kept. In pieces,
    # since numpy keeps the interpreter while it adds: a tick waits for one of them at most.
    for first in range(0, cells.size, _PIECE_SPIKES):
        np.add.at(counts, cells[first : first + _PIECE_SPIKES], np.uint16(1))
    if cells.size > np.iinfo(np.uint16).max and int(counts.sum(dtype=np.int64)) != cells.size:
        raise TooManySpikesError(
            "more than 65535 spikes of one unit in one bin: choose a higher rate"
        )
    return counts.reshape(shape)
