"""Columns of a unit table beside the spikes: each may be odd, and costs only itself then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.anomalies import Severity
from phantomlink.recordings.nwb.hdf5 import HDF5_ERRORS, one_line, text
from phantomlink.recordings.nwb.to_json import MAX_EXACT
from phantomlink.recordings.nwb.tree import NwbTree
from phantomlink.recordings.nwb.values import (
    MAX_COLUMN_VALUES,
    column,
    ragged_ends,
    scalar,
    whole_column,
)
from phantomlink.recordings.observed import merged

_ELECTRODES = "general/extracellular_ephys/electrodes"
_INVALID_TIMES = "intervals/invalid_times"


def labels_of(
    tree: NwbTree, table: str, n_units: int
) -> tuple[tuple[int, ...], tuple[str, ...] | None]:
    """What the units are called.

    Returns:
        Their numbers: the ids of the file where these are whole numbers that any client can hold
        and each is there once, else rows. And the ids of the file as texts, in the second case,
        where it has any.
    """
    rows = tuple(range(n_units))
    path = f"{table}/id"
    stored: NDArray[np.generic] | None = None
    ids = tree.dataset(path)
    if ids is not None:
        with left_out(tree, path, "units are called 0, 1, ..."):
            stored = column(ids, path)
    if stored is None or stored.size != n_units:
        said = "not there" if ids is None else f"is not a list of {n_units} ids"
        tree.anomalies.add(path, f"{said}; units are called 0, 1, ...", severity=Severity.DETAIL)
        return rows, None
    values = stored.tolist()
    if stored.dtype.kind in "iu":
        whole = tuple(int(value) for value in values)
        shared = len(whole) - len(set(whole))
        if not shared and max(map(abs, whole)) <= MAX_EXACT:
            return whole, None
        reason = "are there twice" if shared else f"are beyond {MAX_EXACT}"
    else:
        reason = "are texts" if stored.dtype.kind in "OSU" else f"are {stored.dtype}"
    labels = tuple(text(value) for value in values)
    twice = [label for label, n in Counter(labels).items() if n > 1]
    more = f" ({', '.join(twice[:5])} more than once)" if twice else ""
    tree.anomalies.add(
        path,
        f"ids that {reason}{more}: unit_ids are the rows 0 to {n_units - 1}, unit_labels those of "
        "the file",
        severity=Severity.DETAIL,
    )
    return rows, labels


def heldout_of(tree: NwbTree, table: str, n_units: int) -> tuple[bool, ...] | None:
    """Whether a benchmark holds each unit out; None where the file does not say."""
    path = f"{table}/heldout"
    heldout = tree.dataset(path)
    if heldout is None:
        return None
    with left_out(tree, path):
        values = column(heldout, path)
        if values.size == n_units:
            return tuple(bool(value) for value in values)
        tree.anomalies.add(path, f"has {values.size} rows, the table has {n_units}")
    return None


def areas_of(tree: NwbTree, table: str, ids: tuple[int, ...]) -> tuple[str, ...] | None:
    """Brain area of each unit: from the electrodes it was seen on, else from `location`.

    Empty for a unit of which the file does not say; None where it says of none.
    """
    with left_out(tree, f"{table}/electrodes", "areas are taken from elsewhere"):
        found = _areas_of_electrodes(tree, table, ids)
        if found is not None and any(found):
            return found
    path = f"{table}/location"
    location = tree.dataset(path)
    if location is not None:
        with left_out(tree, path):
            values = tuple(text(value) for value in column(location, path))
            if len(values) == len(ids) and any(values):
                return values
    return None


def observed_of(
    tree: NwbTree, table: str, n_units: int
) -> tuple[tuple[NDArray[np.float64], ...] | None, NDArray[np.float64] | None]:
    """When the units were observed.

    Returns:
        (n, 2) start and stop, s, of each unit's intervals, and (n, 2) of invalid times; None
        where the file does not say.
    """
    by_unit = None
    path = f"{table}/obs_intervals"
    intervals = tree.dataset(path)
    if intervals is not None:
        with left_out(tree, path):
            by_unit = _intervals_by_unit(tree, table, intervals, n_units)
    invalid = None
    if tree.group(_INVALID_TIMES) is not None:
        with left_out(tree, _INVALID_TIMES):
            edges = [
                _times(tree, f"{_INVALID_TIMES}/{name}") for name in ("start_time", "stop_time")
            ]
            invalid = _plausible(tree, _INVALID_TIMES, np.column_stack(edges))
    return by_unit, invalid


def resolution_of(times: h5py.Dataset) -> float | None:
    """Sampling rate that spike times were found at, Hz; None where the file does not say."""
    resolution = times.attrs.get("resolution")
    if resolution is None:
        return None
    try:
        seconds = scalar(resolution, "its resolution")
    except ValueError:
        return None
    return 1 / seconds if 1e-7 < seconds < 1 else None


@contextmanager
def left_out(tree: NwbTree, path: str, instead: str = "it is left out") -> Iterator[None]:
    """Whatever cannot be read in here costs only this item, and is noted."""
    try:
        yield
    except (*HDF5_ERRORS, RecordingError) as error:
        said = one_line(error).removeprefix(f"{path}: ")
        tree.anomalies.add(path, f"{said}; {instead}")


def _intervals_by_unit(
    tree: NwbTree, table: str, intervals: h5py.Dataset, n_units: int
) -> tuple[NDArray[np.float64], ...] | None:
    path = f"{table}/obs_intervals"
    if intervals.ndim != 2 or intervals.shape[1] != 2 or intervals.dtype.kind not in "iuf":
        raise RecordingError(
            f"{path}: is {intervals.dtype} of shape {intervals.shape}, not of (n, 2) times"
        )
    if intervals.size > MAX_COLUMN_VALUES * 4:
        raise RecordingError(f"{path}: {intervals.shape[0]} intervals are too many")
    values = intervals[...].astype(np.float64)
    index = tree.dataset(f"{path}_index")
    if index is None:
        raise RecordingError(f"{path}: has no index")
    ends = ragged_ends(index, len(values), f"{path}_index")
    if ends.size != n_units:
        raise RecordingError(f"{path}: is of {ends.size} units, the table has {n_units}")
    starts = np.concatenate(([0], ends[:-1]))
    # Most files have the same ones in each unit: those are kept, and looked at, once.
    distinct: dict[bytes, NDArray[np.float64]] = {}
    by_unit = []
    for start, end in zip(starts, ends, strict=True):
        plausible = _plausible(tree, path, values[start:end])
        by_unit.append(distinct.setdefault(plausible.tobytes(), plausible))
    if not any(len(each) for each in by_unit):
        return None
    union = merged(np.concatenate([*distinct.values()]))
    differing = {key for key, each in distinct.items() if not np.array_equal(merged(each), union)}
    differ = sum(each.tobytes() in differing for each in by_unit)
    if differ:
        tree.anomalies.add(
            path,
            f"not observed at times when others were: {differ} of {n_units} units; a packet is not "
            "observed only when no unit was",
            severity=Severity.DETAIL,
        )
    return tuple(by_unit)


def _plausible(tree: NwbTree, path: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    good = np.isfinite(values).all(axis=1) & (values[:, 0] <= values[:, 1])
    if not good.all():
        tree.anomalies.add(
            path, f"{int(np.sum(~good))} intervals without a start before their stop are left out"
        )
    return values[good]


def _times(tree: NwbTree, path: str) -> NDArray[np.float64]:
    times = tree.dataset(path)
    if times is None or times.dtype.kind not in "iuf":
        raise RecordingError(f"{path}: is not a list of times")
    return column(times, path).astype(np.float64)


def _areas_of_electrodes(tree: NwbTree, table: str, ids: tuple[int, ...]) -> tuple[str, ...] | None:
    location = tree.dataset(f"{_ELECTRODES}/location")
    if location is None:
        return None
    rows = _first_electrodes(tree, table, len(ids))
    locations = [text(value) for value in column(location, f"{_ELECTRODES}/location")]
    if rows is None or bool(np.any(rows < 0)) or bool(np.any(rows >= len(locations))):
        return None
    return tuple(locations[row] for row in _mended(rows, np.array(ids), len(locations)))


def _first_electrodes(tree: NwbTree, table: str, n_units: int) -> NDArray[np.int64] | None:
    """Row of the first electrode of each unit; None where a unit has none."""
    electrodes = tree.dataset(f"{table}/electrodes")
    if electrodes is None or electrodes.dtype.kind not in "iuf":
        return None
    rows = whole_column(electrodes, f"{table}/electrodes")
    index = tree.dataset(f"{table}/electrodes_index")
    if index is not None:
        ends = ragged_ends(index, rows.size, f"{table}/electrodes_index")
        counts = np.diff(ends, prepend=np.int64(0))
        if ends.shape != (n_units,) or bool(np.any(counts < 1)):
            return None
        rows = rows[ends - counts]
    return rows if rows.shape == (n_units,) else None


def _mended(
    rows: NDArray[np.int64], ids: NDArray[np.int64], n_electrodes: int
) -> NDArray[np.int64]:
    """Electrode rows of MC_Maze, put right.

    Its ids are array * 1000 + channel * 10 + unit, and its rows are the channel within the
    array, so that as written every unit of the second array is on an electrode of the first.
    """
    array, channel = ids // 1000, ids % 1000 // 10
    if n_electrodes == 192 and set(array) <= {1, 2} and np.array_equal(rows, channel - 1):
        return rows + 96 * (array - 1)
    return rows
