"""The Wiener filter: velocity as a weighted sum of the counts of the last few bins.

v(t) = b + sum over units u and bins k of W[k, u] c[u](t - k), fitted by least squares with a
penalty on the size of the weights (ridge regression): minimises |V - X W|^2 + strength |W|^2 with
means taken out first, W = (X'X + strength I)^-1 X'V. How strong the penalty must be is found by
cross-validation over trials: neighbouring bins are alike, so to leave out single bins would ask
for too weak a penalty. (Warland, Reinagel and Meister 1997, J Neurophysiol 78:2336; Carmena et al.
2003, PLoS Biol 1:e42.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding.model import check_shape
from phantomlink.decoding.training import Table, TrainingData

STRENGTHS = tuple(float(strength) for strength in 10.0 ** np.arange(0, 5.5, 0.5))
FOLDS = 5
_VELOCITY = slice(0, 2)


@dataclass(frozen=True, slots=True, eq=False)
class RidgeParameters:
    """A fitted Wiener filter.

    Attributes:
        weights: (bins, n_units, 2), newest bin first.
        offsets: (2,).
        strength: of the penalty.
    """

    weights: Table
    offsets: Table
    strength: float

    def __post_init__(self) -> None:
        shape = (len(self.weights), self.n_units, 2)
        check_shape("weights", self.weights, shape)
        check_shape("offsets", self.offsets, (2,))

    @property
    def n_units(self) -> int:
        """Units whose counts it takes."""
        return int(self.weights.shape[1]) if self.weights.ndim == 3 else 0

    def decoder(self) -> RidgeDecoder:
        """A decoder of its own state."""
        return RidgeDecoder(self)


class RidgeDecoder:
    """Runs a Wiener filter. Bins before the first count as silent."""

    def __init__(self, parameters: RidgeParameters) -> None:
        n_bins, n_units, _ = parameters.weights.shape
        # Each bin is kept twice, so that the latest ones always lie in one piece, newest first.
        self._kept = np.zeros((2 * n_bins, n_units))
        self._weights = np.ascontiguousarray(parameters.weights.reshape(-1, 2).T)
        self._offsets = parameters.offsets
        self._n_bins = n_bins
        self._at = 0

    def reset(self) -> None:
        """Forget what was seen."""
        self._kept[:] = 0

    def step(self, counts: NDArray[np.integer]) -> list[float]:
        """Decode the next bin."""
        at = self._at = (self._at or self._n_bins) - 1
        self._kept[at] = counts
        self._kept[at + self._n_bins] = counts
        latest = self._kept[at : at + self._n_bins].reshape(-1)
        said: list[float] = (self._weights @ latest + self._offsets).tolist()
        return said


def fit_ridge(
    data: TrainingData, n_bins: int, strengths: Sequence[float] = STRENGTHS, folds: int = FOLDS
) -> RidgeParameters:
    """Fit a Wiener filter of velocity.

    Args:
        data: what to fit to.
        n_bins: that are looked at, the one to be decoded included.
        strengths: of the penalty that are tried; a single one is taken as it is.
        folds: of trials, of which each is left out in turn.
    """
    rows = np.flatnonzero(data.rows_with(_VELOCITY))
    # Moments of each fold, from which those of all others follow by subtraction.
    folds = min(folds, len(data.trials)) if len(strengths) > 1 else 1
    fold_of = np.searchsorted(data.trials, data.trial_ids[rows]) % folds
    moments = [_moments(data, rows[fold_of == fold], n_bins) for fold in range(folds)]
    total = _sum(moments)
    strength = strengths[0] if folds == 1 else _best(moments, total, strengths)
    weights, offsets = _solve(total, strength)
    return RidgeParameters(weights.reshape(n_bins, data.n_units, 2), offsets, float(strength))


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Sums over rows of inputs x and outputs y: n, x, y, x x', x y', y^2."""

    n: int
    x: Table
    y: Table
    xx: Table
    xy: Table
    yy: Table


def _moments(data: TrainingData, rows: NDArray[np.intp], n_bins: int) -> _Moments:
    inputs = np.zeros((len(rows), n_bins * data.n_units))
    for back in range(n_bins):
        columns = slice(back * data.n_units, (back + 1) * data.n_units)
        known = rows >= back
        inputs[known, columns] = data.counts[rows[known] - back]
    outputs = data.kinematics[rows, _VELOCITY]
    return _Moments(
        len(rows),
        inputs.sum(axis=0),
        outputs.sum(axis=0),
        inputs.T @ inputs,
        inputs.T @ outputs,
        (outputs**2).sum(axis=0),
    )


def _sum(moments: Sequence[_Moments]) -> _Moments:
    return _Moments(
        sum(part.n for part in moments),
        sum((part.x for part in moments[1:]), moments[0].x),
        sum((part.y for part in moments[1:]), moments[0].y),
        sum((part.xx for part in moments[1:]), moments[0].xx),
        sum((part.xy for part in moments[1:]), moments[0].xy),
        sum((part.yy for part in moments[1:]), moments[0].yy),
    )


def _without(total: _Moments, part: _Moments) -> _Moments:
    return _Moments(
        total.n - part.n,
        total.x - part.x,
        total.y - part.y,
        total.xx - part.xx,
        total.xy - part.xy,
        total.yy - part.yy,
    )


def _solve(moments: _Moments, strength: float) -> tuple[Table, Table]:
    """(inputs, 2) weights and (2,) offsets."""
    mean_x, mean_y = moments.x / moments.n, moments.y / moments.n
    covariance = moments.xx - np.outer(mean_x, moments.x)
    covariance[np.diag_indices_from(covariance)] += strength
    right = moments.xy - np.outer(mean_x, moments.y)
    weights = np.asarray(np.linalg.solve(covariance, right), dtype=np.float64)
    return weights, mean_y - mean_x @ weights


def _best(moments: Sequence[_Moments], total: _Moments, strengths: Sequence[float]) -> float:
    """The strength with the smallest squared error over the folds that were left out."""
    errors = np.zeros(len(strengths))
    for part in moments:
        others = _without(total, part)
        for k, strength in enumerate(strengths):
            errors[k] += _squared_error(part, *_solve(others, strength))
    return strengths[int(errors.argmin())]


def _squared_error(part: _Moments, weights: Table, offsets: Table) -> float:
    """Of both axes over the rows behind some moments, without the rows."""
    error = (
        part.yy
        - 2 * (weights * part.xy).sum(axis=0)
        - 2 * offsets * part.y
        + (weights * (part.xx @ weights)).sum(axis=0)
        + 2 * offsets * (part.x @ weights)
        + part.n * offsets**2
    )
    return float(error.sum())
