"""Turns a row of a block into the packet that says it."""

from __future__ import annotations

import math

from phantomlink.source.bins import Bins, Block
from phantomlink.wire.packet import NO_INTENTION, Intention, Packet, distance


class PacketAssembler:
    """Makes the packets of one recording at one bin width."""

    def __init__(self, bins: Bins) -> None:
        self._grid = bins.grid
        self._trials = tuple(bins.trials)

    def packet(self, block: Block, row: int, sequence_number: int, loop: int) -> Packet:
        """The packet of bin `block.start + row`."""
        bin_index = block.start + row
        vx, vy, x, y = map(_present, block.kinematics[row].tolist())
        trial_row = int(block.trial_rows[row])
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
            spike_counts=block.counts[row],
            vx=vx,
            vy=vy,
            x=x,
            y=y,
            intention=intention,
            trial_id=trial_id,
            trial_time_ms=trial_time_ms,
        )


def _present(value: float) -> float | None:
    return None if math.isnan(value) else value
