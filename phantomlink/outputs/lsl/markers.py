"""Which markers each bin gives: the events of the trials, on the grid of a session. Pure.

An event's marker comes with the packet of the bin that holds its time, which `stamp` of that
packet then dates. Within a bin they keep the order of their times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.trials import Trial

TRIAL_START, TRIAL_END, LOOP = "trial_start", "trial_end", "loop"
COLUMN_MARKERS = (
    ("target_on_time", "target_on"),
    ("go_cue_time", "go_cue"),
    ("move_onset_time", "move_onset"),
)
"""Columns of the trial table, s of the recording's clock, and what their times are called."""


def bin_markers(trials: Sequence[Trial], grid: BinGrid) -> Mapping[int, tuple[str, ...]]:
    """The markers of each bin that has any, in order.

    Args:
        trials: of the recording.
        grid: of the session.

    Returns:
        By bin index. Times that are not known, or lie outside the recording, give none.
    """
    events = sorted(
        (seconds, _known(trial.start_time), trial.trial_id, order, name)
        for trial in trials
        for order, (seconds, name) in enumerate(_events(trial))
        if math.isfinite(seconds)
    )
    by_bin: dict[int, tuple[str, ...]] = {}
    for seconds, _, _, _, name in events:
        index = grid.index_of(seconds)
        if 0 <= index < grid.n_bins:
            by_bin[index] = (*by_bin.get(index, ()), name)
    return by_bin


def _known(seconds: float) -> float:
    """So that what is not known can be sorted too."""
    return seconds if math.isfinite(seconds) else -math.inf


def _events(trial: Trial) -> Sequence[tuple[float, str]]:
    """Times and names in the order in which they happen when their times are the same."""
    found = [(trial.start_time, TRIAL_START)]
    for column, name in COLUMN_MARKERS:
        value = trial.columns.get(column)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append((float(value), name))
    return (*found, (trial.stop_time, TRIAL_END))
