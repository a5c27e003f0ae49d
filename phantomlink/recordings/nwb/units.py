"""The units of an NWB file: which table has them, who they are, where their spike times lie."""

from __future__ import annotations

from collections import Counter

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.anomalies import Severity
from phantomlink.recordings.contents import UnitTable
from phantomlink.recordings.nwb.tree import NwbTree
from phantomlink.recordings.nwb.unit_columns import (
    areas_of,
    heldout_of,
    labels_of,
    observed_of,
    resolution_of,
)
from phantomlink.recordings.nwb.values import ragged_ends, rows_of

_SPIKE_COLUMNS = ("spike_times", "spike_times_index")
_PLACES = ("processing", "analysis", "scratch", "acquisition", "intervals", "stimulus", "general")


def find_units(tree: NwbTree, told: str | None) -> UnitTable:
    """Find the unit table: at /units if it has spike times, else any that has.

    Args:
        tree: the file.
        told: path of the table, or its name; None: search.

    Raises:
        RecordingError: no table, no units in it, or no spike times that can be read.
    """
    path = _find_table(tree, told)
    times, index = (_spike_column(tree, path, name) for name in _SPIKE_COLUMNS)
    n_times = rows_of(times)
    if n_times is None or times.dtype.kind not in "fiu":
        raise RecordingError(
            f"{path}/spike_times: is {times.dtype} of shape {times.shape}, not a list of numbers"
        )
    ends = ragged_ends(index, n_times, f"{path}/spike_times_index")
    if not ends.size:
        raise RecordingError(f"{path}: the table of units is empty; nothing to play")
    if ends[-1] < n_times:
        tree.anomalies.add(
            f"{path}/spike_times",
            f"the last {n_times - ends[-1]} spike times belong to no unit and are left out",
        )
    ids, labels = labels_of(tree, path, ends.size)
    by_unit, invalid = observed_of(tree, path, ends.size)
    return UnitTable(
        path=path,
        ids=ids,
        labels=labels,
        ends=ends,
        areas=areas_of(tree, path, ids),
        heldout=heldout_of(tree, path, ends.size),
        observed_by_unit=by_unit,
        invalid=invalid,
        sampling_rate_hz=resolution_of(times),
    )


def read_spikes(
    tree: NwbTree, units: UnitTable, seconds_per_stored: float
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Read every spike, in the order of the file.

    Args:
        tree: the file.
        units: the table.
        seconds_per_stored: factor from what is stored to seconds.

    Returns:
        (n,) times, s, recording clock; (n,) column of the unit of each.

    Raises:
        RecordingError: a spike time that is NaN or infinite.
    """
    column = _spike_column(tree, units.path, "spike_times")
    seconds = column[: units.n_spikes].reshape(-1).astype(np.float64, copy=False)
    if seconds.size != units.n_spikes:
        raise RecordingError(
            f"{units.spike_times_path}: {seconds.size} of {units.n_spikes} spike times were read"
        )
    rows = np.repeat(
        np.arange(len(units.ids), dtype=np.int32), np.diff(units.ends, prepend=np.int64(0))
    )
    wrong = np.flatnonzero(~np.isfinite(seconds))
    if wrong.size:
        raise RecordingError(
            f"{units.spike_times_path}: unit {units.name(int(rows[wrong[0]]))} has a spike at "
            f"{seconds[wrong[0]]} s: a timestamp must be a number ({wrong.size} such in all)"
        )
    return seconds if seconds_per_stored == 1 else seconds * seconds_per_stored, rows


def unit_tables(tree: NwbTree) -> list[str]:
    """Paths of all tables of units: the usual place first, then those with spike times."""
    found = [
        path
        for path in tree.groups(_PLACES)
        if tree.kind(path) == "Units" or _has_spikes(tree, path)
    ]
    if tree.group("units") is not None:
        found.insert(0, "units")
    return sorted(found, key=lambda path: not _has_spikes(tree, path))


def _find_table(tree: NwbTree, told: str | None) -> str:
    tables = unit_tables(tree)
    if told is not None:
        wanted = told.strip("/")
        named = [path for path in tables if wanted in (path, path.rpartition("/")[2])]
        exact = [path for path in named if path == wanted]
        if len(exact or named) != 1:
            there = ", ".join(tables) or "none"
            what = "names several tables" if named else "is not a table of units of the recording"
            raise RecordingError(f"units_table {told!r} {what}; it has: {there}")
        return (exact or named)[0]
    if not tables:
        if "units" in tree.names(""):
            raise RecordingError(_why_not(tree, "units"))
        raise RecordingError(
            "no units: there is no table at /units and no Units table elsewhere"
            f"{_what_there_is(tree)}"
        )
    if len(tables) > 1 and _has_spikes(tree, tables[0]):
        others = [path for path in tables[1:] if _has_spikes(tree, path)]
        if tables[0] != "units" and tree.group("units") is not None:
            tree.anomalies.add("units", f"has no spike times; {tables[0]} has them and is played")
        if others:
            tree.anomalies.add(
                tables[0],
                f"is played; {', '.join(others)} has units with spike times too",
                "to play that",
                options=(("units-table", others[0]),),
                severity=Severity.DETAIL,
            )
    return tables[0]


def _what_there_is(tree: NwbTree) -> str:
    """What kinds of series a file without units has, as the end of a refusal."""
    kinds = Counter(
        tree.kind(path)
        for path in tree.groups(("acquisition", "processing", "analysis", "stimulus"))
        if "data" in tree.names(path)
    )
    if not kinds:
        return ""
    some = ", ".join(f"{n} {kind or 'series of no type'}" for kind, n in kinds.most_common(4))
    more = ", ..." if len(kinds) > 4 else ""
    return f"; it has {some}{more}; a series of counts can be played with --counts-series"


def _has_spikes(tree: NwbTree, path: str) -> bool:
    return set(tree.names(path)).issuperset(_SPIKE_COLUMNS)


def _spike_column(tree: NwbTree, path: str, name: str) -> h5py.Dataset:
    column = tree.dataset(f"{path}/{name}")
    if column is not None:
        return column
    names = tree.names(path)
    if name in names:
        raise RecordingError(_why_not(tree, f"{path}/{name}"))
    raise RecordingError(
        f"{path}: units without {name}; the table has {', '.join(names) or 'nothing'}"
    )


def _why_not(tree: NwbTree, place: str) -> str:
    """What was noted of something that is there and cannot be read."""
    said = (str(anomaly) for anomaly in tree.anomalies if anomaly.place == place)
    return next(said, f"{place}: is not what is expected there")
