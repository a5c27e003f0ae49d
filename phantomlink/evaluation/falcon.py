"""Decoders in the form of the FALCON benchmark (Karpowicz et al. 2024), by their methods alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.evaluation.feed import DecoderError

_METHODS = ("reset", "predict", "observe", "on_done")


class FalconDecoder:
    """Calls `reset([dataset])`, then `predict((1, channels))` for each bin.

    `on_done` is called at the end of each trial; `observe` where a bin is not to be decoded,
    which does not happen here.

    Args:
        made: the decoder.
        dataset: its name.

    Raises:
        DecoderError: it lacks a method.
    """

    def __init__(self, made: Any, dataset: str) -> None:
        missing = [name for name in _METHODS if not callable(getattr(made, name, None))]
        if missing:
            raise DecoderError(
                f"{type(made).__name__} has no {', '.join(missing)}; a FALCON-style decoder has "
                f"{', '.join(_METHODS)}"
            )
        self._made = made
        self._dataset = dataset
        self._trial_id = -1

    def reset(self) -> None:
        """Forget what was seen."""
        self._made.reset([self._dataset])

    def step(self, counts: NDArray[np.integer]) -> list[float]:
        """Decode the next bin."""
        said: list[float] = np.asarray(self._made.predict(counts[None, :])).ravel().tolist()
        return said

    def learn(self, kinematics: NDArray[np.float64], trial_id: int) -> None:
        """Tell it when a trial is over; of the truth it is told nothing."""
        if self._trial_id >= 0 and trial_id != self._trial_id:
            self._made.on_done(np.array([True]))
        self._trial_id = trial_id
