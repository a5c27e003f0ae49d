"""Small recordings for the tests of the spike index, and what it must count in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.nwb.spike_index import SpikeIndex, open_spike_index

RATE = Fraction(40)


def write_units(path: Path, units: list[NDArray[np.float64]], **dataset: object) -> None:
    flat = np.concatenate([np.empty(0), *units])
    with h5py.File(path, "w") as file:
        file.create_dataset("units/spike_times", data=flat, **dataset)
        file["units/spike_times_index"] = np.cumsum([len(u) for u in units]).astype(np.uint32)
        file["units/id"] = 100 + np.arange(len(units))


def opened(path: Path, **options: object) -> SpikeIndex:
    return open_spike_index(
        path,
        spike_times_path="units/spike_times",
        index_path="units/spike_times_index",
        **{"cache_dir": path.parent / "cache", **options},  # type: ignore[arg-type]
    )


def random_units(seed: int, n_units: int = 7, n_spikes: int = 20_000) -> list[NDArray[np.float64]]:
    """More spikes than three blocks hold, one unit silent.

    A tenth is on edges of bins, and a tenth so little before them that it counts as on them.
    """
    rng = np.random.default_rng(seed)
    units = []
    for unit in range(n_units):
        seconds = rng.uniform(0, 60, 0 if unit == 2 else n_spikes // n_units)
        draw = rng.random(seconds.size)
        seconds[draw < 0.2] = np.ceil(seconds[draw < 0.2] * 40) / 40
        seconds[draw < 0.1] -= 1e-9
        units.append(seconds)
    return units


def expected_counts(units: list[NDArray[np.float64]], grid: BinGrid) -> NDArray[np.int64]:
    return np.stack([np.bincount(grid.indices_of(u), minlength=grid.n_bins) for u in units], axis=1)
