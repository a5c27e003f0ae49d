"""What a file holds, as JSON can say it."""

from __future__ import annotations

import math

import h5py
import numpy as np

from phantomlink.recordings.json_value import JsonValue


def to_json(value: object) -> JsonValue:
    """A value read through h5py, ready for JSON.

    NaN and infinities become None, bytes text, arrays lists of lists, compound rows dicts, and a
    reference to another place of the file an opaque text: what it points at is not data.
    """
    if isinstance(value, np.generic) and not isinstance(value, np.void):
        value = value.item()  # before all else: numpy's float64 is a float too
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, h5py.Reference | h5py.RegionReference):
        return "<reference>" if value else None
    if isinstance(value, np.void) and value.dtype.names:
        return {name: to_json(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biu":
            return value.tolist()  # type: ignore[no-any-return]
        if value.ndim == 0:
            return to_json(value[()])
        return [to_json(item) for item in value]
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return str(value)
