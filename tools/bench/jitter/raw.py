"""Everything measured, as JSON: the figures, and all that arrived, packed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..harness.arrivals import Arrivals
from ..harness.text import as_json
from .slices import Measured

ENCODING = (
    "base64 of zlib of int64 (little-endian) differences, the first one from 0: "
    "numpy.frombuffer(zlib.decompress(base64.b64decode(text)), '<i8').cumsum()"
)


def pack(values: NDArray[np.int64]) -> str:
    """A column of integers as text: see `ENCODING`."""
    differences = np.diff(values, prepend=np.int64(0)).astype("<i8")
    return base64.b64encode(zlib.compress(differences.tobytes(), 6)).decode()


def unpack(text: str) -> NDArray[np.int64]:
    """What `pack` packed."""
    packed = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8")
    return np.cumsum(packed, dtype=np.int64)


class RawSlices:
    """Keeps all that arrived, packed as it comes."""

    def __init__(self) -> None:
        self._slices: list[dict[str, Any]] = []

    def __call__(
        self, name: str, index: int, measured: Measured, arrivals: Sequence[Arrivals]
    ) -> None:
        """A slice more."""
        self._slices.append(
            {
                "contestant": name,
                "slice": index,
                "measured": asdict(measured),
                "lost_fraction": measured.lost.fraction,
                "connections": [
                    {each.name: pack(getattr(c, each.name)) for each in fields(Arrivals)}
                    for c in arrivals
                ],
            }
        )

    def write(self, path: Path, about: dict[str, Any]) -> None:
        """Write them, after what is said about the run."""
        document = {**about, "encoding": ENCODING, "slices": self._slices}
        path.write_bytes(as_json(document))
