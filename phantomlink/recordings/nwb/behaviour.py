"""Kinematics of bins from the series of an NWB file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.anomalies import AnomalyList, Severity
from phantomlink.recordings.bins import KINEMATICS
from phantomlink.recordings.clocks import SpikeClock, span_of
from phantomlink.recordings.contents import Behaviour, SeriesInfo
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.kinematics import Samples, binned, derivative, held
from phantomlink.recordings.nwb.choice import choose
from phantomlink.recordings.nwb.hdf5 import HDF5_ERRORS, one_line
from phantomlink.recordings.nwb.series import Series
from phantomlink.recordings.nwb.told_series import Choice, told_choice
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
        anomalies: where what is left out is noted.
        spikes: clock of the spikes.

    Raises:
        RecordingError: a told series is not there, or cannot be what was told.
    """

    def __init__(
        self,
        found: Sequence[Series],
        options: SeriesOptions,
        anomalies: AnomalyList,
        spikes: SpikeClock,
    ) -> None:
        self._anomalies = anomalies
        self._spikes = spikes
        position, velocity = choose(found, options.position_series, options.velocity_series)
        target = (
            None
            if options.target_position_series is None
            else told_choice("target_position_series", options.target_position_series, found)
        )
        chosen = [series for c in (position, velocity) if c is not None for series in c.series]
        self._small = sum(_values(series) for series in chosen) <= MEMORY_VALUES
        position_parts = self._usable("position", position, _POSITION)
        velocity_parts = self._usable("velocity", velocity, _VELOCITY)
        position = position if position_parts else None
        velocity = velocity if velocity_parts else None
        if velocity is None:
            velocity_parts = [
                _Part(part.track, tuple(column - 2 for column in part.columns), derived=True)
                for part in position_parts
            ]
        self._parts_of_bins = (*position_parts, *velocity_parts)
        self._target_parts = self._usable("target position", target, (0, 1))
        self.in_memory = all(
            part.track.in_memory for part in (*self._parts_of_bins, *self._target_parts)
        )
        self.summary = Behaviour(
            position=None if position is None else _info(position),
            velocity=_velocity_info(position, velocity),
            found=tuple(_info(Choice((series,), ((),))) for series in found),
            target=_info(target) if target is not None and self._target_parts else None,
        )

    @property
    def memory_bytes(self) -> int:
        """Samples of the series in memory, or every so many-th time of those that are not."""
        tracks = {part.track for part in (*self._parts_of_bins, *self._target_parts)}
        return sum(track.memory_bytes for track in tracks)

    @property
    def has_targets(self) -> bool:
        """Whether a series says where the target is."""
        return bool(self._target_parts)

    def ends(self) -> list[float]:
        """Times of the first and last samples, s, recording clock."""
        return _ends(self._parts_of_bins)

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

    def targets(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.float64]:
        """(stop - start, 2) x, y of the target at the start of each bin; NaN where not known."""
        result = np.full((stop - start, 2), np.nan)
        begin, end = grid.start_of(start), grid.start_of(stop)
        for part in self._target_parts:
            samples = part.track.between(begin, end, _MARGIN_ROWS)
            result[:, part.columns] = held(samples, grid.starts_of(start, stop))
        return result

    def _usable(self, what: str, choice: Choice | None, targets: tuple[int, int]) -> list[_Part]:
        """The parts of a choice; none where it cannot be read, or is on another clock."""
        if choice is None:
            return []
        try:
            parts = list(self._parts(choice, targets))
        except (*HDF5_ERRORS, RecordingError) as error:
            said = one_line(error).removeprefix(f"{choice.path}: ")
            self._anomalies.add(choice.path, f"{said}; it is left out as {what}")
            return []
        span = span_of(_ends(parts))
        if span is not None and self._spikes.misses(span):
            self._anomalies.add(
                choice.path,
                f"its times, {span}, have no moment in common with the spikes, "
                f"{self._spikes.span}; it is left out as {what}",
                "where its clock or unit is another, say so",
                options=[self._spikes.remedy(span, "behaviour-offset-seconds")],
                severity=Severity.DOUBTFUL,
            )
            return []
        if not parts or span is None:
            self._anomalies.add(choice.path, f"has no samples with a time; left out as {what}")
            return []
        return parts

    def _parts(self, choice: Choice, targets: tuple[int, int]) -> Iterator[_Part]:
        left = list(targets)
        for series, columns in zip(choice.series, choice.columns, strict=True):
            mine = tuple(left[: len(columns)])
            left = left[len(columns) :]
            track: Track = (
                read_track(series, columns, self._anomalies)
                if self._small or _values(series) <= MEMORY_VALUES // 8
                else FileTrack(series, columns)
            )
            yield _Part(track, mine, derived=False)


def _ends(parts: Sequence[_Part]) -> list[float]:
    times = (time for part in parts for time in (part.track.first_seconds, part.track.last_seconds))
    return [time for time in times if time is not None]


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
        column_names=first.column_names,
    )


def _velocity_info(position: Choice | None, velocity: Choice | None) -> SeriesInfo | None:
    if velocity is not None:
        return _info(velocity)
    if position is not None:
        unit = position.series[0].unit
        return _info(position, unit=f"{unit}/s" if unit else "", derived=True)
    return None
