"""Columns of an NWB table (a DynamicTable), ready for JSON; a bad column costs only itself."""

from __future__ import annotations

from collections import Counter

import h5py
import numpy as np

from phantomlink.errors import RecordingError
from phantomlink.recordings.json_value import JsonValue
from phantomlink.recordings.nwb.hdf5 import HDF5_ERRORS, neurodata_type, one_line, text
from phantomlink.recordings.nwb.to_json import to_json
from phantomlink.recordings.nwb.tree import NwbTree
from phantomlink.recordings.nwb.values import MAX_COLUMN_VALUES, ragged_ends


def read_columns(tree: NwbTree, path: str) -> dict[str, list[JsonValue]]:
    """Read every column of a table.

    Args:
        tree: the file; what is left out is noted there.
        path: of the table.

    Returns:
        Columns in the table's own order after its `id`, all as long as the table, ragged ones
        as lists of lists.
    """
    columns: dict[str, list[JsonValue]] = {}
    for name in _names(tree, path):
        try:
            columns[name] = _column(tree, path, name)
        except (*HDF5_ERRORS, RecordingError) as error:
            said = one_line(error).removeprefix(f"{path}/{name}: ")
            tree.anomalies.add(f"{path}/{name}", f"{said}; the column is left out")
    n_rows = _n_rows(columns)
    for name in [name for name, values in columns.items() if len(values) != n_rows]:
        tree.anomalies.add(
            f"{path}/{name}", f"has {len(columns.pop(name))} rows, the table has {n_rows}"
        )
    return columns


def _n_rows(columns: dict[str, list[JsonValue]]) -> int:
    """Rows of the table: as most of its columns have, and among equals the first of them."""
    lengths = Counter(len(values) for values in columns.values())
    return lengths.most_common(1)[0][0] if lengths else 0


def _names(tree: NwbTree, path: str) -> list[str]:
    group = tree.group(path)
    if group is None:
        return []
    names = set(group)
    listed = [text(name) for name in _listed(group)]
    datasets = [
        name
        for name in group
        if not (name.endswith("_index") and name.removesuffix("_index") in names)
        and (column := tree.dataset(f"{path}/{name}")) is not None
        and column.ndim > 0
        and neurodata_type(column) != "VectorIndex"
    ]
    return [name for name in dict.fromkeys(["id", *listed, *datasets]) if name in datasets]


def _listed(group: h5py.Group) -> list[object]:
    try:
        listed = group.attrs.get("colnames", ())
    except HDF5_ERRORS:  # an attribute of a kind that h5py does not know
        return []
    return list(np.ravel(listed))  # also where it is one value, of whatever kind


def _column(tree: NwbTree, table: str, name: str) -> list[JsonValue]:
    path = f"{table}/{name}"
    dataset = tree.dataset(path)
    if dataset is None or dataset.size is None:
        raise RecordingError(f"{path}: has no values")
    if dataset.size > MAX_COLUMN_VALUES:
        raise RecordingError(f"{path}: {dataset.size} values are too many for a column")
    stored = dataset[...]
    if stored.ndim == 2 and stored.shape[1] == 1:
        stored = stored.reshape(-1)
    values = to_json(stored)
    if not isinstance(values, list):
        raise RecordingError(f"{path}: is not a column")
    names = set(tree.names(table))
    while (name := f"{name}_index") in names:
        index = tree.dataset(f"{table}/{name}")
        if index is None:
            raise RecordingError(f"{path}: its index {name} cannot be read")
        ends = ragged_ends(index, len(values), f"{table}/{name}").tolist()
        values = [values[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return values
