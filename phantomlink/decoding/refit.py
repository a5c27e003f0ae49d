"""A Kalman filter that is calibrated again while it runs.

Every few trials H and Q, how counts tell of movement, are fitted anew to the last ones; A and W,
how hands move, stay. In closed loop, where the user sees the cursor and corrects it, what was
meant is not what the cursor did: ReFIT turns its velocity towards the target, and to nothing on
it (Gilja et al. 2012, Nat Neurosci 15:1752). Played recordings are open loop: the hand's own
velocity is what was meant.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding.kalman import KalmanDecoder, KalmanParameters, with_observations
from phantomlink.decoding.model import ModelError
from phantomlink.decoding.training import SummedWindow, Table

EVERY_TRIALS, LAST_TRIALS = 10, 30


@dataclass(frozen=True, slots=True, eq=False)
class RefitParameters(KalmanParameters):
    """A fitted Kalman filter, and when it is fitted again.

    Attributes:
        every: trials between two fits.
        last: trials that are fitted to.
    """

    every: int = EVERY_TRIALS
    last: int = LAST_TRIALS

    def __post_init__(self) -> None:
        KalmanParameters.__post_init__(self)
        if not 1 <= self.every <= 1000 or not 1 <= self.last <= 1000:
            raise ModelError(f"every, last: got {self.every}, {self.last}, takes 1 to 1000")

    @classmethod
    def of(cls, kalman: KalmanParameters, every: int, last: int) -> RefitParameters:
        """A Kalman filter that is to be fitted again."""
        kept = {field.name: getattr(kalman, field.name) for field in fields(KalmanParameters)}
        return cls(**kept, every=every, last=last)

    def decoder(self) -> RefitDecoder:
        """A decoder of its own state."""
        return RefitDecoder(self)


class RefitDecoder:
    """Runs a Kalman filter and fits it again; what it has learned outlives a reset."""

    def __init__(self, parameters: RefitParameters) -> None:
        self._decoder = KalmanDecoder(parameters)
        self._parameters = parameters
        self._window = SummedWindow(parameters.n_units, parameters.n_bins, parameters.lag)
        self._trials: deque[tuple[list[Table], list[Table]]] = deque(maxlen=parameters.last)
        self._current: tuple[list[Table], list[Table]] = ([], [])
        self._trial_id = -1
        self._since = 0

    def reset(self) -> None:
        """Forget what was seen, not what was learned."""
        self._decoder.reset()
        self._window.reset()
        self._end_trial()

    def step(self, counts: NDArray[np.integer]) -> list[float]:
        """Decode the next bin."""
        self._window.push(counts)
        return self._decoder.step(counts)

    def learn(self, kinematics: NDArray[np.float64], trial_id: int) -> None:
        """The truth of the bin that was decoded last.

        Bins soon after a reset are left out: what was fired before it is not known.
        """
        if trial_id != self._trial_id:
            self._end_trial()
            self._trial_id = trial_id
        state = np.asarray(kinematics, dtype=np.float64)[: len(self._parameters.start)]
        if trial_id >= 0 and self._window.is_full and np.isfinite(state).all():
            self._current[0].append(state.copy())
            self._current[1].append(self._window.sums.copy())

    def _end_trial(self) -> None:
        if self._current[0]:
            self._trials.append(self._current)
            self._since += 1
        self._current = ([], [])
        self._trial_id = -1

    @property
    def is_due(self) -> bool:
        """Whether so many trials are over that it is to be fitted again."""
        return self._since >= self._parameters.every

    def refit(self) -> None:
        """Fit H and Q to the last trials; some 10 ms.

        The first fit has the bins of `every` trials only, often fewer independent ones than units.
        """
        self._since = 0
        states = np.array([row for trial in self._trials for row in trial[0]])
        sums = np.array([row for trial in self._trials for row in trial[1]])
        p = self._parameters
        self._decoder.use(
            with_observations(
                p.transition,
                p.transition_noise,
                p.start,
                states,
                sums,
                p.n_bins,
                p.lag,
                shrink=True,
            )
        )
