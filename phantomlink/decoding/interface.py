"""What a decoder is: counts of one bin in, a velocity out. Users write classes of this form too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Predicted = Sequence[float] | None
"""vx, vy, or vx, vy, x, y, in the recording's own units; None for no answer."""


class Decoder(Protocol):
    """Decodes bins as they come."""

    def reset(self) -> None:
        """Forget what was seen: called before each run and after a gap."""
        ...

    def step(self, counts: NDArray[np.integer]) -> Predicted:
        """Decode the next bin.

        Args:
            counts: (n_units,) spikes.
        """
        ...


@runtime_checkable
class LearningDecoder(Decoder, Protocol):
    """A decoder that goes on learning: it predicts a bin first and is told the truth after."""

    def learn(self, kinematics: NDArray[np.float64], trial_id: int) -> None:
        """The truth of the bin that was decoded last.

        Args:
            kinematics: (4,) vx, vy, x, y; NaN where there is none.
            trial_id: -1 outside trials.
        """
        ...


@runtime_checkable
class RefittingDecoder(LearningDecoder, Protocol):
    """A decoder whose learning now and then takes so long that a server does it elsewhere.

    It is asked after each `learn`, and refitted before its next `step`.
    """

    @property
    def is_due(self) -> bool:
        """Whether it is to be fitted again."""
        ...

    def refit(self) -> None:
        """Fit it again to what it has learned from."""
        ...
