"""What a picture must show, computed from the recording by another way than the server's."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Truth:
    """A recording's counts and places.

    Attributes:
        counts: (n_bins, n_units), spikes from the file.
        positions: (n_bins, 2), mean x and y of the samples in each bin; NaN where there is none.
    """

    counts: NDArray[np.int64]
    positions: NDArray[np.float64]


def read_truth(path: Path, bin_ms: float = 25.0) -> Truth:
    """Counts and positions straight from the file; an event on an edge belongs to the later bin."""
    with h5py.File(path) as file:
        ends = file["units/spike_times_index"][:]
        times = file["units/spike_times"][:]
        position = file["processing/behavior/cursor_pos"]
        places = position["data"][:].astype(float) * position["data"].attrs.get("conversion", 1.0)
        if "timestamps" in position:
            stamps = position["timestamps"][:]
        else:
            start = position["starting_time"]
            stamps = start[()] + np.arange(len(places)) / start.attrs["rate"]
    last = max(times.max(), stamps.max())
    n_bins = int(np.floor(round(last * 1000 / bin_ms, 6))) + 1
    starts = np.concatenate([[0], ends[:-1]])
    counts = np.zeros((n_bins, len(ends)), np.int64)
    for unit, (start, end) in enumerate(zip(starts, ends, strict=True)):
        bins = np.floor(np.round(times[start:end] * 1000 / bin_ms, 6)).astype(int)
        np.add.at(counts[:, unit], bins[(bins >= 0) & (bins < n_bins)], 1)
    at = np.floor(np.round(stamps * 1000 / bin_ms, 6)).astype(int)
    samples = np.bincount(at, minlength=n_bins)[:n_bins]
    with np.errstate(invalid="ignore"):
        positions = np.column_stack(
            [np.bincount(at, places[:, i], n_bins)[:n_bins] / samples for i in range(2)]
        )
    return Truth(counts, positions)


def image(pixels: dict[str, Any]) -> NDArray[np.uint8]:
    """(height, width, 4) of what `Visit.pixels` gives."""
    raw = np.frombuffer(base64.b64decode(pixels["base64"]), np.uint8)
    return raw.reshape(pixels["height"], pixels["width"], 4)


def raster_colours(picture: NDArray[np.uint8], read: dict[str, Any]) -> NDArray[np.uint8]:
    """(n_columns, n_rows, 3): the colour in the middle of each cell of the raster."""
    plot, width, rows = read["plot"], read["width"], read["rows"]
    n = len(read["packets"])
    columns = np.arange(width - n, width)
    xs = (plot["left"] + (columns + 0.5) * plot["width"] / width).astype(int)
    ys = (plot["top"] + (np.arange(rows) + 0.5) * plot["height"] / rows).astype(int)
    return picture[ys[np.newaxis, :], xs[:, np.newaxis], :3]
