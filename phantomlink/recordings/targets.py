"""What each trial aimed at: from the columns of a trial table to trials with places.

MC_Maze says it in two columns: `target_pos`, the list of the trial's targets, and
`active_target`, which of the list is meant. Other recordings give one place a trial, in one
column of two numbers or in a column an axis. All of them are read here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from phantomlink.errors import RecordingError
from phantomlink.recordings.json_value import JsonValue
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.trials import Trial, TrialTable

Columns: TypeAlias = Mapping[str, Sequence[JsonValue]]
Place: TypeAlias = "tuple[float, float | None]"

TARGET_COLUMNS = ("active_target", "target_id", "target_index", "target_idx", "target")
POSITION_COLUMNS = (
    "target_pos",
    "target_position",
    "target_positions",
    "target_xy",
    "target_x,target_y",
    "target_pos_x,target_pos_y",
)


@dataclass(frozen=True, slots=True)
class TargetColumns:
    """The columns that say what was aimed at; None where the table has none."""

    target: str | None
    position: str | None

    def labels(self, columns: Columns) -> tuple[str, ...]:
        """Names of the targets where the column has texts, in order of first use; else none."""
        values = () if self.target is None else columns[self.target]
        if not _all_labels(values):
            return ()
        return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def find_target_columns(columns: Columns, options: SeriesOptions) -> TargetColumns:
    """Choose the columns that name and place the targets.

    Args:
        columns: of the trial table.
        options: what a person said.

    Raises:
        RecordingError: a column that was told is not there, or cannot be what was told.
    """
    target = options.target_column
    if target is None:
        target = next((n for n in TARGET_COLUMNS if n in columns and _all_ids(columns[n])), None)
    else:
        _check_told("target_column", target, columns)
        if not (_all_ids(columns[target]) or _all_labels(columns[target])):
            raise RecordingError(
                f"target_column {target!r} holds more than whole numbers, or than texts"
            )
    position = options.target_position_column
    if position is None:
        position = next((n for n in POSITION_COLUMNS if _has_all(n, columns)), None)
    else:
        for name in position.split(","):
            _check_told("target_position_column", name.strip(), columns)
    return TargetColumns(target, position)


def make_trials(columns: Columns, chosen: TargetColumns) -> TrialTable:
    """Build the trials of a table.

    Args:
        columns: each as long as the table; `start_time` and `stop_time` among them.
        chosen: which of them say what was aimed at.

    Returns:
        One trial a row, in table order.
    """
    n_trials = len(columns["start_time"])
    rows = [{name: values[i] for name, values in columns.items()} for i in range(n_trials)]
    labels = chosen.labels(columns)
    numbers = {label: number for number, label in enumerate(labels)}
    ids = [_target_id(row, chosen.target, numbers) for row in rows]
    places = [_place(row, chosen.position, target) for row, target in zip(rows, ids, strict=True)]
    reaches = number_places([place for place in places if place is not None])
    return TrialTable(
        [
            Trial(
                trial_id=i,
                start_time=_seconds(row["start_time"]),
                stop_time=_seconds(row["stop_time"]),
                target_id=target,
                target_x=None if place is None else place[0],
                target_y=None if place is None else place[1],
                reach_id=None if place is None else reaches[_same(place)],
                columns=row,
                target_label=None if target is None or not labels else labels[target],
            )
            for i, (row, target, place) in enumerate(zip(rows, ids, places, strict=True))
        ]
    )


def label_columns(columns: Columns) -> list[str]:
    """Columns that name targets by texts, which are taken only when they are told."""
    return [name for name in TARGET_COLUMNS if name in columns and _all_labels(columns[name])]


def number_places(places: Sequence[Place]) -> dict[Place, int]:
    """Number the distinct places by angle, counter-clockwise from +x in [0, 2 pi), then radius.

    Args:
        places: with repetitions; equal to a millionth of their unit is the same place.
    """

    def angle_and_radius(place: Place) -> tuple[float, float]:
        x, y = place[0], place[1] or 0.0
        angle = math.atan2(y, x)
        return (angle if angle >= 0 else angle + 2 * math.pi), math.hypot(x, y)

    distinct = sorted({_same(place) for place in places}, key=angle_and_radius)
    return {place: reach_id for reach_id, place in enumerate(distinct)}


def _same(place: Place) -> Place:
    # + 0.0 makes -0.0 into 0.0: at -0.0 the angle would be -pi where it is pi.
    return round(place[0], 6) + 0.0, None if place[1] is None else round(place[1], 6) + 0.0


def _check_told(option: str, name: str, columns: Columns) -> None:
    if name not in columns:
        there = f"it has {', '.join(columns)}" if columns else "the recording has no trials"
        raise RecordingError(f"{option} {name!r} is not a column of the trial table; {there}")


def _has_all(names: str, columns: Columns) -> bool:
    return all(name in columns for name in names.split(","))


def _all_ids(values: Sequence[JsonValue]) -> bool:
    return all(value is None or _is_whole(value) for value in values)


def _all_labels(values: Sequence[JsonValue]) -> bool:
    return any(isinstance(value, str) and value for value in values) and all(
        value is None or isinstance(value, str) for value in values
    )


def _target_id(
    row: Mapping[str, JsonValue], column: str | None, numbers: Mapping[str, int]
) -> int | None:
    if column is None:
        return None
    value = row[column]
    return numbers.get(value) if isinstance(value, str) else _whole(value)


def _is_whole(value: JsonValue) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _whole(value: JsonValue) -> int | None:
    """An id; negative ones mean "not known" in the recordings that have them."""
    if not isinstance(value, int | float) or value < 0:
        return None
    return int(value)


def _seconds(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _place(row: Mapping[str, JsonValue], position: str | None, target: int | None) -> Place | None:
    if position is None:
        return None
    names = [name.strip() for name in position.split(",")]
    value = row[names[0]] if len(names) == 1 else [row[name] for name in names]
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        # A list of places, of which the target says one; with a single place it need not.
        if target is None and len(value) == 1:
            value = value[0]
        elif target is not None and target < len(value):
            value = value[target]
        else:
            return None
    numbers = value if isinstance(value, list) else [value]
    if not numbers or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        return None
    x, *rest = (float(n) for n in numbers if isinstance(n, int | float))
    return x, (rest[0] if rest else None)
