"""Series over time in an NWB file: where they are, their unit, and how their rows lie in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.kinematics import typical_period
from phantomlink.recordings.nwb.hdf5 import neurodata_type, text

PLACES = ("processing", "acquisition", "analysis", "scratch", "stimulus")
"""Where a series may be told to be. The search itself looks in the first two."""

_MAX_DEPTH = 8
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
        data: (rows,) or (rows, columns).
        times: a dataset of (rows,) timestamps, s, recording clock, or a constant rate.
    """

    path: str
    container: str
    neurodata_type: str
    unit: str
    conversion: float
    offset: float
    comments: str
    data: h5py.Dataset
    times: Times

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
        period = typical_period(np.sort(_finite(self.times[:_PERIOD_ROWS])))
        return rate_of(period)

    def scaled(self, stored: NDArray[np.generic]) -> NDArray[np.float64]:
        """What is stored, in `unit`."""
        values = stored.astype(np.float64)
        # Multiplying by 1 and adding 0 changes nothing but costs a pass over the rows.
        if self.conversion != 1:
            values *= self.conversion
        if self.offset != 0:
            values += self.offset
        return values


def rate_of(period_seconds: float) -> float | None:
    """Samples per second of a sample period, without the last decimals of its rounding."""
    return round(1 / period_seconds, 4) if period_seconds > 0 else None


def find_series(file: h5py.File) -> tuple[list[Series], list[str]]:
    """Find every series that has numbers and times.

    Returns:
        The series, by path; and lines about series that cannot be used, with why.
    """
    found: list[Series] = []
    unusable: list[str] = []
    for group, container in _groups(file, unusable):
        path = _path(group)
        try:
            series = _series(group, path, container)
        except ValueError as error:
            unusable.append(f"{path}: {error}")
        else:
            if series is not None:
                found.append(series)
    return sorted(found, key=lambda series: series.path), unusable


def _groups(file: h5py.File, unusable: list[str]) -> Iterator[tuple[h5py.Group, str]]:
    """Every group in `PLACES`, once, with the NWB type of what it lies in."""
    waiting = [(file, name, 0) for name in reversed(PLACES) if name in file]
    seen: set[tuple[int, int]] = set()
    while waiting:
        parent, name, depth = waiting.pop()
        try:
            group = parent[name]
        except (KeyError, OSError):  # a link to a place or a file that is not here
            unusable.append(f"{_path(parent)}/{name}: is a link to something that is not there")
            continue
        if not isinstance(group, h5py.Group):
            continue
        info = h5py.h5o.get_info(group.id)
        address = (info.fileno, info.addr)
        if address in seen:
            continue
        seen.add(address)
        yield group, neurodata_type(parent)
        if depth < _MAX_DEPTH:
            waiting += [(group, child, depth + 1) for child in reversed(list(group))]


def _series(group: h5py.Group, path: str, container: str) -> Series | None:
    """The series of a group; None when it is none.

    Raises:
        ValueError: it is one, but cannot be used.
    """
    data = group.get("data")
    if not isinstance(data, h5py.Dataset):
        return None
    if "timestamps" not in group and "starting_time" not in group:
        return None
    if data.dtype.kind not in "iuf" or data.ndim not in (1, 2):
        return None
    conversion, offset = (
        float(data.attrs.get(name, usual)) for name, usual in (("conversion", 1.0), ("offset", 0.0))
    )
    if not (np.isfinite(conversion) and np.isfinite(offset)):
        raise ValueError(f"has a conversion of {conversion} and an offset of {offset}")
    return Series(
        path=path,
        container=container,
        neurodata_type=neurodata_type(group),
        unit=text(data.attrs.get("unit", "")),
        conversion=conversion,
        offset=offset,
        comments=text(group.attrs.get("comments", "")),
        data=data,
        times=_times(group, data),
    )


def _times(group: h5py.Group, data: h5py.Dataset) -> Times:
    timestamps = group.get("timestamps")
    if isinstance(timestamps, h5py.Dataset):
        if timestamps.shape != data.shape[:1]:
            raise ValueError(
                f"has {data.shape[0]} rows of data, but timestamps of shape {timestamps.shape}"
            )
        return timestamps
    starting = group.get("starting_time")
    if not isinstance(starting, h5py.Dataset) or "rate" not in starting.attrs:
        raise ValueError("has neither timestamps nor a rate")
    start, rate = float(starting[()]), float(starting.attrs["rate"])
    if not (np.isfinite(start) and np.isfinite(rate) and rate > 0):
        raise ValueError(f"starts at {start} s with {rate} Hz, which is no time")
    return RegularTimes(start, rate)


def _finite(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    return seconds[np.isfinite(seconds)]


def _path(group: h5py.Group) -> str:
    return str(group.name).lstrip("/")
