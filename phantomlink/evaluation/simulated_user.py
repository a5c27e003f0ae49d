"""A simulated user: neurons that fire by what is meant, and a mind that means to reach a target.

Neurons have the tuning of the recording's units: the counts of a bin against the velocity some
bins later, by least squares, clipped at zero and drawn by Poisson. What is meant looks at the
cursor as it was 100 ms ago and goes for the target, slower the nearer it is, as in Cunningham et
al. 2011 (J Neurophysiol 105:1932), who compared decoders so before they were tried on animals.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding import TrainingData
from phantomlink.errors import InvalidParameterError

Table = NDArray[np.float64]

_LEAD_SECONDS = 0.05
_SEEN_LATE_SECONDS = 0.1
_APPROACH_PER_SECOND = 3.0
_TOP_SPEED_QUANTILE = 0.98


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedNeurons:
    """The tuning of each unit.

    Attributes:
        baseline: (n_units,) spikes a bin at rest.
        tuning: (n_units, 2) more of them for each unit of velocity.
        top_speed: that is meant at most.
    """

    baseline: Table
    tuning: Table
    top_speed: float

    @classmethod
    def of(cls, data: TrainingData, bin_seconds: float) -> SimulatedNeurons:
        """Those of a recording's units.

        Raises:
            InvalidParameterError: there are too few bins whose velocity is known.
        """
        lead = max(1, round(_LEAD_SECONDS / bin_seconds))
        counts, velocity = data.counts[:-lead], data.kinematics[lead:, :2]
        known = data.rows_with(slice(0, 2))
        rows = known[:-lead] & known[lead:]
        if rows.sum() < 100:
            raise InvalidParameterError(
                f"closed-loop: needs 100 bins of training trials with velocity, got {rows.sum()}"
            )
        meant = np.column_stack((velocity[rows], np.ones(rows.sum())))
        fitted = np.linalg.lstsq(meant, counts[rows].astype(float), rcond=None)[0]
        speed = np.hypot(*velocity[rows].T)
        return cls(fitted[2], fitted[:2].T, float(np.quantile(speed, _TOP_SPEED_QUANTILE)))

    def fire(self, velocity: Table, rng: np.random.Generator) -> NDArray[np.uint16]:
        """(n_units,) spikes of a bin in which this velocity is meant."""
        rates = np.maximum(self.baseline + self.tuning @ velocity, 0.0)
        return np.minimum(rng.poisson(rates), np.iinfo(np.uint16).max).astype(np.uint16)


class Intention:
    """What a user means, who sees the cursor late.

    Args:
        top_speed: that is meant at most.
        bin_seconds: between two looks.
    """

    def __init__(self, top_speed: float, bin_seconds: float) -> None:
        self._top_speed = top_speed
        self._n_late = round(_SEEN_LATE_SECONDS / bin_seconds)
        self._seen: deque[Table] = deque(maxlen=self._n_late + 1)

    def reset(self, cursor: Table) -> None:
        """The cursor has been here for a while."""
        self._seen.extend([cursor.copy()] * (self._n_late + 1))

    def velocity(self, cursor: Table, target: Table) -> Table:
        """(2,) that is meant now; the cursor is seen so late."""
        self._seen.append(cursor.copy())
        way = target - self._seen[0]
        distance = float(np.hypot(*way))
        if distance == 0.0:
            return np.zeros(2)
        speed = min(self._top_speed, _APPROACH_PER_SECOND * distance)
        meant: Table = way / distance * speed
        return meant
