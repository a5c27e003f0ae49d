"""What is done when a viewer takes less than there is: neighbours are summed, the oldest go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from phantomlink.outputs.view.columns import Columns

MOST_WAITING = 64


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a viewer is sent next.

    Attributes:
        columns: oldest first.
        gap: columns that went before them.
    """

    columns: tuple[Columns, ...]
    gap: int


def shortened(columns: Sequence[Columns], most: int = MOST_WAITING, gap: int = 0) -> Waiting:
    """At most so many columns: neighbours in pairs, never across a seek, loop or perturbation.

    Args:
        columns: what waits, oldest first.
        most: columns that may.
        gap: columns that have gone already.
    """
    waiting = list(columns)
    while sum(map(len, waiting)) > most and any(len(each) > 1 for each in waiting):
        waiting = [part for each in waiting for part in _in_pairs(each)]
    while sum(map(len, waiting)) > most:
        gap += len(waiting.pop(0))
    return Waiting(tuple(waiting), gap)


def _in_pairs(columns: Columns) -> list[Columns]:
    """Half as many columns of twice the width, and the one that is left over."""
    n = len(columns) // 2 * 2
    if n == 0:
        return [columns]
    even = columns.part(0, n)
    ends = slice(1, None, 2)
    counts = even.counts[0::2].astype(np.uint16) + even.counts[ends]
    lost = even.lost[0::2].astype(np.uint16) + even.lost[ends]
    pairs = replace(
        even,
        bins_per_column=2 * even.bins_per_column,
        counts=np.minimum(counts, 255).astype(np.uint8),
        kinematics=even.kinematics[ends],
        intention=even.intention[ends],
        trial_ids=even.trial_ids[ends],
        lost=np.minimum(lost, 255).astype(np.uint8),
        observed=even.observed[0::2] | even.observed[ends],
        decoded=even.decoded_rows(ends),
    )
    return [pairs] if n == len(columns) else [pairs, columns.part(n, n + 1)]
