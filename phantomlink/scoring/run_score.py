"""The score of one decoder over a run: by window, by variant, whole, by trial and by reach."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phantomlink.scoring.angles import NO_ANGLES, AngularErrors
from phantomlink.scoring.lag import LagSums
from phantomlink.scoring.packets import PAIRS
from phantomlink.scoring.rules import ScoringRules
from phantomlink.scoring.sums import PairSums
from phantomlink.scoring.trial_rows import Answers, PlayedTrial, TrialRows

WINDOWS = ("trials", "movement")
VARIANTS = ("answered", "held")
KEPT_TRIALS = 4096
"""Trials that are listed one by one; older ones stay in the sums."""

T = TypeVar("T")
_AXES = {"velocity": ("vx", "vy"), "position": ("x", "y")}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How near predictions of one quantity are to the truth.

    Attributes:
        sums: behind R2, r and RMSE.
        angles: of velocities.
        lag: None where it is not kept.
    """

    sums: PairSums
    angles: AngularErrors
    lag: LagSums | None

    def joined(self, other: Accuracy) -> Accuracy:
        """Over the rows of both."""
        lag = None
        if self.lag is not None and other.lag is not None:
            lag = self.lag.joined(other.lag)
        return Accuracy(self.sums.joined(other.sums), self.angles.joined(other.angles), lag)

    def figures(self, quantity: str, rules: ScoringRules) -> dict[str, Any]:
        """As JSON."""
        sums = self.sums
        axes = dict(zip(_AXES[quantity], (sums.first, sums.second), strict=True))
        said: dict[str, Any] = {
            "n": sums.n,
            "r2": {name: axis.r2 for name, axis in axes.items()} | {"both": sums.r2},
            "r": {name: axis.r for name, axis in axes.items()},
            "rmse": sums.rmse,
        }
        if quantity == "velocity":
            said["angular_error_degrees"] = {
                "n": self.angles.n,
                "mean": self.angles.mean,
                "median": self.angles.median,
            }
        if self.lag is not None:
            bins = self.lag.bins
            said["lag_bins"] = bins
            said["lag_ms"] = None if bins is None else bins * rules.bin_size_ms
        return said


@dataclass(frozen=True, slots=True)
class WindowScore:
    """What a decoder did in one window, over some rows.

    Attributes:
        n: packets of the window that count for the decoder.
        n_answered: those of them that it answered.
        accuracy: of each quantity that it predicted.
    """

    n: int
    n_answered: int
    accuracy: Mapping[str, Accuracy]

    def joined(self, other: WindowScore) -> WindowScore:
        """Over the rows of both."""
        accuracy = dict(self.accuracy)
        for quantity, later in other.accuracy.items():
            before = accuracy.get(quantity)
            accuracy[quantity] = later if before is None else before.joined(later)
        return WindowScore(self.n + other.n, self.n_answered + other.n_answered, accuracy)

    def figures(self, rules: ScoringRules) -> dict[str, Any]:
        """As JSON."""
        return {
            "n": self.n,
            "coverage": self.n_answered / self.n if self.n else None,
            **{
                quantity: accuracy.figures(quantity, rules)
                for quantity, accuracy in self.accuracy.items()
            },
        }

    def without_lag(self) -> WindowScore:
        """The same, for a list of many."""
        accuracy = {name: replace(part, lag=None) for name, part in self.accuracy.items()}
        return replace(self, accuracy=accuracy)


EMPTY = WindowScore(0, 0, {})


Scores = dict[tuple[str, str], WindowScore]
"""By window and variant."""
Steps = Generator[None, None, Scores]
"""Work in steps of some 100 us each, between which a server lets its ticks come."""


def score_rows(
    rows: TrialRows, answers: Answers, rules: ScoringRules, *, with_lag: bool = True
) -> Scores:
    """Scores of one trial; `with_lag` needs rows that follow each other."""
    return done(scoring_steps(rows, answers, rules, with_lag=with_lag))


