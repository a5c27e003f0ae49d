"""Kinematics of bins from the series of an NWB file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.bins import KINEMATICS
from phantomlink.recordings.contents import Behaviour, SeriesInfo
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.kinematics import Samples, binned, derivative
from phantomlink.recordings.nwb.choice import Choice, choose
from phantomlink.recordings.nwb.series import Series
from phantomlink.recordings.nwb.tracks import FileTrack, Track, read_track
from phantomlink.recordings.options import SeriesOptions

MEMORY_VALUES = 4_000_000
"""Behaviour of more numbers than this (times included) is read from the file: 32 MB.

Then a series of an eighth of it still goes into memory: there are at most four."""

_MARGIN_ROWS = 8
"""Rows read on either side of what is asked: the gradient needs two, repeated times a few more."""

_VELOCITY, _POSITION = (0, 1), (2, 3)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Columns of the kinematics that one track fills."""

    track: Track
    columns: tuple[int, ...]
    derived: bool


class NwbBehaviour:
    """Kinematics of bins from the series that were chosen.

    Args:
        found: every series of the file.
        options: what a person said.

    Raises:
        RecordingError: a told series is not there, or one of the chosen cannot be played.
    """

    def __init__(self, found: Sequence[Series], options: SeriesOptions) -> None:
        position, velocity = choose(found, options.position_series, options.velocity_series)
        chosen = [series for c in (position, velocity) if c is not None for series in c.series]
        self._small = sum(_values(series) for series in chosen) <= MEMORY_VALUES
        parts = list(self._parts(position, _POSITION, derived=False))
        if velocity is not None:
            parts += self._parts(velocity, _VELOCITY, derived=False)
        else:
            parts += [
                _Part(part.track, tuple(column - 2 for column in part.columns), derived=True)
                for part in parts
            ]
        self._parts_of_bins = tuple(parts)
        self.in_memory = all(part.track.in_memory for part in parts)
        self.summary = Behaviour(
            position=None if position is None else _info(position),
            velocity=_velocity_info(position, velocity),
            found=tuple(_info(Choice((series,), ((),))) for series in found),
        )

    def ends(self) -> list[float]:
        """Times of the first and last samples, s, recording clock."""
        times = (
            time
            for part in self._parts_of_bins
            for time in (part.track.first_seconds, part.track.last_seconds)
        )
        return [time for time in times if time is not None]

    def kinematics(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.float64]:
        """(stop - start, 4) vx, vy, x, y in the recording's own units; NaN where there is none."""
        result = np.full((stop - start, len(KINEMATICS)), np.nan)
        begin, end = grid.start_of(start), grid.start_of(stop)
        read: dict[Track, Samples] = {}
        for part in self._parts_of_bins:
            samples = read.get(part.track)
            if samples is None:
                samples = read[part.track] = part.track.between(begin, end, _MARGIN_ROWS)
            if part.derived:
                samples = derivative(samples)
            result[:, part.columns] = binned(samples, grid, start, stop)
        return result

    def _parts(
        self, choice: Choice | None, targets: tuple[int, int], *, derived: bool
    ) -> Iterator[_Part]:
        if choice is None:
            return
        left = list(targets)
        for series, columns in zip(choice.series, choice.columns, strict=True):
            mine = tuple(left[: len(columns)])
            left = left[len(columns) :]
            track: Track = (
                read_track(series, columns)
                if self._small or _values(series) <= MEMORY_VALUES // 8
                else FileTrack(series, columns)
            )
            yield _Part(track, mine, derived)


def _values(series: Series) -> int:
    """Numbers that a series has, its times included."""
    return series.rows * (1 + series.columns)


def _info(choice: Choice, *, unit: str | None = None, derived: bool = False) -> SeriesInfo:
    first = choice.series[0]
    return SeriesInfo(
        path=choice.path,
        neurodata_type=first.neurodata_type,
        unit=first.unit if unit is None else unit,
        rate_hz=first.sample_rate_hz(),
        rows=first.rows,
        columns=sum(series.columns for series in choice.series),
        conversion=first.conversion,
        offset=first.offset,
        derived=derived,
    )


def _velocity_info(position: Choice | None, velocity: Choice | None) -> SeriesInfo | None:
    if velocity is not None:
        return _info(velocity)
    if position is not None:
        unit = position.series[0].unit
        return _info(position, unit=f"{unit}/s" if unit else "", derived=True)
    return None
