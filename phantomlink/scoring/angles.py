"""Angular errors: between the true and the predicted direction of movement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEPT_ANGLES = 65_536
"""The median is of so many latest ones at least: half an hour of movement at 40 Hz."""


@dataclass(frozen=True, slots=True)
class AngularErrors:
    """Angular errors of a run.

    Attributes:
        n: how many.
        total: their sum, degrees.
        latest: those that are kept, oldest first.
    """

    n: int = 0
    total: float = 0.0
    latest: tuple[NDArray[np.float64], ...] = ()

    @classmethod
    def of(
        cls, truth: NDArray[np.float64], predicted: NDArray[np.float64], min_speed: float
    ) -> AngularErrors:
        """Errors of (n, 2) velocities where the true speed exceeds `min_speed`.

        A prediction that stands still has no direction and is left out.
        """
        fast = np.hypot(truth[:, 0], truth[:, 1]) > min_speed
        fast &= (predicted != 0).any(axis=1)
        (tx, ty), (px, py) = truth[fast].T, predicted[fast].T
        errors = np.degrees(np.abs(np.arctan2(tx * py - ty * px, tx * px + ty * py)))
        return cls(errors.size, float(errors.sum()), (errors,)) if errors.size else cls()

    def joined(self, other: AngularErrors) -> AngularErrors:
        """Errors of both, `other` being the later ones."""
        chunks = list(self.latest)
        for chunk in other.latest:
            chunks.append(chunk)
            # Larger ones before smaller ones: few of them, and each angle is seldom copied.
            while len(chunks) > 1 and chunks[-2].size <= chunks[-1].size:
                chunks[-2:] = [np.concatenate(chunks[-2:])]
        kept = sum(chunk.size for chunk in chunks)
        if chunks and kept - chunks[0].size >= KEPT_ANGLES:
            del chunks[0]
        return AngularErrors(self.n + other.n, self.total + other.total, tuple(chunks))

    @property
    def mean(self) -> float | None:
        """Degrees; None without any."""
        return self.total / self.n if self.n else None

    @property
    def median(self) -> float | None:
        """Degrees, of those that are kept; None without any."""
        return float(np.median(np.concatenate(self.latest))) if self.latest else None


NO_ANGLES = AngularErrors()
