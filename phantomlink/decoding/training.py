"""Bins to fit to, the windows of counts that decoders look at, and running one over many bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding.interface import Decoder

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Bins that follow each other.

    Attributes:
        counts: (n, n_units) spikes.
        kinematics: (n, 4) vx, vy, x, y; NaN where there is none.
        trial_ids: (n,), -1 outside trials.
        used: (n,) bins that may be fitted to; those before them are still looked back at.
    """

    counts: NDArray[np.integer]
    kinematics: Table
    trial_ids: NDArray[np.integer]
    used: NDArray[np.bool_]

    @property
    def n_units(self) -> int:
        """Columns of the counts."""
        return int(self.counts.shape[1])

    def within(self, trials: NDArray[np.integer] | list[int]) -> TrainingData:
        """The same bins, of which only those of these trials may be fitted to."""
        used = self.used & np.isin(self.trial_ids, trials)
        return TrainingData(self.counts, self.kinematics, self.trial_ids, used)

    def rolled(self, n_bins: int) -> TrainingData:
        """The same with the counts of other bins: what is left to be learned is chance."""
        counts = np.roll(self.counts, n_bins, axis=0)
        return TrainingData(counts, self.kinematics, self.trial_ids, self.used)

    @property
    def trials(self) -> NDArray[np.integer]:
        """The trials that may be fitted to, ascending."""
        return np.unique(self.trial_ids[self.used & (self.trial_ids >= 0)])

    def rows_with(self, columns: slice) -> NDArray[np.bool_]:
        """(n,) bins that may be fitted to and have this part of the kinematics."""
        return self.used & np.isfinite(self.kinematics[:, columns]).all(axis=1)


def summed_counts(counts: NDArray[np.integer], n_bins: int, lag: int) -> Table:
    """Counts summed over bins [t - lag - n_bins + 1, t - lag] for each bin t: (n, n_units)."""
    n = len(counts)
    sums = np.zeros(counts.shape)
    for back in range(lag, lag + n_bins):
        if back < n:
            sums[back:] += counts[: n - back]
    return sums


class SummedWindow:
    """The same as `summed_counts`, bin by bin, in constant time.

    Args:
        n_units: of the counts.
        n_bins: how many are summed.
        lag: how many of the latest are left out.
    """

    def __init__(self, n_units: int, n_bins: int, lag: int) -> None:
        self._kept = np.zeros((n_bins + lag, n_units))
        self._lag = lag
        self._at = 0
        self._n_pushed = 0
        self.sums = np.zeros(n_units)

    def reset(self) -> None:
        """Forget what was seen."""
        self._kept[:] = 0
        self.sums[:] = 0
        self._n_pushed = 0

    @property
    def is_full(self) -> bool:
        """Whether all bins that are summed have been seen since the last reset."""
        return self._n_pushed >= len(self._kept)

    def push(self, counts: NDArray[np.integer]) -> Table:
        """The sums with one bin more; read them before the next call. Whole numbers: exact."""
        length = len(self._kept)
        oldest = self._kept[self._at]
        self.sums -= oldest
        oldest[:] = counts
        self.sums += self._kept[(self._at - self._lag) % length]
        self._at = (self._at + 1) % length
        self._n_pushed += 1
        return self.sums


def run_decoder(decoder: Decoder, counts: NDArray[np.integer]) -> Table:
    """Decode bins that follow each other, from a reset decoder.

    Returns:
        (n, 4) vx, vy, x, y; NaN where it said nothing.
    """
    decoder.reset()
    decoded = np.full((len(counts), 4), np.nan)
    for row, bin_counts in zip(decoded, counts, strict=True):
        said = decoder.step(bin_counts)
        if said is not None:
            row[: len(said)] = said
    return decoded
