"""Trajectories to be drawn: the latest trial to each place, as it was and as it was decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.scoring.trial_rows import Answers, PlayedTrial, TrialRows

MAX_TRACES = 64
"""Places whose trajectories are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One trial.

    Attributes:
        trial: which.
        truth: (n, 4) vx, vy, x, y; NaN where there is none.
        decoded: (n, 4) of each decoder, NaN where it said nothing.
    """

    trial: PlayedTrial
    truth: NDArray[np.float64]
    decoded: dict[str, NDArray[np.float64]]


class Traces:
    """The latest trial to each place."""

    def __init__(self) -> None:
        self._by_reach: dict[int, Trace] = {}

    def add(self, rows: TrialRows, answers: Mapping[str, Answers]) -> None:
        """A trial is over."""
        reach_id = rows.trial.reach_id
        if reach_id is None or not rows.windows[0].any():
            return
        if reach_id not in self._by_reach and len(self._by_reach) >= MAX_TRACES:
            return
        decoded = {name: said.answered for name, said in answers.items()}
        self._by_reach[reach_id] = Trace(rows.trial, rows.truth, decoded)

    def all(self) -> list[Trace]:
        """In the order of the places."""
        return [self._by_reach[reach_id] for reach_id in sorted(self._by_reach)]

    def forget(self, name: str) -> None:
        """Draw this decoder no more."""
        for trace in self._by_reach.values():
            trace.decoded.pop(name, None)
