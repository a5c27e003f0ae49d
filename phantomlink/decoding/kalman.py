"""The Kalman filter with its steady gain.

The hand moves by x(t) = A x(t-1) + noise of covariance W, and counts summed over some bins, some
bins ago, tell of it by z(t) = H x(t) + d + noise of covariance Q. A, W, H, Q are least squares
fits (Wu et al. 2003, NIPS 15; Gilja et al. 2012, Nat Neurosci 15:1752). The gain does not depend
on the counts and settles within a second, so the settled one is used from the start (Malik et al.
2011, IEEE TNSRE 19:25): a bin costs one product of state x units.

It settles where P = (A P A' + W)^-1 + H'Q^-1H inverted: the information form, whose inverses are
of the size of the state; that of Q is taken once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding.interface import Decoder
from phantomlink.decoding.model import ModelError, check_shape
from phantomlink.decoding.training import SummedWindow, Table, TrainingData, summed_counts

STATES = {"kalman": (0, 1), "kalman-pv": (0, 1, 2, 3)}
"""Columns of the kinematics that are the state."""

_SETTLED = 1e-15
_MOST_STEPS = 100_000
_SHRINKAGE = 1e-6
"""Share of the mean variance that is added to Q: a unit that never fired has none."""


@dataclass(frozen=True, slots=True, eq=False)
class KalmanParameters:
    """A fitted Kalman filter; k numbers of state: vx, vy, or vx, vy, x, y.

    Attributes:
        transition: (k, k) A.
        transition_noise: (k, k) W.
        observation: (n_units, k) H.
        observation_mean: (n_units,) d.
        gain: (k, n_units), settled.
        start: (k,) state before the first bin: it stands still at the mean position.
        n_bins: counts are summed over.
        lag: bins by which the hand follows the counts.
    """

    transition: Table
    transition_noise: Table
    observation: Table
    observation_mean: Table
    gain: Table
    start: Table
    n_bins: int
    lag: int

    def __post_init__(self) -> None:
        k, n_units = len(self.start), self.n_units
        if k not in (2, 4) or not (self.n_bins >= 1 and self.lag >= 0):
            raise ModelError(
                f"a Kalman filter has a state of 2 or 4 numbers, 1 bin or more and a lag of 0 or "
                f"more; got {k}, {self.n_bins}, {self.lag}"
            )
        check_shape("transition", self.transition, (k, k))
        check_shape("transition_noise", self.transition_noise, (k, k))
        check_shape("observation", self.observation, (n_units, k))
        check_shape("observation_mean", self.observation_mean, (n_units,))
        check_shape("gain", self.gain, (k, n_units))
        check_shape("start", self.start, (k,))

    @property
    def n_units(self) -> int:
        """Units whose counts it takes."""
        return len(self.observation_mean)

    def decoder(self) -> Decoder:
        """A decoder of its own state."""
        return KalmanDecoder(self)


class KalmanDecoder:
    """Runs a Kalman filter with its steady gain."""

    def __init__(self, parameters: KalmanParameters) -> None:
        self._window = SummedWindow(parameters.n_units, parameters.n_bins, parameters.lag)
        self._start = parameters.start
        self._state = parameters.start
        self.use(parameters)

    def use(self, parameters: KalmanParameters) -> None:
        """Go on with other parameters of the same shape, from the state as it is."""
        a, k, h = parameters.transition, parameters.gain, parameters.observation
        self._carried = a - k @ (h @ a)
        self._gain = np.ascontiguousarray(k)
        self._offset = k @ parameters.observation_mean

    def reset(self) -> None:
        """Forget what was seen."""
        self._window.reset()
        self._state = self._start

    def step(self, counts: NDArray[np.integer]) -> list[float]:
        """Decode the next bin."""
        sums = self._window.push(counts)
        self._state = self._carried @ self._state + (self._gain @ sums - self._offset)
        said: list[float] = self._state.tolist()
        return said


def fit_kalman(data: TrainingData, kind: str, n_bins: int, lag: int) -> KalmanParameters:
    """Fit a Kalman filter.

    Args:
        data: what to fit to.
        kind: of `STATES`.
        n_bins: counts are summed over.
        lag: bins by which the hand follows the counts.

    Raises:
        ModelError: there is too little to fit to.
    """
    columns = np.array(STATES[kind])
    states = data.kinematics[:, columns]
    rows = data.used & np.isfinite(states).all(axis=1)
    pairs = np.flatnonzero(rows[1:] & rows[:-1] & (data.trial_ids[1:] == data.trial_ids[:-1])) + 1
    if len(pairs) <= len(columns):
        raise ModelError(f"got {len(pairs)} bins that follow each other to fit to, takes more")
    before, after = states[pairs - 1], states[pairs]
    transition: Table = np.asarray(np.linalg.lstsq(before, after, rcond=None)[0].T, np.float64)
    noise = np.atleast_2d(np.cov((after - before @ transition.T).T, bias=True))
    sums = summed_counts(data.counts, n_bins, lag)[rows]
    start = states[rows].mean(axis=0)
    start[:2] = 0
    return with_observations(transition, noise, start, states[rows], sums, n_bins, lag)


def with_observations(
    transition: Table,
    transition_noise: Table,
    start: Table,
    states: Table,
    sums: Table,
    n_bins: int,
    lag: int,
    *,
    shrink: bool = False,
) -> KalmanParameters:
    """Fit H and Q to states and the summed counts that tell of them, and settle the gain.

    Args:
        transition: A, kept.
        transition_noise: W, kept.
        start: (k,) state before the first bin, kept.
        states: (n, k).
        sums: (n, n_units) counts that tell of them.
        n_bins: counts are summed over.
        lag: bins by which the hand follows the counts.
        shrink: whether Q is shrunk, see `shrunk_covariance`: for few bins a unit.
    """
    mean_state, mean_sums = states.mean(axis=0), sums.mean(axis=0)
    off, off_sums = states - mean_state, sums - mean_sums
    observation = np.linalg.lstsq(off, off_sums, rcond=None)[0].T
    residuals = off_sums - off @ observation.T
    noise = residuals.T @ residuals / len(residuals)
    if shrink:
        noise = shrunk_covariance(noise, len(residuals) / n_bins)
    variances = np.diag(noise)
    noise[np.diag_indices_from(noise)] += _SHRINKAGE * max(float(variances.mean()), _SHRINKAGE)
    return KalmanParameters(
        transition,
        transition_noise,
        observation,
        mean_sums - observation @ mean_state,
        steady_gain(transition, transition_noise, observation, noise),
        start,
        n_bins,
        lag,
    )


def shrunk_covariance(covariance: Table, n_independent: float) -> Table:
    """A covariance whose entries off the diagonal are as much smaller as they are uncertain.

    The share that is taken away minimises the expected squared error (Schaefer and Strimmer 2005,
    Stat Appl Genet Mol Biol 4:32, target D), with the variances of its entries if the samples are
    normal. Without it, the inverse of a covariance of few samples finds directions that seem to
    have no noise.

    Args:
        covariance: (n, n) of samples.
        n_independent: samples that it was taken from; overlapping windows are not independent.
    """
    variances = np.diag(covariance)
    off_diagonal = ~np.eye(len(covariance), dtype=bool)
    squares = covariance**2
    uncertain = (np.outer(variances, variances) + squares)[off_diagonal].sum() / n_independent
    correlated = squares[off_diagonal].sum()
    kept = 1 - uncertain / correlated if correlated > uncertain else 0.0
    return np.where(off_diagonal, kept * covariance, covariance)


def steady_gain(transition: Table, noise: Table, observation: Table, counts_noise: Table) -> Table:
    """(k, n_units) the gain that a full filter settles at.

    Raises:
        ModelError: it does not settle.
    """
    informing = np.linalg.solve(counts_noise, observation).T
    information = informing @ observation
    uncertainty = noise
    for _ in range(_MOST_STEPS):
        ahead = transition @ uncertainty @ transition.T + noise
        # (ahead^-1 + information)^-1, without the inverse of what may be singular.
        settled = np.asarray(
            np.linalg.solve(np.eye(len(ahead)) + ahead @ information, ahead), np.float64
        )
        change = float(np.abs(settled - uncertainty).max())
        uncertainty = settled
        if change <= _SETTLED * float(np.abs(settled).max()):
            break
    gain: Table = uncertainty @ informing
    if not np.isfinite(gain).all():
        raise ModelError("the gain of the Kalman filter does not settle: too little to fit to")
    return gain
