"""Two decoders on the same packets, trial by trial."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.scoring.packets import PAIRS
from phantomlink.scoring.run_score import KEPT_TRIALS, WINDOWS
from phantomlink.scoring.trial_rows import Answers, PlayedTrial, TrialRows

MIN_COMMON_PACKETS = 8
"""A trial with fewer packets that both answered is left out: R2 of so few is arbitrary."""


@dataclass(frozen=True, slots=True)
class PairedTrial:
    """What two decoders did in one trial, over the packets that both answered.

    Attributes:
        trial: which.
        n: packets.
        rmse: of each, the recording's own unit.
        r2: of each; None where the truth does not change.
    """

    trial: PlayedTrial
    n: int
    rmse: tuple[float, float]
    r2: tuple[float, float] | None


class PairedTrials:
    """The trials that two decoders shared."""

    def __init__(self) -> None:
        self._trials: dict[tuple[str, str], deque[PairedTrial]] = {}

    def add(self, rows: TrialRows, first: Answers, second: Answers) -> None:
        """A trial is over."""
        for quantity, columns in PAIRS.items():
            truth = rows.truth[:, columns]
            said = (first.answered[:, columns], second.answered[:, columns])
            common = first.counted & second.counted & np.isfinite(truth).all(axis=1)
            for answers in said:
                common &= np.isfinite(answers).all(axis=1)
            for window, inside in zip(WINDOWS, rows.windows, strict=True):
                used = common & inside
                n = int(used.sum())
                if n >= MIN_COMMON_PACKETS:
                    trial = _paired(rows.trial, truth[used], (said[0][used], said[1][used]))
                    trials = self._trials.setdefault((window, quantity), deque(maxlen=KEPT_TRIALS))
                    trials.append(trial)

    def trials(self, window: str, quantity: str) -> tuple[PairedTrial, ...]:
        """In the order in which they were played."""
        return tuple(self._trials.get((window, quantity), ()))


def _paired(
    trial: PlayedTrial,
    truth: NDArray[np.float64],
    said: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> PairedTrial:
    """Sums are exact ones (`fsum`): the same bytes on any machine."""
    n = len(truth)
    squares = [math.fsum(((truth - answers) ** 2).ravel().tolist()) for answers in said]
    means = [math.fsum(axis) / n for axis in truth.T.tolist()]
    spread = math.fsum(((truth - means) ** 2).ravel().tolist())
    first, second = squares
    r2 = (1 - first / spread, 1 - second / spread) if spread > 0 else None
    return PairedTrial(trial, n, (math.sqrt(first / n), math.sqrt(second / n)), r2)
