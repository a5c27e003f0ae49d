"""Turns a row of a block into the packet that says it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.bins import Bins, Block
from phantomlink.wire.packet import NO_INTENTION, Intention, Packet, distance


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A block as Python's own numbers: turning a whole block costs little more than a row.

    Attributes:
        start: bin index of the first row.
        counts: (n, n_units) spikes per bin.
        kinematics: vx, vy, x, y of each row; None where there is none.
        trial_rows: of each row; -1 outside trials.
    """

    start: int
    counts: NDArray[np.uint16]
    kinematics: list[list[float | None]]
    trial_rows: list[int]

    def __len__(self) -> int:
        return len(self.trial_rows)


class PacketAssembler:
    """Makes the packets of one recording at one bin width."""

    def __init__(self, bins: Bins) -> None:
        self._grid = bins.grid
        self._trials = tuple(bins.trials)

    def rows(self, block: Block) -> Rows:
        """The block, ready for `packet`."""
        kinematics = [
            [None if math.isnan(value) else value for value in row]
            for row in block.kinematics.tolist()
        ]
        return Rows(block.start, block.counts, kinematics, block.trial_rows.tolist())

    def packet(
        self,
        rows: Rows,
        row: int,
        sequence_number: int,
        loop: int,
        *,
        counts: NDArray[np.uint16] | None = None,
        perturbation_id: str | None = None,
    ) -> Packet:
        """The packet of bin `rows.start + row`.

        Args:
            rows: that hold it.
            row: which.
            sequence_number: of the packet.
            loop: of the playhead.
            counts: (n_units,) in the place of the recording's own.
            perturbation_id: what these come from.
        """
        bin_index = rows.start + row
        vx, vy, x, y = rows.kinematics[row]
        trial_row = rows.trial_rows[row]
        intention, trial_id, trial_time_ms = NO_INTENTION, None, None
        if trial_row >= 0:
            trial = self._trials[trial_row]
            trial_id = trial.trial_id
            # Microseconds: what is below comes from subtracting two large doubles.
            trial_time_ms = round((self._grid.start_of(bin_index) - trial.start_time) * 1000.0, 3)
            intention = Intention(
                trial.target_id,
                trial.target_x,
                trial.target_y,
                distance(x, y, trial.target_x, trial.target_y),
                trial.reach_id,
            )
        return Packet(
            packet_id=bin_index,
            sequence_number=sequence_number,
            loop=loop,
            spike_counts=rows.counts[row] if counts is None else counts,
            vx=vx,
            vy=vy,
            x=x,
            y=y,
            intention=intention,
            trial_id=trial_id,
            trial_time_ms=trial_time_ms,
            perturbation_id=perturbation_id,
        )
