"""What the packets of a recording have to say, from its file alone, with nothing of ours.

The rules are those that the documentation states: bin i covers [i / rate, (i + 1) / rate) s;
kinematics are the mean of the samples in it; the trial is the one that contains its start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

_AXES = {"velocity": ("vx", "vy"), "position": ("x", "y")}
_MAX_BINS = 8_000


@dataclass(frozen=True, eq=False)
class Expected:
    """A recording at one rate.

    Attributes:
        counts: (bins, units) spikes.
        kinematics: (bins,) of those of vx, vy, x, y that the file has; NaN without a sample.
        owners: (bins,) trial of each bin, -1 outside trials.
        n_bins: that are known; of a long recording only the first.
    """

    counts: NDArray[np.uint16]
    kinematics: Mapping[str, NDArray[np.float64]]
    owners: NDArray[np.int64]
    n_bins: int

    def differs(self, packet: Mapping[str, Any]) -> str | None:
        """What a packet says otherwise; None where it is right."""
        number = packet["packet_id"]
        if number >= self.n_bins:
            return f"bin {number} of {self.n_bins}"
        if packet["spikes"]["spike_counts"] != self.counts[number].tolist():
            return f"bin {number}: counts"
        for axis, values in self.kinematics.items():
            said, wanted = packet["kinematics"][axis], float(values[number])
            if math.isnan(wanted):
                if said is not None:
                    return f"bin {number}: {axis} is {said}, has no sample"
            elif said is None or not math.isclose(said, wanted, rel_tol=1e-9, abs_tol=1e-9):
                return f"bin {number}: {axis} is {said}, takes {wanted}"
        trial, owner = packet["trial_id"], int(self.owners[number])
        if (-1 if trial is None else trial) != owner:
            return f"bin {number}: trial {trial}, takes {owner}"
        return None


def expected_of(path: Path, behaviour: Mapping[str, Any], rate_hz: int) -> Expected:
    """Read a file.

    Args:
        path: an NWB file whose clock begins at 0.
        behaviour: as the dataset's card has it: the `path` of `velocity` and of `position`,
            where there is one.
        rate_hz: bins a second.
    """
    with h5py.File(path) as file:
        times, ends = file["units/spike_times"], file["units/spike_times_index"][:].astype(np.int64)
        n_units = len(ends)
        counts = np.zeros((_MAX_BINS, n_units), dtype=np.uint16)
        latest = 0.0
        starts = np.concatenate(([0], ends[:-1]))
        for unit, (start, stop) in enumerate(zip(starts, ends, strict=True)):
            spikes = np.asarray(times[start:stop])
            if spikes.size:
                latest = max(latest, float(spikes.max()))
                bins = _bins(spikes, rate_hz)
                np.add.at(counts[:, unit], bins[bins < _MAX_BINS], 1)
        kinematics = {}
        for kind, axes in _AXES.items():
            found = behaviour.get(kind)
            if found is None:
                continue
            values, seconds = _samples(file[found["path"]])
            latest = max(latest, float(seconds[-1]))
            bins = _bins(seconds, rate_hz)
            inside = bins < _MAX_BINS
            for column, axis in enumerate(axes):
                kinematics[axis] = _means(bins[inside], values[inside, column])
        owners = np.full(_MAX_BINS, -1)
        table = file.get("intervals/trials")
        if table is not None:
            begins, stops = table["start_time"][:], table["stop_time"][:]
            latest = max(latest, float(np.nanmax(stops)))
            moments = np.arange(_MAX_BINS) / rate_hz + 1e-9
            for trial in np.argsort(begins, kind="stable"):
                owners[(moments >= begins[trial]) & (moments < stops[trial])] = trial
    n_bins = min(int(_bins(np.array([latest]), rate_hz)[0]) + 1, _MAX_BINS)
    return Expected(counts[:n_bins], kinematics, owners, n_bins)


def _bins(seconds: NDArray[np.float64], rate_hz: int) -> NDArray[np.int64]:
    return np.floor(np.round(seconds * rate_hz, 6)).astype(np.int64)


def _samples(series: h5py.Group) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    data = series["data"]
    values = np.asarray(data[:], dtype=np.float64)
    if "timestamps" in series:
        return values, np.asarray(series["timestamps"][:])
    at = series["starting_time"]
    return values, at[()] + np.arange(len(values)) / at.attrs["rate"]


def _means(bins: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(bins,) mean of the known samples of each; NaN where there is none."""
    known = np.isfinite(values)
    totals, numbers = np.zeros(_MAX_BINS), np.zeros(_MAX_BINS)
    np.add.at(totals, bins[known], values[known])
    np.add.at(numbers, bins[known], 1)
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = totals / numbers
    return result
