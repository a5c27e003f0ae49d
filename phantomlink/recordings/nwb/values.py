"""The one reader each of scalars, columns and indices, however a writer has shaped them.

A writer that knows no scalars writes arrays of one, and one that knows no vectors columns of
N x 1: both are the number and the column that they hold.
"""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError

MAX_COLUMN_VALUES = 2_000_000
"""A column with more values than this is not read as one."""


def scalar(value: object, what: str) -> float:
    """The number that an attribute or a dataset holds, as a scalar or as an array of one.

    Raises:
        ValueError: it holds something else; the message begins with `what`.
    """
    if isinstance(value, h5py.Dataset):
        if value.size != 1:
            raise ValueError(f"{what} has {value.size} values, not one")
        value = value[()]
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise ValueError(f"{what} is {array.dtype} of shape {array.shape}, not a number")
    return float(array.reshape(-1)[0])


def rows_of(dataset: h5py.Dataset) -> int | None:
    """Rows of a column of N or N x 1; None when it is no column."""
    shape = dataset.shape
    if shape is None or len(shape) == 0 or (len(shape) == 2 and shape[1] != 1) or len(shape) > 2:
        return None
    return int(shape[0])


def column(dataset: h5py.Dataset, path: str) -> NDArray[np.generic]:
    """(N,) of a dataset of N or N x 1, as it is stored.

    Raises:
        RecordingError: it has another shape, or more values than a column has.
    """
    rows = rows_of(dataset)
    if rows is None:
        raise RecordingError(f"{path}: has shape {dataset.shape}, a column has one dimension")
    if rows > MAX_COLUMN_VALUES:
        raise RecordingError(f"{path}: {rows} values are too many for a column")
    values: NDArray[np.generic] = dataset[...].reshape(-1)
    return values


def whole_column(dataset: h5py.Dataset, path: str) -> NDArray[np.int64]:
    """(N,) whole numbers of a dataset of N or N x 1, of an integer or a float type.

    Raises:
        RecordingError: it holds something else.
    """
    values = column(dataset, path)
    kind = values.dtype.kind
    is_whole = kind in "iu" or (
        kind == "f" and bool(np.all(values == np.floor(values)) and np.all(abs(values) < 2**53))
    )
    if not is_whole or (kind == "u" and values.size and int(values.max()) > 2**63 - 1):
        raise RecordingError(f"{path}: is not a list of whole numbers")
    return values.astype(np.int64)


def ragged_ends(index: h5py.Dataset, length: int, path: str) -> NDArray[np.int64]:
    """Where each row of a ragged column ends.

    Args:
        index: the VectorIndex.
        length: of what it points into.
        path: of the index, for the message.

    Returns:
        (n,) int64, not decreasing: NWB writes the smallest unsigned integer that fits, in which
        a difference would wrap around.

    Raises:
        RecordingError: it points outside.
    """
    ends = whole_column(index, path)
    if ends.size and (ends[0] < 0 or ends[-1] > length or bool(np.any(np.diff(ends) < 0))):
        raise RecordingError(
            f"{path}: points outside its data: runs from {ends.min()} to {ends.max()}, "
            f"allowed is ascending, 0 to {length}"
        )
    return ends
