"""Spike counts that a file holds already binned: a series of bins x units."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import InvalidParameterError, RecordingError, TooManySpikesError
from phantomlink.recordings.anomalies import AnomalyList, Severity
from phantomlink.recordings.contents import UnitTable
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.nwb.hdf5 import text
from phantomlink.recordings.nwb.series import RegularTimes, Series
from phantomlink.recordings.nwb.told_series import named_series

MAX_COUNTS = 2**25
"""64 MB in memory: 96 units at 50 Hz for two hours."""

_MOST_COUNT = np.iinfo(np.uint16).max
_JITTER = 1e-3
"""Timestamps may leave an even spacing by this share of it."""


class CountsSeries:
    """Counts of a series, in memory; see `phantomlink.recordings.spikes.SpikeSource`.

    Args:
        series: (rows, units) whole numbers, evenly spaced in time.

    Raises:
        RecordingError: it is something else, or too large.
    """

    in_memory = True

    def __init__(self, series: Series) -> None:
        if series.data.size > MAX_COUNTS:
            raise RecordingError(
                f"{series.path}: {series.data.size} counts are more than {MAX_COUNTS}, the most "
                "that are played from a series"
            )
        stored = series.scaled(series.data[...]).reshape(series.rows, -1)
        if not (np.isfinite(stored).all() and (stored >= 0).all() and (stored % 1 == 0).all()):
            raise RecordingError(f"{series.path}: holds more than whole numbers from 0 on")
        if stored.size and stored.max() > _MOST_COUNT:
            raise RecordingError(f"{series.path}: a count is above {_MOST_COUNT}")
        self._path = series.path
        self._counts = stored.astype(np.uint16)
        self._start, self._rate_hz = _spacing(series)
        self.n_spikes = int(self._counts.sum(dtype=np.int64))

    @property
    def n_units(self) -> int:
        """Columns."""
        return int(self._counts.shape[1])

    @property
    def rate_hz(self) -> float:
        """Rows a second."""
        return float(self._rate_hz)

    @property
    def first_seconds(self) -> float | None:
        """Start of the first row, recording clock."""
        return self._start if len(self._counts) else None

    @property
    def last_seconds(self) -> float | None:
        """Start of the last row, recording clock."""
        rows = len(self._counts)
        return self._start + (rows - 1) / float(self._rate_hz) if rows else None

    @property
    def memory_bytes(self) -> int:
        """All counts."""
        return self._counts.nbytes

    def check_rate(self, grid: BinGrid) -> None:
        """Whether bins of this grid are made of whole rows.

        Raises:
            InvalidParameterError: they are not; says which rates would be.
        """
        rows_a_bin = self._rate_hz / grid.rate_hz
        shift = (self._start - grid.t0_seconds) * float(self._rate_hz)
        if rows_a_bin.denominator != 1 or abs(shift - round(shift)) > 1e-3:
            own = float(self._rate_hz)
            rates = ", ".join(f"{own / k:g}" for k in (1, 2, 4, 5))
            raise InvalidParameterError(
                f"{self._path}: counts in bins of {1000 / own:g} ms can be played at {own:g} Hz "
                f"or that divided by a whole number ({rates}, ...), not at "
                f"{float(grid.rate_hz):g} Hz: --stream-frequency-hz {own:g}"
            )

    def counts(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.uint16]:
        """(stop - start, n_units) counts of bins [start, stop).

        Raises:
            InvalidParameterError: bins are not made of whole rows.
            TooManySpikesError: more than 65535 in one bin.
        """
        self.check_rate(grid)
        rows_a_bin = int(self._rate_hz / grid.rate_hz)
        first = start * rows_a_bin - round((self._start - grid.t0_seconds) * float(self._rate_hz))
        last = first + (stop - start) * rows_a_bin
        rows = np.zeros((last - first, self.n_units), dtype=np.uint32)
        inside = slice(max(first, 0), max(min(last, len(self._counts)), 0))
        rows[inside.start - first : inside.start - first + len(self._counts[inside])] = (
            self._counts[inside]
        )
        summed = rows.reshape(stop - start, rows_a_bin, -1).sum(axis=1)
        if summed.size and summed.max() > _MOST_COUNT:
            raise TooManySpikesError(
                f"more than {_MOST_COUNT} spikes of one unit in one bin: choose a higher rate"
            )
        counts: NDArray[np.uint16] = summed.astype(np.uint16)
        return counts

    def check(self) -> None:
        """It reads from nowhere."""

    def close(self) -> None:
        """Nothing is held open."""


def told_counts(
    found: Sequence[Series], told: str, anomalies: AnomalyList
) -> tuple[CountsSeries, UnitTable]:
    """The counts of the series that a person named, and their units: columns 0, 1, ...

    Raises:
        RecordingError: there is no such series, or it cannot be counts.
    """
    series = named_series("counts_series", told, found)
    source = CountsSeries(series)
    if not source.n_units or not series.rows:
        raise RecordingError(f"{series.path}: has no counts; nothing to play")
    anomalies.add(
        series.path,
        f"counts in bins of {1000 / source.rate_hz:g} ms are played in place of spikes, at "
        f"{source.rate_hz:g} Hz or that divided by a whole number (--stream-frequency-hz)",
        severity=Severity.DETAIL,
    )
    ids = tuple(range(source.n_units))
    return source, UnitTable(path=series.path, ids=ids, ends=np.zeros(0, dtype=np.int64))


def hint_at_counts(found: Sequence[Series]) -> str:
    """Where counts seem to be, as the end of a refusal; empty where there are none."""
    for series in found:
        words = f"{series.path} {series.unit} {text(series.description)}".lower()
        if series.data.ndim == 2 and series.columns > 1 and ("spike" in words or "count" in words):
            rate = series.sample_rate_hz()
            flags = f"--counts-series {series.path}"
            if rate:
                flags += f" --stream-frequency-hz {rate:g}"
            return (
                f"; {series.path} seems to be counts, {series.rows} bins x {series.columns} units"
                f"{f' at {rate:g} Hz' if rate else ''}: {flags}"
            )
    return ""


def _spacing(series: Series) -> tuple[float, Fraction]:
    """Start of the first row, s, and rows a second."""
    if isinstance(series.times, RegularTimes):
        rate = Fraction(series.times.rate_hz).limit_denominator(1_000_000)
        return series.times.start_seconds, rate
    seconds = series.times[...].reshape(-1).astype(np.float64) + series.shift_seconds
    steps = np.diff(seconds)
    if not steps.size or not np.isfinite(steps).all() or not (steps > 0).all():
        raise RecordingError(f"{series.path}: timestamps of counts must ascend")
    step = float((seconds[-1] - seconds[0]) / steps.size)
    if float(np.max(np.abs(steps - step))) > _JITTER * step:
        raise RecordingError(
            f"{series.path}: timestamps of counts must be evenly spaced; steps are "
            f"{steps.min():g} s to {steps.max():g} s"
        )
    return float(seconds[0]), Fraction(round(1 / step, 4)).limit_denominator(10_000)
