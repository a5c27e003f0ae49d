"""Bins: where they lie on the recording's clock, and what a run of them holds.

Bin i covers [t0 + i / rate, t0 + (i + 1) / rate) seconds of the recording's clock. The index of
a time is rounded to a millionth of a bin before the floor: 3.3 s * 40 Hz is 131.99999999999997
in floats, and without the rounding a spike on an edge would fall into the bin before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import BinRangeError, TooManySpikesError

if TYPE_CHECKING:
    from phantomlink.recordings.trials import TrialTable

KINEMATICS = ("vx", "vy", "x", "y")
"""Columns of `Block.kinematics`."""

WHOLE_BYTES = 64 * 2**20
"""A recording whose bins fit this is binned once at load; a larger one block by block."""


@dataclass(frozen=True, slots=True)
class BinGrid:
    """Pure arithmetic between seconds of the recording's clock and bin indices.

    Attributes:
        t0_seconds: start of bin 0, recording clock.
        rate_hz: bins per second; a fraction, so that 1000/33 Hz has no rounding of its own.
        n_bins: bins of the recording; the last one holds the last event.
    """

    t0_seconds: float
    rate_hz: Fraction
    n_bins: int

    @classmethod
    def covering(cls, t0_seconds: float, last_event_seconds: float, rate_hz: Fraction) -> BinGrid:
        """The grid from `t0_seconds` whose last bin holds `last_event_seconds`."""
        n_bins = cls(t0_seconds, rate_hz, 0).index_of(last_event_seconds) + 1
        return cls(t0_seconds, rate_hz, n_bins)

    @property
    def bin_size_ms(self) -> float:
        """Width of a bin, ms."""
        return 1000 * self.rate_hz.denominator / self.rate_hz.numerator

    @property
    def duration_seconds(self) -> float:
        """Length of all bins together, s; not the time of the last event."""
        return self.n_bins * self.rate_hz.denominator / self.rate_hz.numerator

    def index_of(self, seconds: float) -> int:
        """Bin that holds this time (recording clock); outside the recording too, unclamped."""
        return int(self.indices_of(np.float64(seconds)))

    def indices_of(self, seconds: NDArray[np.float64] | np.float64) -> NDArray[np.int64]:
        """Bin of each time.

        Args:
            seconds: any shape, recording clock.

        Returns:
            Same shape; outside the recording too, unclamped.
        """
        position = np.round((seconds - self.t0_seconds) * float(self.rate_hz), 6)
        return np.floor(position).astype(np.int64)

    def start_of(self, index: int) -> float:
        """Time at which bin `index` starts, s, recording clock."""
        return self.t0_seconds + index * self.rate_hz.denominator / self.rate_hz.numerator

    def starts_of(self, start: int, stop: int) -> NDArray[np.float64]:
        """Times at which bins [start, stop) start: (stop - start,), s, recording clock."""
        # One multiplication and one division, as in start_of, so that both give the same floats.
        ticks = np.arange(start, stop, dtype=np.float64) * self.rate_hz.denominator
        starts: NDArray[np.float64] = self.t0_seconds + ticks / self.rate_hz.numerator
        return starts

    def check(self, start: int, stop: int) -> None:
        """Refuse a range of bins that is not inside the recording.

        Raises:
            BinRangeError: unless 0 <= start <= stop <= n_bins.
        """
        if not 0 <= start <= stop <= self.n_bins:
            raise BinRangeError(
                f"bins [{start}, {stop}) asked for; the recording has bins 0 to {self.n_bins - 1}"
            )


def zero_of(first_event_seconds: float, last_event_seconds: float) -> float:
    """Where bin 0 starts, s, recording clock.

    0, unless times are negative or the first event lies later than the whole span of the events
    (the clock of a computer, say); then the whole second at or before the first event.
    """
    span = last_event_seconds - first_event_seconds
    if first_event_seconds < 0 or first_event_seconds > span:
        return float(math.floor(first_event_seconds))
    return 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What bins [start, start + n) hold; the arrays are read-only.

    Attributes:
        start: index of the first bin.
        counts: (n, n_units) spikes per bin, units in the order of `unit_ids`.
        kinematics: (n, 4) vx, vy, x, y in the recording's own units; NaN where there is none.
        trial_rows: (n,) row in the trial table of the trial that contains the bin's start,
            -1 outside trials.
    """

    start: int
    counts: NDArray[np.uint16]
    kinematics: NDArray[np.float64]
    trial_rows: NDArray[np.int32]


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
    def trials(self) -> TrialTable:
        """Trials of the recording."""
        ...

    @property
    def in_memory(self) -> bool:
        """True when reading neither blocks nor touches a file."""
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


class RecordedBins:
    """`Bins` of a recording: binned whole when all is in memory and the result is small.

    Only then are they `in_memory`: a block is a slice. To count one, even of spikes that are in
    memory, grows with the block, and an event loop that ticks has no time for that.
    """

    def __init__(
        self,
        grid: BinGrid,
        unit_ids: tuple[int, ...],
        spikes: CountSource,
        behaviour: KinematicsSource,
        trials: TrialTable,
    ) -> None:
        self.grid = grid
        self.unit_ids = unit_ids
        self.trials = trials
        self._spikes = spikes
        self._behaviour = behaviour
        bin_bytes = 2 * len(unit_ids) + 8 * len(KINEMATICS) + 4
        fits = grid.n_bins * bin_bytes <= WHOLE_BYTES
        self.in_memory = fits and spikes.in_memory and behaviour.in_memory
        self._whole = self._compute(0, grid.n_bins) if self.in_memory else None

    def read(self, start: int, stop: int) -> Block:
        """Bins [start, stop); see `Bins.read`."""
        self.grid.check(start, stop)
        whole = self._whole
        if whole is None:
            return self._compute(start, stop)
        rows = slice(start, stop)
        return Block(start, whole.counts[rows], whole.kinematics[rows], whole.trial_rows[rows])

    def _compute(self, start: int, stop: int) -> Block:
        counts = self._spikes.counts(self.grid, start, stop)
        kinematics = self._behaviour.kinematics(self.grid, start, stop)
        trial_rows = self.trials.rows_at(self.grid.starts_of(start, stop))
        for array in (counts, kinematics, trial_rows):
            array.setflags(write=False)
        return Block(start, counts, kinematics, trial_rows)


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
    # Not bincount: it makes int64 of the whole table first, four times what is kept.
    np.add.at(counts, cells, np.uint16(1))
    if cells.size > np.iinfo(np.uint16).max and int(counts.sum(dtype=np.int64)) != cells.size:
        raise TooManySpikesError(
            "more than 65535 spikes of one unit in one bin: choose a higher rate"
        )
    return counts.reshape(shape)
