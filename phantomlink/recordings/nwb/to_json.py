"""What a file holds, as JSON can say it."""

from __future__ import annotations

import math

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.files.shown import cut
from phantomlink.recordings.json_value import JsonValue
from phantomlink.recordings.nwb.hdf5 import text

MAX_EXACT = 2**53 - 1
"""Whole numbers beyond this are not exact as doubles."""

_MAX_CHARACTERS = 10_000


def to_json(value: object) -> JsonValue:
    """A value read through h5py, ready for JSON.

    NaN and infinities become None, bytes text, arrays lists of lists, compound rows dicts, and a
    reference to another place of the file an opaque text: what it points at is not data. Whole
    numbers that a double does not hold become texts, and long texts are cut.
    """
    if isinstance(value, np.generic) and not isinstance(value, np.void):
        value = value.item()  # before all else: numpy's float64 is a float too
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # In the JSON of many languages a larger number would be another one.
        return value if abs(value) <= MAX_EXACT else str(value)
    if isinstance(value, str | bytes):
        return cut(text(value), _MAX_CHARACTERS)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, h5py.Reference | h5py.RegionReference):
        return "<reference>" if value else None
    if isinstance(value, np.void) and value.dtype.names:
        return {name: to_json(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biu" and _is_exact(value):
            return value.tolist()  # type: ignore[no-any-return]
        if value.ndim == 0:
            return to_json(value[()])
        return [to_json(item) for item in value]
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return str(value)


def _is_exact(values: NDArray[np.generic]) -> bool:
    if values.dtype.itemsize < 8 or not values.size:
        return True
    return int(values.max()) <= MAX_EXACT and int(values.min()) >= -MAX_EXACT
