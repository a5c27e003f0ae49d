"""Bins of a recording of which the truth of some trials is hidden.

What hides it stands where blocks are read, below everything that is made of them: packets,
snapshots, views, outlets, markers, digests and captures of these bins cannot tell it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from phantomlink.errors import InvalidParameterError
from phantomlink.recordings.bins import Bins, Block
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.trials import Trial, TrialTable

_NOTHING = MappingProxyType[str, None]({})


class BlindBins:
    """Bins with no kinematics, no target and no trial in the bins of some trials.

    Args:
        bins: with the truth.
        test_trials: ids of the trials that are hidden.

    Attributes:
        test_trials: as given.
        unhidden: the bins with the truth, for whoever scores.

    Raises:
        InvalidParameterError: the recording has no such trials.
    """

    def __init__(self, bins: Bins, test_trials: Iterable[int]) -> None:
        self.test_trials = frozenset(test_trials)
        self.unhidden = bins
        n_trials = len(bins.trials)
        unknown = sorted(trial for trial in self.test_trials if not 0 <= trial < n_trials)
        if unknown or not self.test_trials:
            raise InvalidParameterError(
                f"blind.test_trials: got {unknown or 'none'}, the recording has trials 0 to "
                f"{n_trials - 1}"
            )
        self._rows = np.array(sorted(self.test_trials))
        self._trials = TrialTable(
            [
                _blank(trial.trial_id) if trial.trial_id in self.test_trials else trial
                for trial in bins.trials
            ]
        )

    @property
    def grid(self) -> BinGrid:
        """Where the bins are."""
        return self.unhidden.grid

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """Labels of the units, in the order of the counts."""
        return self.unhidden.unit_ids

    @property
    def unit_labels(self) -> tuple[str, ...] | None:
        """What the recording calls its units; None where it does not."""
        return self.unhidden.unit_labels

    @property
    def memory_bytes(self) -> int:
        """What is kept of the recording's own bins; nothing more is kept here."""
        return self.unhidden.memory_bytes

    @property
    def trials(self) -> TrialTable:
        """Trials of the recording; of those that are hidden, nothing but their ids."""
        return self._trials

    @property
    def in_memory(self) -> bool:
        """True when reading neither blocks nor touches a file."""
        return self.unhidden.in_memory

    def read(self, start: int, stop: int) -> Block:
        """Bins [start, stop); see `Bins.read`."""
        block = self.unhidden.read(start, stop)
        hidden = np.isin(block.trial_rows, self._rows)
        if not hidden.any():
            return block
        kinematics, trial_rows = block.kinematics.copy(), block.trial_rows.copy()
        kinematics[hidden] = np.nan
        trial_rows[hidden] = -1
        targets = None if block.targets is None else block.targets.copy()
        if targets is not None:
            targets[hidden] = np.nan
        for array in (kinematics, trial_rows, targets):
            if array is not None:
                array.setflags(write=False)
        return replace(block, kinematics=kinematics, trial_rows=trial_rows, targets=targets)


def hidden_trials(bins: Bins) -> frozenset[int]:
    """The trials that are hidden in these bins; none unless they are blind."""
    return bins.test_trials if isinstance(bins, BlindBins) else frozenset()


def _blank(trial_id: int) -> Trial:
    return Trial(trial_id, math.nan, math.nan, None, None, None, None, _NOTHING)
