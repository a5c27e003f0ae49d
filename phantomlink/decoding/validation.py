"""How well a decoder does on trials that it has not seen, and how well chance does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from phantomlink.decoding.fitting import FitOptions, fit_model
from phantomlink.decoding.model import ModelError, Parameters
from phantomlink.decoding.ridge import RidgeParameters
from phantomlink.decoding.training import TrainingData, run_decoder
from phantomlink.scoring.sums import PairSums

FOLDS = 5
_VELOCITY = slice(0, 2)

Fit = Callable[[TrainingData], Parameters]


@dataclass(frozen=True, slots=True)
class Validation:
    """Cross-validated R2 of velocity.

    Attributes:
        r2: pooled over all trials that were left out in turn; None where the truth is constant.
        r2_folds: of each fold.
        chance_r2: of the same decoder fitted to the counts of other bins, the floor.
        n: bins.
        folds: of trials.
    """

    r2: float | None
    r2_folds: tuple[float | None, ...]
    chance_r2: float | None
    n: int
    folds: int

    def as_json(self) -> dict[str, Any]:
        """For a model's card."""
        return asdict(self)


def cross_validate(data: TrainingData, fit: Fit, folds: int = FOLDS) -> Validation:
    """Leave each fold of trials out in turn; once more with rolled counts for chance.

    Args:
        data: trials to fit to and to test on.
        fit: fits what is to be judged.
        folds: of trials; no more than there are trials.

    Raises:
        ModelError: fewer than two trials.
    """
    trials = data.trials
    folds = min(folds, len(trials))
    if folds < 2:
        raise ModelError(f"got {len(trials)} trials to validate with, takes 2 or more")
    by_fold = _by_fold(data, fit, folds)
    pooled = _joined(by_fold)
    # Half a recording away nothing is left of what the counts say.
    chance = _joined(_by_fold(data.rolled(len(data.counts) // 2), fit, 2))
    return Validation(pooled.r2, tuple(part.r2 for part in by_fold), chance.r2, pooled.n, folds)


def fit_and_validate(
    kind: str, data: TrainingData, options: FitOptions
) -> tuple[Parameters, Validation]:
    """Fit a decoder to all trials, and judge it by cross-validation.

    Args:
        kind: of `DECODERS`.
        data: what to fit to.
        options: what was chosen. The penalty of `ridge` is chosen once, from all trials.

    Raises:
        ModelError: see `fit_model`.
    """
    parameters = fit_model(kind, data, options)
    if isinstance(parameters, RidgeParameters):
        options = replace(options, strength=parameters.strength)
    return parameters, cross_validate(data, lambda part: fit_model(kind, part, options))


def split_trials(
    trials: Iterable[int], train_share: float, seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Trials to train on and trials to test on.

    Which is which follows from the seed and the ids alone: a trial more or less moves no other
    one but at the border.

    Args:
        trials: ids.
        train_share: of them, above 0 and below 1.
        seed: 0 to 2**63 - 1.

    Returns:
        Both ascending.
    """
    order = sorted(set(trials), key=lambda trial: (_drawn(trial, seed), trial))
    n_train = round(train_share * len(order))
    return tuple(sorted(order[:n_train])), tuple(sorted(order[n_train:]))


def _drawn(trial: int, seed: int) -> bytes:
    return hashlib.blake2b(f"split {seed} {trial}".encode(), digest_size=8).digest()


def _by_fold(data: TrainingData, fit: Fit, folds: int) -> list[PairSums]:
    parts = []
    fold_of = np.arange(len(data.trials)) % folds
    for fold in range(folds):
        decoder = fit(data.within(data.trials[fold_of != fold])).decoder()
        left_out = data.within(data.trials[fold_of == fold]).rows_with(_VELOCITY)
        decoded = run_decoder(decoder, data.counts)
        truth = data.kinematics[left_out, _VELOCITY]
        parts.append(PairSums.of(truth, decoded[left_out, _VELOCITY]))
    return parts


def _joined(parts: Iterable[PairSums]) -> PairSums:
    joined = PairSums()
    for part in parts:
        joined = joined.joined(part)
    return joined
