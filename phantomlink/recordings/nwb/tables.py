"""Columns of an NWB table (a DynamicTable), ready for JSON."""

from __future__ import annotations

import h5py

from phantomlink.errors import RecordingError
from phantomlink.recordings.json_value import JsonValue
from phantomlink.recordings.nwb.hdf5 import neurodata_type, ragged_ends, text
from phantomlink.recordings.nwb.to_json import to_json

MAX_COLUMN_VALUES = 2_000_000
"""A column with more values than this is no description of trials, and JSON of it is no use."""


def read_columns(table: h5py.Group) -> tuple[dict[str, list[JsonValue]], list[str]]:
    """Read every column of a table.

    Args:
        table: the group of the table.

    Returns:
        Columns in the table's own order after its `id`, all as long as the table, ragged ones
        as lists of lists; and lines about columns that were left out.

    Raises:
        RecordingError: an index that points outside.
    """
    columns: dict[str, list[JsonValue]] = {}
    left_out: list[str] = []
    for name in _names(table):
        dataset = table[name]
        if dataset.size is None or dataset.size > MAX_COLUMN_VALUES:
            left_out.append(f"{_path(dataset)}: {dataset.size} values are too many for a column")
            continue
        columns[name] = _column(table, name)
    n_rows = len(columns["id" if "id" in columns else next(iter(columns))]) if columns else 0
    for name in [name for name, values in columns.items() if len(values) != n_rows]:
        left_out.append(
            f"{_path(table[name])}: has {len(columns.pop(name))} rows, the table has {n_rows}"
        )
    return columns, left_out


def _names(table: h5py.Group) -> list[str]:
    listed = [text(name) for name in table.attrs.get("colnames", ())]
    datasets = [
        name
        for name in table
        if isinstance(table[name], h5py.Dataset)
        and table[name].ndim > 0
        and neurodata_type(table[name]) != "VectorIndex"
        and not (name.endswith("_index") and name.removesuffix("_index") in table)
    ]
    ordered = ["id", *listed, *datasets]
    return [name for name in dict.fromkeys(ordered) if name in datasets]


def _column(table: h5py.Group, name: str) -> list[JsonValue]:
    values = to_json(table[name][...])
    if not isinstance(values, list):
        raise RecordingError(f"{_path(table[name])}: is not a column")
    while (name := f"{name}_index") in table:
        ends = ragged_ends(table[name], len(values), _path(table[name])).tolist()
        values = [values[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return values


def _path(dataset: h5py.Dataset) -> str:
    return str(dataset.name).lstrip("/")