def done(steps: Generator[None, None, T]) -> T:
    """Do all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def scoring_steps(
    rows: TrialRows, answers: Answers, rules: ScoringRules, *, with_lag: bool = True
) -> Steps:
    """As `score_rows`, step by step."""
    heard = np.isfinite(answers.answered).any(axis=1)
    counted = rows.windows & answers.counted
    n, n_answered = counted.sum(axis=1).tolist(), (counted & heard).sum(axis=1).tolist()
    scores: Scores = {}
    for variant, predicted in (("answered", answers.answered), ("held", answers.held)):
        if variant == "held" and n_answered == n:
            # Nothing had to be held.
            scores |= {(window, variant): scores[window, "answered"] for window, _ in scores}
            break
        accuracies = yield from _accuracies(rows.truth, predicted, counted, rules, with_lag)
        for k, window in enumerate(WINDOWS):
            if n[k]:
                scores[window, variant] = WindowScore(n[k], n_answered[k], accuracies[k])
    return scores


def _accuracies(
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    windows: NDArray[np.bool_],
    rules: ScoringRules,
    with_lag: bool,
) -> Generator[None, None, list[dict[str, Accuracy]]]:
    """For each window, of each quantity that was predicted in it."""
    accuracies: list[dict[str, Accuracy]] = [{} for _ in windows]
    for quantity, columns in PAIRS.items():
        true, said = truth[:, columns], predicted[:, columns]
        usable = np.isfinite(said).all(axis=1) & np.isfinite(true).any(axis=1)
        used = windows & usable
        if not used.any():
            continue
        lags = LagSums.of(true, said, windows) if with_lag else [None] * len(windows)
        yield
        for accuracy, rows, lag in zip(accuracies, used, lags, strict=True):
            if rows.any():
                t, p = true[rows], said[rows]
                is_velocity = quantity == "velocity"
                angles = AngularErrors.of(t, p, rules.min_speed) if is_velocity else NO_ANGLES
                accuracy[quantity] = Accuracy(PairSums.of(t, p), angles, lag)
                yield
    return accuracies


class RunScore:
    """Scores since the run began."""

    def __init__(self, rules: ScoringRules) -> None:
        self._rules = rules
        self._whole: dict[tuple[str, str], WindowScore] = {}
        self._reaches: dict[tuple[str, str], dict[int, WindowScore]] = {}
        self._trials: dict[tuple[str, str], deque[tuple[PlayedTrial, WindowScore]]] = {}

    def copy(self) -> RunScore:
        """One that goes its own way."""
        copied = RunScore(self._rules)
        copied._whole = dict(self._whole)
        copied._reaches = {key: dict(reaches) for key, reaches in self._reaches.items()}
        copied._trials = {key: trials.copy() for key, trials in self._trials.items()}
        return copied

    def adding(self, rows: TrialRows, answers: Answers) -> Generator[None, None, None]:
        """Add the next trial of the run, step by step; the next one only when this is done."""
        scores = yield from scoring_steps(rows, answers, self._rules)
        reach_id = rows.trial.reach_id
        # Where nothing had to be held, both variants are the same objects, and joined once.
        known: dict[tuple[int, int], tuple[WindowScore, WindowScore]] = {}
        briefs: dict[int, WindowScore] = {}

        def joined(before: WindowScore, score: WindowScore) -> WindowScore:
            pair = id(before), id(score)
            if pair not in known:
                # With what it stood for, so that no other object has its id meanwhile.
                known[pair] = before, before.joined(score)
            return known[pair][1]

        for key, score in scores.items():
            self._whole[key] = joined(self._whole.get(key, EMPTY), score)
            if id(score) not in briefs:
                briefs[id(score)] = score.without_lag()
            brief = briefs[id(score)]
            if reach_id is not None:
                reaches = self._reaches.setdefault(key, {})
                reaches[reach_id] = joined(reaches.get(reach_id, EMPTY), brief)
            trials = self._trials.setdefault(key, deque(maxlen=KEPT_TRIALS))
            trials.append((rows.trial, brief))
            yield

    def whole(self, window: str, variant: str) -> WindowScore:
        """Of the whole run."""
        return self._whole.get((window, variant), EMPTY)

    def figures(self, window: str, variant: str) -> dict[str, Any]:
        """The whole run, its trials and its reaches, as JSON."""
        key = (window, variant)
        reaches = self._reaches.get(key, {})
        return {
            "whole": self.whole(window, variant).figures(self._rules),
            "trials": [
                {
                    **asdict(trial),
                    **score.figures(self._rules),
                }
                for trial, score in self._trials.get(key, ())
            ],
            "reaches": [
                {"reach_id": reach_id, **reaches[reach_id].figures(self._rules)}
                for reach_id in sorted(reaches)
            ],
        }
