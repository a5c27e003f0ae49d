"""Series over time in an NWB file: where they are, their unit, and how their rows lie in time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.anomalies import Severity
from phantomlink.recordings.kinematics import typical_period
from phantomlink.recordings.nwb.hdf5 import HDF5_ERRORS, neurodata_type, one_line, text
from phantomlink.recordings.nwb.tree import NwbTree
from phantomlink.recordings.nwb.values import rows_of, scalar

PLACES = ("processing", "acquisition", "analysis", "scratch", "stimulus")
"""Where a series may be told to be. The search itself looks in the first two."""

_PERIOD_ROWS = 4096


@dataclass(frozen=True, slots=True)
class RegularTimes:
    """Rows at a constant rate: row i is at start + i / rate."""

    start_seconds: float
    rate_hz: float


Times: TypeAlias = "RegularTimes | h5py.Dataset"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One series of the file; nothing of its data has been read.

    Attributes:
        path: in the file, without the leading slash.
        container: NWB type of the group it lies in (Position, CompassDirection, ...).
        neurodata_type: SpatialSeries, TimeSeries, ...
        unit: of data * conversion + offset.
        conversion: factor from what is stored to `unit`.
        offset: added after the factor.
        comments: free text; MC_Maze says the order of its columns there.
        description: free text; other writers say it there.
        data: (rows,) or (rows, columns).
        times: a dataset of (rows,) or (rows, 1) timestamps, s, or a constant rate.
        shift_seconds: added to what the file says of times, to be on the recording's clock.
        has_unit: whether the file says a unit, though it may be an empty one.
    """

    path: str
    container: str
    neurodata_type: str
    unit: str
    conversion: float
    offset: float
    comments: str
    description: str
    data: h5py.Dataset
    times: Times
    shift_seconds: float
    has_unit: bool

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> str:
        """Path of the group that the series lies in."""
        return self.path.rpartition("/")[0]

    @property
    def rows(self) -> int:
        """Samples."""
        return int(self.data.shape[0])

    @property
    def columns(self) -> int:
        """Numbers a sample; 1 for a series of one dimension."""
        return int(self.data.shape[1]) if self.data.ndim > 1 else 1

    def sample_rate_hz(self) -> float | None:
        """Samples per second: stated, or from the first few thousand timestamps."""
        if isinstance(self.times, RegularTimes):
            return self.times.rate_hz
        seconds = self.times[:_PERIOD_ROWS].reshape(-1).astype(np.float64)
        return rate_of(typical_period(np.sort(seconds[np.isfinite(seconds)])))

    @property
    def column_names(self) -> tuple[str, ...]:
        """What the file calls the columns; empty where it does not, or of another number."""
        listed = re.search(r"columns\s*=\s*\[([^\]]*)\]", self.comments)
        for told in (listed[1] if listed else "", self.description, self.comments):
            names = tuple(name.strip() for name in told.strip("[]() .").split(","))
            if len(names) == self.columns > 1 and all(0 < len(name) <= 40 for name in names):
                return names
        return ()

    def scaled(self, stored: NDArray[np.generic]) -> NDArray[np.float64]:
        """What is stored, in `unit`."""
        # Multiplying by 1 and adding 0 changes nothing but costs a pass over the rows, as a copy.
        is_changed = self.conversion != 1 or self.offset != 0
        values = stored.astype(np.float64, copy=is_changed)
        if self.conversion != 1:
            values *= self.conversion
        if self.offset != 0:
            values += self.offset
        return values


def rate_of(period_seconds: float) -> float | None:
    """Samples per second of a sample period, without the last decimals of its rounding."""
    return round(1 / period_seconds, 4) if period_seconds > 0 else None


def find_series(tree: NwbTree, shift_seconds: float) -> list[Series]:
    """Find every series that has numbers and times, by path.

    What looks like one and cannot be used is noted in the tree, with what it lacks.

    Args:
        tree: the file.
        shift_seconds: added to the times of all.
    """
    found: list[Series] = []
    for path in tree.groups(PLACES):
        try:
            series = _series(tree, path, shift_seconds)
        except (*HDF5_ERRORS, RecordingError) as error:
            tree.anomalies.add(path, f"{one_line(error)}; the series is left out")
        else:
            if series is not None:
                found.append(series)
    return sorted(found, key=lambda series: series.path)


def _series(tree: NwbTree, path: str, shift_seconds: float) -> Series | None:
    """The series of a group; None when it is none.

    Raises:
        ValueError: it is one, but cannot be used.
    """
    group = tree.group(path)
    if group is None:
        return None
    names = set(group)
    has_times = bool(names & {"timestamps", "starting_time"})
    is_series = neurodata_type(group) in _SERIES_TYPES
    if not (has_times or (is_series and "data" in names)):
        return None
    data = tree.dataset(f"{path}/data")
    if data is None:
        if is_series:
            lacks = "cannot be read" if "data" in names else "are not there"
            raise ValueError(f"its data {lacks}")
        return None
    if data.dtype.kind not in "iuf" or data.ndim not in (1, 2):
        return None
    unit = data.attrs.get("unit")
    parent = path.rpartition("/")[0]
    series = Series(
        path=path,
        container=tree.kind(parent) if parent else "",
        neurodata_type=neurodata_type(group),
        unit=text("" if unit is None else unit),
        conversion=_factor(data, "conversion", 1.0),
        offset=_factor(data, "offset", 0.0),
        comments=text(group.attrs.get("comments", "")),
        description=text(group.attrs.get("description", "")),
        data=data,
        times=_times(tree, path, data, shift_seconds),
        shift_seconds=shift_seconds,
        has_unit=unit is not None,
    )
    if data.ndim == 2 and data.shape[0] <= _FEW_ROWS < data.shape[1]:
        tree.anomalies.add(
            path,
            f"has {data.shape[0]} rows of {data.shape[1]} columns: it seems to be channels x time",
            "write it as time x channels",
            severity=Severity.DETAIL,
        )
    return series


def _factor(data: h5py.Dataset, name: str, usual: float) -> float:
    value = data.attrs.get(name)
    factor = usual if value is None else scalar(value, f"its {name}")
    if not np.isfinite(factor):
        raise ValueError(f"its {name} is {factor}")
    return factor


def _times(tree: NwbTree, path: str, data: h5py.Dataset, shift_seconds: float) -> Times:
    timestamps = tree.dataset(f"{path}/timestamps")
    if timestamps is not None:
        rows = rows_of(timestamps)
        if rows != data.shape[0]:
            turned = data.ndim == 2 and rows == data.shape[1]
            hint = "; its data seem to be channels x time" if turned else ""
            raise ValueError(
                f"has {data.shape[0]} rows of data, but timestamps of shape {timestamps.shape}"
                f"{hint}"
            )
        if timestamps.dtype.kind not in "iuf":
            raise ValueError(f"its timestamps are {timestamps.dtype}, not numbers")
        return timestamps
    starting = tree.dataset(f"{path}/starting_time")
    if starting is None or "rate" not in starting.attrs:
        raise ValueError("has neither timestamps that can be read nor a rate")
    start = scalar(starting, "its starting_time")
    rate = scalar(starting.attrs["rate"], "its rate")
    if not (np.isfinite(start) and np.isfinite(rate) and rate > 0):
        raise ValueError(f"starts at {start} s with {rate} Hz, which must be numbers above 0")
    return RegularTimes(start + shift_seconds if shift_seconds else start, rate)


_SERIES_TYPES = frozenset({"TimeSeries", "SpatialSeries", "PoseEstimationSeries"})
_FEW_ROWS = 8
