"""The truth of a recording: what predictions of each bin are held against."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from phantomlink.recordings.bins import Bins
from phantomlink.recordings.blind import BlindBins
from phantomlink.recordings.trials import Filter
from phantomlink.scoring import ScoringRules, SentPacket, angular_speed_threshold, movement_bins
from phantomlink.scoring.packets import Kinematics

_BLOCK_BINS = 4096
_MOST_BLOCKS = 72


class Truth:
    """Makes the packets that a scoreboard keeps.

    Args:
        bins: of the recording.
        unscored: trials that are not scored, because a decoder was fitted to them.
    """

    def __init__(self, bins: Bins, unscored: Collection[int] = ()) -> None:
        self._grid = bins.grid
        self._trials = tuple(bins.trials)
        self._unscored = frozenset(unscored)
        self._movement = [
            movement_bins(
                _seconds(trial.columns.get("move_onset_time")),
                self._grid.t0_seconds,
                self._grid.rate_hz,
            )
            for trial in self._trials
        ]

    def packet(
        self,
        bin_index: int,
        sequence_number: int,
        loop: int,
        sent_ns: int,
        kinematics: Kinematics,
        trial_row: int,
        *,
        is_observed: bool = True,
        is_lost: bool = False,
    ) -> SentPacket:
        """The packet of a bin.

        Args:
            bin_index: of the bin.
            sequence_number: of the packet.
            loop: of the playhead.
            sent_ns: when it left.
            kinematics: vx, vy, x, y; NaN where there is none.
            trial_row: of the trial table; -1 outside trials.
            is_observed: whether any of its time was observed: else it is not scored.
            is_lost: nobody gets it.
        """
        if trial_row < 0:
            return SentPacket(
                bin_index,
                loop,
                sequence_number,
                sent_ns,
                kinematics,
                is_scored=False,
                is_lost=is_lost,
            )
        trial = self._trials[trial_row]
        movement = self._movement[trial_row]
        return SentPacket(
            bin_index,
            loop,
            sequence_number,
            sent_ns,
            kinematics,
            trial.trial_id,
            trial.reach_id,
            is_scored=is_observed and trial.trial_id not in self._unscored,
            in_movement=movement is not None and movement[0] <= bin_index < movement[1],
            is_lost=is_lost,
        )


def rules_of(bins: Bins, period_ns: int) -> ScoringRules:
    """How a recording is scored.

    Args:
        bins: of the recording.
        period_ns: between two packets.

    Raises:
        RecordingError: it cannot be read.
    """
    return ScoringRules(period_ns, bins.grid.bin_size_ms, read_min_speed(bins))


def read_min_speed(bins: Bins) -> float:
    """The speed above which directions are compared.

    Of a recording of more than 2 hours at 40 Hz, blocks that are spread evenly stand for all.

    Raises:
        RecordingError: it cannot be read.
    """
    n_bins = bins.grid.n_bins
    every = max(1, -(-n_bins // (_BLOCK_BINS * _MOST_BLOCKS))) * _BLOCK_BINS
    blocks = [
        bins.read(start, min(start + _BLOCK_BINS, n_bins)).kinematics[:, :2]
        for start in range(0, n_bins, every)
    ]
    return angular_speed_threshold(np.concatenate(blocks))


HiddenTruth = Mapping[int, tuple[Kinematics, int]]
"""Kinematics and trial row by bin."""


def read_hidden(bins: Bins) -> HiddenTruth:
    """The truth that blind bins hide; nothing of others.

    Raises:
        RecordingError: it cannot be read.
    """
    if not isinstance(bins, BlindBins):
        return {}
    found: dict[int, tuple[Kinematics, int]] = {}
    whole = bins.unhidden
    for trial_id in sorted(bins.test_trials):
        if not whole.trials.by_id(trial_id).plays:
            continue
        for start, stop in whole.trials.ranges(Filter(trial_id=trial_id), whole.grid):
            block = whole.read(start, stop)
            rows = zip(block.kinematics.tolist(), block.trial_rows.tolist(), strict=True)
            for index, ((vx, vy, x, y), trial_row) in enumerate(rows, start):
                found[index] = ((vx, vy, x, y), trial_row)
    return found


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
