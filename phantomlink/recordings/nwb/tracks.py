"""Rows of behaviour by time: all in memory, or read from the file in bounded pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.anomalies import AnomalyList, Severity
from phantomlink.recordings.kinematics import Samples, typical_period
from phantomlink.recordings.nwb.series import RegularTimes, Series

PIECE_ROWS = 262_144
"""Rows read at once when all timestamps of a large series are looked at: 2 MB."""

HDF5_CACHE_BYTES = 2**20
"""What HDF5 keeps of the unpacked chunks of a dataset, unless it is told otherwise."""

STRIDE_ROWS = 1024
"""One timestamp in so many is kept in memory for a large series."""


class Track(Protocol):
    """Samples of some columns of one series, found by time."""

    @property
    def in_memory(self) -> bool:
        """True when reading neither blocks nor touches a file."""
        ...

    @property
    def first_seconds(self) -> float | None:
        """Time of the first, recording clock; None when there are none."""
        ...

    @property
    def last_seconds(self) -> float | None:
        """Time of the last, recording clock; None when there are none."""
        ...

    @property
    def period(self) -> float:
        """Seconds between samples; NaN when not known."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What is kept of it in memory."""
        ...

    def between(self, start_seconds: float, stop_seconds: float, margin: int) -> Samples:
        """Samples from start to stop, and `margin` more on either side where there are any."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MemoryTrack:
    """A track whose samples are all in memory."""

    samples: Samples
    in_memory: bool = True

    @property
    def first_seconds(self) -> float | None:
        """Time of the first sample, recording clock."""
        return float(self.samples.seconds[0]) if self.samples.seconds.size else None

    @property
    def last_seconds(self) -> float | None:
        """Time of the last sample, recording clock."""
        return float(self.samples.seconds[-1]) if self.samples.seconds.size else None

    @property
    def period(self) -> float:
        """Seconds between samples."""
        return self.samples.period

    @property
    def memory_bytes(self) -> int:
        """Times and values."""
        return self.samples.seconds.nbytes + self.samples.values.nbytes

    def between(self, start_seconds: float, stop_seconds: float, margin: int) -> Samples:
        """Samples from start to stop with a margin; views, not copies."""
        seconds = self.samples.seconds
        first, last = np.searchsorted(seconds, (start_seconds, stop_seconds))
        rows = slice(max(int(first) - margin, 0), int(last) + margin)
        return Samples(seconds[rows], self.samples.values[rows], self.samples.period)


def read_track(
    series: Series, columns: tuple[int, ...], anomalies: AnomalyList | None = None
) -> MemoryTrack:
    """Read a whole series.

    Rows without a finite timestamp are left out: they are at no time. Rows that are out of order
    are put in order.

    Args:
        series: where it lies.
        columns: which of its columns are wanted, in this order.
        anomalies: where times that are odd are noted; None: nowhere.
    """
    values = _select(series.scaled(series.data[...]), columns)
    if isinstance(series.times, RegularTimes):
        seconds = _regular(series.times, 0, series.rows)
        return MemoryTrack(Samples(seconds, values, 1 / series.times.rate_hz))
    seconds = _shifted(series, series.times[...])
    known = np.isfinite(seconds)
    if not known.all():
        seconds, values = seconds[known], values[known]
    back = np.flatnonzero(seconds[1:] < seconds[:-1])
    if anomalies is not None and (back.size or not known.all()):
        _note_times(series, seconds, back, int(np.sum(~known)), anomalies)
    if back.size:
        order = np.argsort(seconds, kind="stable")
        seconds, values = seconds[order], values[order]
    return MemoryTrack(Samples(seconds, values, typical_period(seconds)))


class FileTrack:
    """A track that is read piece by piece; opening it looks at every timestamp once.

    Args:
        series: where it lies.
        columns: which of its columns are wanted, in this order.

    Raises:
        RecordingError: timestamps that are not finite or go backwards. A small series is put in
            order in memory, a large one cannot be.
    """

    in_memory = False

    def __init__(self, series: Series, columns: tuple[int, ...]) -> None:
        self._series = series
        self._columns = columns
        self._data = _Rows(series.data)
        if isinstance(series.times, RegularTimes):
            self._times: RegularTimes | _Rows = series.times
            self._coarse = np.empty(0)
            self.period = 1 / series.times.rate_hz
        else:
            self._times = _Rows(series.times)
            self._coarse, self.period = _survey(series, self._times)
        self.first_seconds: float | None = float(self._seconds(0, 1)[0])
        self.last_seconds: float | None = float(self._seconds(series.rows - 1, series.rows)[0])

    @property
    def memory_bytes(self) -> int:
        """The times that are kept."""
        return self._coarse.nbytes

    def between(self, start_seconds: float, stop_seconds: float, margin: int) -> Samples:
        """Samples from start to stop with a margin, from the file.

        Raises:
            RecordingError: fewer rows came than the file should have.
        """
        first, last = self._range(start_seconds, stop_seconds)
        first, last = max(first - margin, 0), min(last + margin, self._series.rows)
        seconds = self._seconds(first, last)
        stored = self._data.read(first, last)
        if stored.shape[0] != last - first or seconds.size != last - first:
            raise RecordingError(
                f"{self._series.path}: {stored.shape[0]} of rows {first} to {last} were read"
            )
        return Samples(seconds, _select(self._series.scaled(stored), self._columns), self.period)

    def _range(self, start_seconds: float, stop_seconds: float) -> tuple[int, int]:
        """Rows [first, last) that hold every sample in [start, stop), and perhaps more."""
        times, rows = self._times, self._series.rows
        if isinstance(times, RegularTimes):
            first = math.floor((start_seconds - times.start_seconds) * times.rate_hz) - 1
            last = math.ceil((stop_seconds - times.start_seconds) * times.rate_hz) + 1
            return min(max(first, 0), rows), min(max(last, 0), rows)
        blocks = np.searchsorted(self._coarse, (start_seconds, stop_seconds))
        coarse_first = max(int(blocks[0]) - 1, 0) * STRIDE_ROWS
        coarse_last = min(int(blocks[1]) * STRIDE_ROWS, rows)
        seconds = self._seconds(coarse_first, coarse_last)
        inside = np.searchsorted(seconds, (start_seconds, stop_seconds))
        return coarse_first + int(inside[0]), coarse_first + int(inside[1])

    def _seconds(self, first: int, last: int) -> NDArray[np.float64]:
        if isinstance(self._times, RegularTimes):
            return _regular(self._times, first, last - first)
        return _shifted(self._series, self._times.read(first, last))


class _Rows:
    """Rows of a dataset; of large compressed chunks, those of the last read are kept unpacked.

    HDF5 keeps unpacked chunks itself, but only in 1 MB: a larger chunk would be unpacked again
    for every few rows that are read from it.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        chunk = dataset.chunks if dataset.compression is not None else None
        chunk_bytes = math.prod(chunk) * dataset.dtype.itemsize if chunk else 0
        self._chunk_rows = chunk[0] if chunk and chunk_bytes > HDF5_CACHE_BYTES else 0
        self._kept: dict[int, NDArray[np.generic]] = {}

    def __len__(self) -> int:
        return int(self._dataset.shape[0])

    def read(self, first: int, last: int) -> NDArray[np.generic]:
        """Rows [first, last), as they are stored."""
        size = self._chunk_rows
        if not size or first >= last:
            rows: NDArray[np.generic] = self._dataset[first:last]
            return rows
        numbers = range(first // size, (last - 1) // size + 1)
        self._kept = {number: chunk for number, chunk in self._kept.items() if number in numbers}
        for number in numbers:
            if number not in self._kept:
                self._kept[number] = self._dataset[number * size : (number + 1) * size]
        parts = [
            self._kept[number][max(first - number * size, 0) : last - number * size]
            for number in numbers
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _survey(series: Series, times: _Rows) -> tuple[NDArray[np.float64], float]:
    """Look at all timestamps once.

    Returns:
        Every STRIDE_ROWS-th one; the median distance.
    """
    coarse, periods = [], []
    last = -np.inf
    for start in range(0, len(times), PIECE_ROWS):
        piece = _shifted(series, times.read(start, min(start + PIECE_ROWS, len(times))))
        steps_back = np.flatnonzero(np.diff(piece, prepend=last) < 0)
        if not np.isfinite(piece).all() or steps_back.size:
            row = start + int(steps_back[0] if steps_back.size else np.argmin(np.isfinite(piece)))
            raise RecordingError(
                f"{series.path}/timestamps: not ascending at row {row}; in a series of "
                f"{series.rows} rows they must be"
            )
        last = float(piece[-1])
        coarse.append(piece[::STRIDE_ROWS])
        periods.append(typical_period(piece))
    known = [period for period in periods if period > 0]
    return np.concatenate(coarse), float(np.median(known)) if known else np.nan


def _shifted(series: Series, stored: NDArray[np.generic]) -> NDArray[np.float64]:
    """(n,) s, recording clock, of timestamps as they are stored: (n,) or (n, 1)."""
    seconds = stored.reshape(-1).astype(np.float64, copy=False)
    # Adding 0 would change nothing but costs a pass over the rows.
    return seconds + series.shift_seconds if series.shift_seconds else seconds


def _note_times(
    series: Series,
    seconds: NDArray[np.float64],
    back: NDArray[np.intp],
    n_unknown: int,
    anomalies: AnomalyList,
) -> None:
    place = f"{series.path}/timestamps"
    if n_unknown:
        anomalies.add(
            place,
            f"{n_unknown} of {series.rows} are no numbers; their rows are left out",
            severity=Severity.DETAIL,
        )
    if back.size:
        row = int(back[0])
        anomalies.add(
            place,
            f"go back {back.size} times, first from {seconds[row]:g} s to {seconds[row + 1]:g} s "
            f"at row {row + 1}; rows are put in order of time",
            "if the clock was started again, stretches of the recording lie over each other",
            severity=Severity.DOUBTFUL if back.size < 10 else Severity.DETAIL,
        )


def _regular(times: RegularTimes, first: int, rows: int) -> NDArray[np.float64]:
    return times.start_seconds + np.arange(first, first + rows) / times.rate_hz


def _select(values: NDArray[np.float64], columns: tuple[int, ...]) -> NDArray[np.float64]:
    """(rows, len(columns)) of (rows,) or (rows, k)."""
    if values.ndim == 1:
        return values[:, np.newaxis]
    if columns == tuple(range(values.shape[1])):
        return values
    return values[:, columns]
