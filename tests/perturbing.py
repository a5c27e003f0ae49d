"""What the tests of perturbations share: a perturber for a made-up recording, and its counts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from phantomlink.source.bins import BinGrid
from phantomlink.source.perturb import Perturber, parse_perturbation

N_UNITS = 142
UNIT_IDS = tuple(1011 + 10 * column for column in range(N_UNITS))


def make_perturber(
    asked: object, *, seed: int = 1, n_bins: int = 20_000, rate_hz: int | Fraction = 40
) -> Perturber:
    """For units `UNIT_IDS`; `asked` is a perturbation, or a list of transforms."""
    if isinstance(asked, list):
        asked = {"transforms": asked}
    return Perturber(
        parse_perturbation(asked),
        seed=seed,
        unit_ids=UNIT_IDS,
        grid=BinGrid(0.0, Fraction(rate_hz), n_bins),
    )


def same_counts(value: int, n: int) -> np.ndarray:
    """(n, N_UNITS) counts, all of this value and read-only, as those of a recording are."""
    counts = np.full((n, N_UNITS), value, dtype=np.uint16)
    counts.setflags(write=False)
    return counts


def seen(value: int, n: int, kind: str, seed: int = 1, **parameters: Any) -> np.ndarray:
    """What n bins whose counts are all the same become under one transform."""
    perturber = make_perturber([{"kind": kind, **parameters}], seed=seed, n_bins=n)
    return perturber.counts(same_counts(value, n), 0, 0)


def runs(on: np.ndarray) -> list[int]:
    """Lengths of the runs of True in a row that are whole, without those at its two ends."""
    edges = np.flatnonzero(np.diff(on.astype(np.int8)))
    edges = edges[1:] if on[0] and edges.size else edges
    edges = edges[: edges.size // 2 * 2]
    return (edges[1::2] - edges[::2]).tolist()
