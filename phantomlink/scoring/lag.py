"""The lag of a decoder: the shift at which its output looks most like the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

MAX_LAG_BINS = 20
"""The shifts that are tried, both ways."""

_N_LAGS = 2 * MAX_LAG_BINS + 1
_Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LagSums:
    """Sums over both axes at each shift; see `AxisSums`.

    Attributes:
        n: (2, shifts) rows of truth whose shifted prediction is in the same trial.
        means: (2, 2, shifts) of truth and prediction.
        products: (3, 2, shifts) sums of products of deviations from the means: truth with
            itself, prediction with itself, truth with prediction.
    """

    n: _Table
    means: _Table
    products: _Table

    @classmethod
    def of(cls, truth: _Table, predicted: _Table, windows: NDArray[np.bool_]) -> list[LagSums]:
        """Sums of one trial, for each window.

        Args:
            truth: (n, 2), rows that follow each other, NaN where there is none.
            predicted: (n, 2), NaN where there is none.
            windows: (windows, n) rows whose truth counts; their prediction may lie outside.
        """
        n_rows, n_windows = len(truth), len(windows)
        counts = windows[None] & np.isfinite(truth.T)[:, None]
        said = np.isfinite(predicted.T)
        # Around a row of the trial, so that an offset costs no digits.
        around, around_predicted = _first(truth.T), _first(predicted.T)
        t = np.where(counts, (truth.T - around[:, None])[:, None], 0.0)
        padded = np.zeros((2, 3, n_rows + 2 * MAX_LAG_BINS))
        inside = padded[:, :, MAX_LAG_BINS : MAX_LAG_BINS + n_rows]
        inside[:, 0] = said
        inside[:, 1] = np.where(said, predicted.T - around_predicted[:, None], 0.0)
        inside[:, 2] = inside[:, 1] ** 2
        # Column s of a row holds the prediction s - MAX_LAG_BINS bins after that row.
        shifted = sliding_window_view(padded, _N_LAGS, axis=2).transpose(0, 2, 1, 3)
        left = np.concatenate((counts, t, t * t), axis=1)
        sums = left @ np.ascontiguousarray(shifted).reshape(2, n_rows, 3 * _N_LAGS)
        # By truth's power, prediction's power, window, axis and shift.
        table = sums.reshape(2, 3, n_windows, 3, _N_LAGS).transpose(1, 3, 2, 0, 4)
        n = table[0, 0]
        most = np.maximum(n, 1)
        off, off_predicted = table[1, 0] / most, table[0, 1] / most
        means = np.stack((around[:, None] + off, around_predicted[:, None] + off_predicted), axis=1)
        products = np.stack(
            (
                # Rounding must not make a little less than nothing of it.
                np.maximum(table[2, 0] - off * table[1, 0], 0),
                np.maximum(table[0, 2] - off_predicted * table[0, 1], 0),
                table[1, 1] - off * table[0, 1],
            ),
            axis=1,
        )
        return [cls(n[k], means[k], products[k]) for k in range(n_windows)]

    def joined(self, other: LagSums) -> LagSums:
        """Sums over the rows of both."""
        n = self.n + other.n
        share = other.n / np.maximum(n, 1)
        between = other.means - self.means
        squares = np.concatenate((between**2, between[:1] * between[1:]))
        return LagSums(
            n,
            self.means + between * share,
            self.products + other.products + squares * (self.n * share),
        )

    @property
    def bins(self) -> int | None:
        """How many bins the prediction comes after the truth; None where nothing varies.

        Of shifts that look alike, the smallest.
        """
        truth, predicted, both = self.products.sum(axis=1)
        varies = truth * predicted > 0
        if not varies.any():
            return None
        r = np.full(_N_LAGS, -np.inf)
        r[varies] = both[varies] / np.sqrt(truth[varies] * predicted[varies])
        best = np.flatnonzero(r == r.max()) - MAX_LAG_BINS
        return int(best[np.argmin(np.abs(best))])


def _first(axes: _Table) -> _Table:
    """The first finite value of each axis; 0 where there is none."""
    finite = np.isfinite(axes)
    firsts = axes[np.arange(len(axes)), finite.argmax(axis=1)]
    return np.where(finite.any(axis=1), firsts, 0.0)
