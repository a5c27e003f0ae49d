"""The decoders by name, with what can be chosen of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phantomlink.decoding.kalman import KalmanParameters, fit_kalman
from phantomlink.decoding.model import ModelError, Parameters
from phantomlink.decoding.refit import EVERY_TRIALS, LAST_TRIALS, RefitParameters
from phantomlink.decoding.ridge import STRENGTHS, RidgeParameters, fit_ridge
from phantomlink.decoding.rls import FORGETTING, RlsParameters, fit_rls
from phantomlink.decoding.training import TrainingData

MAX_WEIGHTS = 4096
"""Of one axis; to fit a Wiener filter takes weights cubed."""
MIN_TRIALS = 2
_DEFAULT_BINS = {"ridge": 8, "kalman": 4, "kalman-pv": 4, "refit": 4, "rls": 6}
_DEFAULT_LAG = {"ridge": 0, "kalman": 2, "kalman-pv": 2, "refit": 2, "rls": 1}


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What can be chosen; None is the default of the decoder.

    Attributes:
        n_bins: that are looked at, or summed over.
        lag: bins by which the hand follows the counts.
        strength: of the penalty of `ridge`; None: found by cross-validation.
        forgetting: of `rls`.
        every, last: trials between two fits of `refit`, and trials fitted to.
    """

    n_bins: int | None = None
    lag: int | None = None
    strength: float | None = None
    forgetting: float = FORGETTING
    every: int = EVERY_TRIALS
    last: int = LAST_TRIALS


def _ridge(data: TrainingData, n_bins: int, lag: int, options: FitOptions) -> RidgeParameters:
    if lag:
        raise ModelError(f"lag: got {lag}, ridge takes 0: it weighs each bin by itself")
    strengths = STRENGTHS if options.strength is None else (options.strength,)
    return fit_ridge(data, n_bins, strengths)


def _kalman(data: TrainingData, n_bins: int, lag: int, options: FitOptions) -> KalmanParameters:
    return fit_kalman(data, "kalman", n_bins, lag)


def _kalman_pv(data: TrainingData, n_bins: int, lag: int, options: FitOptions) -> KalmanParameters:
    return fit_kalman(data, "kalman-pv", n_bins, lag)


def _refit(data: TrainingData, n_bins: int, lag: int, options: FitOptions) -> RefitParameters:
    kalman = fit_kalman(data, "kalman", n_bins, lag)
    return RefitParameters.of(kalman, options.every, options.last)


def _rls(data: TrainingData, n_bins: int, lag: int, options: FitOptions) -> RlsParameters:
    return fit_rls(data, n_bins, lag, options.forgetting)


_FITS: dict[str, Callable[[TrainingData, int, int, FitOptions], Parameters]] = {
    "ridge": _ridge,
    "kalman": _kalman,
    "kalman-pv": _kalman_pv,
    "refit": _refit,
    "rls": _rls,
}
DECODERS = tuple(_FITS)
"""Names of the built-in decoders."""


def check_size(kind: str, n_units: int, options: FitOptions) -> None:
    """Refuse a fit that is too large, before anything is read for it.

    Raises:
        ModelError: there is no such decoder, or it would have too many weights.
    """
    if kind not in _FITS:
        raise ModelError(f"decoder: got {kind!r}, takes {', '.join(DECODERS)}")
    n_bins = options.n_bins if options.n_bins is not None else _DEFAULT_BINS[kind]
    if not 1 <= n_bins <= 64 or not 0 <= (options.lag or 0) <= 64:
        raise ModelError(
            f"n_bins, lag: got {n_bins}, {options.lag}, takes 1 to 64 bins, a lag of 0 to 64"
        )
    weights = n_units * (n_bins if kind == "ridge" else 1)
    if weights > MAX_WEIGHTS:
        raise ModelError(
            f"{n_units} units and {n_bins} bins are {weights} weights an axis, takes at most "
            f"{MAX_WEIGHTS}: choose fewer bins"
        )


def fit_model(kind: str, data: TrainingData, options: FitOptions = FitOptions()) -> Parameters:
    """Fit a decoder.

    Args:
        kind: of `DECODERS`.
        data: what to fit to.
        options: what was chosen.

    Raises:
        ModelError: there is no such decoder, too little to fit to, or too much.
    """
    check_size(kind, data.n_units, options)
    n_trials = len(data.trials)
    if n_trials < MIN_TRIALS:
        raise ModelError(f"got {n_trials} trials to fit to, takes {MIN_TRIALS} or more")
    n_bins = options.n_bins if options.n_bins is not None else _DEFAULT_BINS[kind]
    lag = options.lag if options.lag is not None else _DEFAULT_LAG[kind]
    return _FITS[kind](data, n_bins, lag, options)
