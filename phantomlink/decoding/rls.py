"""Recursive least squares: a linear decoder that learns from each bin after it has decoded it.

It holds, at any time, the weights that minimise the squared errors of all bins so far, those of
old ones counted less by `forgetting` a bin (Haykin, Adaptive Filter Theory, ch. 10). A step costs
units squared, hence the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding.model import ModelError, check_shape
from phantomlink.decoding.training import SummedWindow, Table, TrainingData, summed_counts

MAX_UNITS = 256
FORGETTING = 0.9995
PENALTY = 100.0
_VELOCITY = slice(0, 2)


@dataclass(frozen=True, slots=True, eq=False)
class RlsParameters:
    """Where recursive least squares begin.

    Attributes:
        weights: (n_units + 1, 2); the last row is the offset.
        inverse: (n_units + 1, n_units + 1) inverse of the penalised second moments of the inputs.
        n_bins: counts are summed over.
        lag: bins by which the hand follows the counts.
        forgetting: of a bin.
    """

    weights: Table
    inverse: Table
    n_bins: int
    lag: int
    forgetting: float

    def __post_init__(self) -> None:
        n = self.n_units + 1
        check_shape("weights", self.weights, (n, 2))
        check_shape("inverse", self.inverse, (n, n))
        if not (self.n_bins >= 1 and self.lag >= 0 and 0.9 <= self.forgetting <= 1):
            raise ModelError(
                f"recursive least squares take 1 bin or more, a lag of 0 or more, a forgetting of "
                f"0.9 to 1; got {self.n_bins}, {self.lag}, {self.forgetting}"
            )

    @property
    def n_units(self) -> int:
        """Units whose counts it takes."""
        return len(self.weights) - 1

    def decoder(self) -> RlsDecoder:
        """A decoder of its own state."""
        return RlsDecoder(self)


class RlsDecoder:
    """Runs and learns; what it has learned outlives a reset."""

    def __init__(self, parameters: RlsParameters) -> None:
        self._window = SummedWindow(parameters.n_units, parameters.n_bins, parameters.lag)
        self._forgetting = parameters.forgetting
        self.weights = parameters.weights.copy()
        self._inverse = parameters.inverse.copy()
        self._inputs = np.zeros(parameters.n_units + 1)
        self._inputs[-1] = 1
        self._said = np.zeros(2)

    def reset(self) -> None:
        """Forget what was seen, not what was learned."""
        self._window.reset()

    def step(self, counts: NDArray[np.integer]) -> list[float]:
        """Decode the next bin."""
        self._inputs[:-1] = self._window.push(counts)
        self._said = self._inputs @ self.weights
        said: list[float] = self._said.tolist()
        return said

    def learn(self, kinematics: NDArray[np.float64], trial_id: int) -> None:
        """The truth of the bin that was decoded last; of bins in trials only."""
        truth = np.asarray(kinematics, dtype=np.float64)[_VELOCITY]
        if trial_id < 0 or not np.isfinite(truth).all():
            return
        projected = self._inverse @ self._inputs
        gain = projected / (self._forgetting + self._inputs @ projected)
        self.weights += np.outer(gain, truth - self._said)
        self._inverse -= np.outer(gain, projected)
        self._inverse /= self._forgetting


def fit_rls(data: TrainingData, n_bins: int, lag: int, forgetting: float) -> RlsParameters:
    """Least squares over all bins alike, to go on from.

    Raises:
        ModelError: there are too many units.
    """
    if data.n_units > MAX_UNITS:
        raise ModelError(
            f"rls: got {data.n_units} units, takes at most {MAX_UNITS}: a step costs units squared"
        )
    rows = data.rows_with(_VELOCITY)
    sums = summed_counts(data.counts, n_bins, lag)[rows]
    inputs = np.column_stack((sums, np.ones(len(sums))))
    moments: Table = inputs.T @ inputs
    # The offset is not to be small.
    moments[np.diag_indices_from(moments)] += [PENALTY] * data.n_units + [1e-6]
    inverse = np.asarray(np.linalg.inv(moments), dtype=np.float64)
    weights = inverse @ (inputs.T @ data.kinematics[rows, _VELOCITY])
    return RlsParameters(weights, inverse, n_bins, lag, forgetting)
