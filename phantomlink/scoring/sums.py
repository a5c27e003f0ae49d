"""Running sums behind R2, r and RMSE (Chan, Golub and LeVeque 1983, Am Stat 37:242).

Each block of rows is summed around its own first row and mean, and joined with what was before:
nothing is subtracted that is much larger than the result, so an offset of a million costs no
digits, and any number of rows takes the same memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AxisSums:
    """Sums over the rows of one axis.

    Attributes:
        n: rows with truth and prediction.
        mean_truth, mean_predicted: means.
        var_truth, var_predicted, covariance: sums of products of deviations from the means.
        squared_error: sum of squared errors.
    """

    n: int = 0
    mean_truth: float = 0.0
    mean_predicted: float = 0.0
    var_truth: float = 0.0
    var_predicted: float = 0.0
    covariance: float = 0.0
    squared_error: float = 0.0

    @classmethod
    def of(cls, truth: Rows, predicted: Rows) -> AxisSums:
        """Sums of (n,) rows, all of them finite."""
        n = truth.size
        if not n:
            return _NOTHING
        first_truth, first_predicted = truth[0], predicted[0]
        from_first = truth - first_truth
        from_first_predicted = predicted - first_predicted
        mean, mean_predicted = from_first.sum() / n, from_first_predicted.sum() / n
        off, off_predicted = from_first - mean, from_first_predicted - mean_predicted
        error = truth - predicted
        return cls(
            n,
            float(first_truth + mean),
            float(first_predicted + mean_predicted),
            float((off * off).sum()),
            float((off_predicted * off_predicted).sum()),
            float((off * off_predicted).sum()),
            float((error * error).sum()),
        )

    def joined(self, other: AxisSums) -> AxisSums:
        """Sums over the rows of both."""
        if not self.n or not other.n:
            return self if other.n == 0 else other
        n = self.n + other.n
        between = other.mean_truth - self.mean_truth
        between_predicted = other.mean_predicted - self.mean_predicted
        share = other.n / n
        weight = self.n * share
        return AxisSums(
            n,
            self.mean_truth + between * share,
            self.mean_predicted + between_predicted * share,
            self.var_truth + other.var_truth + between * between * weight,
            self.var_predicted
            + other.var_predicted
            + between_predicted * between_predicted * weight,
            self.covariance + other.covariance + between * between_predicted * weight,
            self.squared_error + other.squared_error,
        )

    @property
    def r2(self) -> float | None:
        """1 - squared errors / squared deviations; None for a truth that never changes."""
        return None if self.var_truth <= 0 else 1 - self.squared_error / self.var_truth

    @property
    def r(self) -> float | None:
        """Pearson's correlation; None where truth or prediction never changes."""
        if self.var_truth <= 0 or self.var_predicted <= 0:
            return None
        return self.covariance / (math.sqrt(self.var_truth) * math.sqrt(self.var_predicted))


_NOTHING = AxisSums()


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over the rows of two axes; a track of one axis has no rows on the second.

    Attributes:
        n: rows with truth on at least one axis.
        first, second: of the axes.
    """

    n: int = 0
    first: AxisSums = _NOTHING
    second: AxisSums = _NOTHING

    @classmethod
    def of(cls, truth: Rows, predicted: Rows) -> PairSums:
        """Sums of (n, 2) rows; truth is NaN where there is none, predictions are finite."""
        known = np.isfinite(truth)
        if known.all():
            axes = [AxisSums.of(truth[:, k], predicted[:, k]) for k in (0, 1)]
            return cls(len(truth), *axes)
        axes = [AxisSums.of(truth[known[:, k], k], predicted[known[:, k], k]) for k in (0, 1)]
        return cls(int(known.any(axis=1).sum()), *axes)

    def joined(self, other: PairSums) -> PairSums:
        """Sums over the rows of both."""
        return PairSums(
            self.n + other.n, self.first.joined(other.first), self.second.joined(other.second)
        )

    @property
    def r2(self) -> float | None:
        """Variance-weighted R2 of the axes whose truth changes."""
        moving = [axis for axis in (self.first, self.second) if axis.var_truth > 0]
        if not moving:
            return None
        errors = sum(axis.squared_error for axis in moving)
        return 1 - errors / sum(axis.var_truth for axis in moving)

    @property
    def rmse(self) -> float | None:
        """Root of the mean squared distance, the recording's own unit; None without rows."""
        if not self.n:
            return None
        return math.sqrt((self.first.squared_error + self.second.squared_error) / self.n)
