"""Makes small NWB files, ordinary and odd ones, with h5py alone.

pynwb would not write most of the odd ones, and takes longer than a whole test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from phantomlink.recordings.nwb.tree import NwbTree

BEHAVIOR = "processing/behavior"


@dataclass(frozen=True)
class SeriesSpec:
    """A series to write; `timestamps`, or `rate` with `start`."""

    name: str
    data: Any
    timestamps: Any = None
    rate: float | None = None
    start: float = 0.0
    unit: str = "mm"
    conversion: float = 1.0
    offset: float = 0.0
    type: str = "SpatialSeries"
    within: str = BEHAVIOR
    comments: str = "no comments"
    storage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ragged:
    """A column whose rows have different lengths; written as numpy's smallest index dtype."""

    rows: Sequence[Sequence[Any]]
    dtype: Any = np.float64


def write_nwb(
    path: Path,
    *,
    spikes: Sequence[Sequence[float]] | None = ((0.1, 0.2), (0.15,)),
    unit_ids: Sequence[int] | None = None,
    series: Sequence[SeriesSpec] = (),
    trials: Mapping[str, Any] | None = None,
    containers: Mapping[str, str] | None = None,
    units_at: str = "units",
    spike_storage: Mapping[str, Any] | None = None,
    spike_dtype: Any = np.float64,
    identifier: str = "test file",
) -> Path:
    """Write a file and give back its path.

    `spikes` has the times of each unit, or is None for no unit table; `spike_storage` says how
    they are stored (chunks, compression); `containers` gives NWB types to groups that series
    lie in, by path.
    """
    with h5py.File(path, "w") as file:
        file.attrs.update(
            {"neurodata_type": "NWBFile", "namespace": "core", "nwb_version": "2.7.0"}
        )
        file["identifier"] = identifier
        file["session_description"] = "made by a test"
        file["session_start_time"] = "2024-01-01T00:00:00+00:00"
        for place in ("acquisition", "processing", "general"):
            file.create_group(place)
        if spikes is not None:
            _units(file, units_at, spikes, unit_ids, spike_storage or {}, spike_dtype)
        for each in series:
            _series(file, each)
        for name, kind in (containers or {}).items():
            file[name].attrs["neurodata_type"] = kind
        if trials is not None:
            _table(file.create_group("intervals/trials"), trials, "TimeIntervals")
    return path


def moving(seconds: Any) -> np.ndarray:
    """A smooth path that is never at rest and never zero: (n, 2) of x, y."""
    t = np.asarray(seconds, dtype=np.float64)
    return np.column_stack((30 * np.sin(2 * t) + 7 * t + 3, 20 * np.cos(3 * t) - 5 * t + 50))


def _units(
    file: h5py.File,
    where: str,
    spikes: Sequence[Sequence[float]],
    unit_ids: Sequence[int] | None,
    storage: Mapping[str, Any],
    dtype: Any,
) -> None:
    table = file.create_group(where)
    flat = np.array([time for unit in spikes for time in unit], dtype=dtype)
    dataset = table.create_dataset("spike_times", data=flat, **storage)
    dataset.attrs["neurodata_type"] = "VectorData"
    _index(table, "spike_times", [len(unit) for unit in spikes])
    ids = np.array(range(len(spikes)) if unit_ids is None else unit_ids, dtype=np.int64)
    table["id"] = ids
    table["id"].attrs["neurodata_type"] = "ElementIdentifiers"
    table.attrs["colnames"] = ["spike_times"]
    table.attrs["neurodata_type"] = "Units"


def _index(table: h5py.Group, column: str, lengths: Sequence[int]) -> None:
    ends = np.cumsum(lengths, dtype=np.int64)
    last = int(ends[-1]) if len(ends) else 0
    table[f"{column}_index"] = ends.astype(np.min_scalar_type(last))
    table[f"{column}_index"].attrs["neurodata_type"] = "VectorIndex"


def _series(file: h5py.File, each: SeriesSpec) -> None:
    group = file.require_group(each.within).create_group(each.name)
    group.attrs["neurodata_type"] = each.type
    group.attrs["comments"] = each.comments
    data = group.create_dataset("data", data=np.asarray(each.data), **each.storage)
    data.attrs.update({"unit": each.unit, "conversion": each.conversion, "offset": each.offset})
    if each.rate is not None:
        group["starting_time"] = each.start
        group["starting_time"].attrs.update({"rate": each.rate, "unit": "seconds"})
    elif each.timestamps is not None:
        group["timestamps"] = np.asarray(each.timestamps)


def _table(table: h5py.Group, columns: Mapping[str, Any], kind: str) -> None:
    n_rows = 0
    for name, values in columns.items():
        if isinstance(values, Ragged):
            n_rows = len(values.rows)
            table[name] = np.array([v for row in values.rows for v in row], dtype=values.dtype)
            _index(table, name, [len(row) for row in values.rows])
        else:
            n_rows = len(values)
            table[name] = values
        table[name].attrs["neurodata_type"] = "VectorData"
    table["id"] = np.arange(n_rows)
    table["id"].attrs["neurodata_type"] = "ElementIdentifiers"
    table.attrs["colnames"] = list(columns)
    table.attrs["neurodata_type"] = kind


@contextmanager
def opened(path: Path) -> Iterator[NwbTree]:
    """What is in a file."""
    with h5py.File(path, "r") as file:
        yield NwbTree(file, path, follow=False)


def edited(path: Path, edit: Callable[[h5py.File], object], **options: Any) -> Path:
    """A file as `write_nwb` writes it, and `edit` leaves it."""
    write_nwb(path, **options)
    with h5py.File(path, "r+") as file:
        edit(file)
    return path
