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

    In columns: a list a row would be as many objects for the garbage collector to look at.

    Attributes:
        start: bin index of the first row.
        counts: (n, n_units) spikes per bin.
        vx, vy, x, y: of each row; None where there is none.
        trial_rows: of each row; -1 outside trials.
        observed: whether any of each row's time was observed; None: of all.
        targets: columns x and y of the target, None where not known; None: the trials say it.
    """

    start: int
    counts: NDArray[np.uint16]
    vx: list[float | None]
    vy: list[float | None]
    x: list[float | None]
    y: list[float | None]
    trial_rows: list[int]
    observed: list[bool] | None = None
    targets: list[list[float | None]] | None = None

    def __len__(self) -> int:
        return len(self.trial_rows)


class PacketAssembler:
    """Makes the packets of one recording at one bin width."""

    def __init__(self, bins: Bins) -> None:
        self._grid = bins.grid
        self._trials = tuple(bins.trials)

    def rows(self, block: Block) -> Rows:
        """The block, ready for `packet`."""
        vx, vy, x, y = _known(block.kinematics)
        return Rows(
            block.start,
            block.counts,
            vx,
            vy,
            x,
            y,
            block.trial_rows.tolist(),
            None if block.observed is None else block.observed.tolist(),
            None if block.targets is None else _known(block.targets),
        )

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
        x, y = rows.x[row], rows.y[row]
        trial_row = rows.trial_rows[row]
        intention, trial_id, trial_time_ms = NO_INTENTION, None, None
        if trial_row >= 0:
            trial = self._trials[trial_row]
            trial_id = trial.trial_id
            # Microseconds: what is below comes from subtracting two large doubles.
            trial_time_ms = round((self._grid.start_of(bin_index) - trial.start_time) * 1000.0, 3)
            intention = _intention(
                trial.target_id, trial.target_x, trial.target_y, trial.reach_id, x, y
            )
        if rows.targets is not None:
            target_x, target_y = (column[row] for column in rows.targets)
            intention = _intention(
                intention.target_id, target_x, target_y, intention.reach_id, x, y
            )
        return Packet(
            packet_id=bin_index,
            sequence_number=sequence_number,
            loop=loop,
            spike_counts=rows.counts[row] if counts is None else counts,
            vx=rows.vx[row],
            vy=rows.vy[row],
            x=x,
            y=y,
            intention=intention,
            trial_id=trial_id,
            trial_time_ms=trial_time_ms,
            perturbation_id=perturbation_id,
            observed=rows.observed is None or rows.observed[row],
        )


def _intention(
    target_id: int | None,
    target_x: float | None,
    target_y: float | None,
    reach_id: int | None,
    x: float | None,
    y: float | None,
) -> Intention:
    """Towards a target, from where the cursor is."""
    away = distance(x, y, target_x, target_y)
    return Intention(target_id, target_x, target_y, away, reach_id)


def _known(values: NDArray[np.float64]) -> list[list[float | None]]:
    """The columns as lists, None in place of NaN."""
    return [
        [None if math.isnan(value) else value for value in column] for column in values.T.tolist()
    ]
