"""The units of an NWB file: who they are and where their spike times lie."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.contents import UnitTable
from phantomlink.recordings.nwb.hdf5 import neurodata_type, ragged_ends, text


def find_units(file: h5py.File) -> UnitTable:
    """Find the unit table: at /units, or anywhere when there is none there.

    Raises:
        RecordingError: no table, no units in it, or no spike times that can be read.
    """
    table = _find_table(file)
    path = str(table.name).lstrip("/")
    for column in ("spike_times", "spike_times_index"):
        if not isinstance(table.get(column), h5py.Dataset):
            there = ", ".join(table) or "nothing"
            raise RecordingError(f"{path}: units without {column}; the table has {there}")
    times, index = table["spike_times"], table["spike_times_index"]
    if times.ndim != 1 or times.dtype.kind not in "fiu":
        raise RecordingError(
            f"{path}/spike_times: is {times.dtype} of shape {times.shape}, not a list of numbers"
        )
    ends = ragged_ends(index, times.shape[0], f"{path}/spike_times_index")
    if not ends.size:
        raise RecordingError(f"{path}: the table of units is empty; nothing to play")
    notes = []
    if ends[-1] < times.shape[0]:
        notes.append(
            f"{path}/spike_times: the last {times.shape[0] - ends[-1]} spike times belong to "
            "no unit and are left out"
        )
    ids = _ids(table, ends.size, notes)
    return UnitTable(
        path=path,
        ids=ids,
        ends=ends,
        areas=_areas(file, table, ids),
        heldout=_heldout(table, ends.size),
        notes=tuple(notes),
    )


def read_spikes(file: h5py.File, units: UnitTable) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Read every spike, in the order of the file.

    Returns:
        (n,) times, s, recording clock; (n,) column of the unit of each.

    Raises:
        RecordingError: a spike time that is NaN or infinite.
    """
    seconds = file[units.spike_times_path][: units.n_spikes].astype(np.float64)
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
            f"{units.spike_times_path}: unit {units.ids[rows[wrong[0]]]} has a spike at "
            f"{seconds[wrong[0]]} s, which is no time ({wrong.size} such in all)"
        )
    return seconds, rows


def _find_table(file: h5py.File) -> h5py.Group:
    if "units" in file:
        return file["units"]
    found: list[h5py.Group] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group) and neurodata_type(item) == "Units":
            found.append(item)

    for name in file:
        if name != "specifications" and isinstance(file[name], h5py.Group):
            file[name].visititems(visit)
    if not found:
        raise RecordingError("no units: there is no table at /units and no Units table elsewhere")
    return next((table for table in found if "spike_times" in table), found[0])


def _ids(table: h5py.Group, n_units: int, notes: list[str]) -> tuple[int, ...]:
    ids = table.get("id")
    if isinstance(ids, h5py.Dataset) and ids.shape == (n_units,) and ids.dtype.kind in "iu":
        return tuple(ids[...].astype(np.int64).tolist())
    notes.append(f"{str(table.name).lstrip('/')}/id: not there; units are called 0, 1, ...")
    return tuple(range(n_units))


def _heldout(table: h5py.Group, n_units: int) -> tuple[bool, ...] | None:
    column = table.get("heldout")
    if not isinstance(column, h5py.Dataset) or column.shape != (n_units,):
        return None
    return tuple(bool(value) for value in column[...])


def _areas(file: h5py.File, table: h5py.Group, ids: tuple[int, ...]) -> tuple[str, ...] | None:
    """Brain area of each unit, from the electrodes it was seen on."""
    electrodes = file.get("general/extracellular_ephys/electrodes")
    if not isinstance(electrodes, h5py.Group) or "location" not in electrodes:
        return None
    rows = _first_electrodes(table, len(ids))
    locations = [text(value) for value in electrodes["location"][...]]
    if rows is None or bool(np.any(rows < 0)) or bool(np.any(rows >= len(locations))):
        return None
    return tuple(locations[row] for row in _mended(rows, np.array(ids), len(locations)))


def _first_electrodes(table: h5py.Group, n_units: int) -> NDArray[np.int64] | None:
    """Row of the first electrode of each unit; None where a unit has none."""
    electrodes, index = table.get("electrodes"), table.get("electrodes_index")
    if not isinstance(electrodes, h5py.Dataset) or electrodes.dtype.kind not in "iu":
        return None
    rows: NDArray[np.int64] = electrodes[...].astype(np.int64)
    if isinstance(index, h5py.Dataset):
        ends = index[...].astype(np.int64)
        counts = np.diff(ends, prepend=np.int64(0))
        if ends.shape != (n_units,) or bool(np.any(counts < 1)) or ends[-1] > rows.size:
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
