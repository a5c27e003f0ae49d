"""The table of trials of an NWB file: the usual one, or any table of intervals that is told."""

from __future__ import annotations

import math

from phantomlink.errors import RecordingError
from phantomlink.recordings.anomalies import Severity
from phantomlink.recordings.clocks import SpikeClock, span_of
from phantomlink.recordings.json_value import JsonValue
from phantomlink.recordings.nwb.tables import read_columns
from phantomlink.recordings.nwb.tree import NwbTree
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.targets import (
    TargetColumns,
    find_target_columns,
    label_columns,
    make_trials,
)
from phantomlink.recordings.trials import TrialTable

USUAL_TABLE = "intervals/trials"
_PLACES = ("intervals", "processing", "analysis", "scratch", "acquisition")
_TIMES = frozenset({"start_time", "stop_time"})
_TIME_ENDING = "_time"


def find_trials(
    tree: NwbTree, options: SeriesOptions, spikes: SpikeClock
) -> tuple[TrialTable, TargetColumns]:
    """The trials, and which columns say what was aimed at.

    Args:
        tree: the file; what is left out is noted there.
        options: what a person said.
        spikes: clock of the spikes.

    Raises:
        RecordingError: a told table or column is not there, or is none.
    """
    path = USUAL_TABLE if options.trials_table is None else _told(tree, options.trials_table)
    columns = read_columns(tree, path)
    if not columns.keys() >= _TIMES:
        _note_absent(tree, path, has_table=bool(columns))
        return TrialTable(), find_target_columns({}, options)
    chosen = find_target_columns(columns, options)
    if options.trials_offset_seconds:
        columns = _shifted(columns, options.trials_offset_seconds)
    trials = make_trials(columns, chosen)
    span = span_of(
        time for trial in trials if trial.plays for time in (trial.start_time, trial.stop_time)
    )
    if span is not None and spikes.misses(span):
        tree.anomalies.add(
            path,
            f"its times, {span}, have no moment in common with the spikes, {spikes.span}; the "
            "trials are left out",
            "where its clock or unit is another, say so",
            options=[spikes.remedy(span, "trials-offset-seconds")],
            severity=Severity.DOUBTFUL,
        )
        return TrialTable(), chosen
    _note_unplayable(tree, path, trials)
    labels = label_columns(columns) if chosen.target is None else []
    if labels:
        tree.anomalies.add(
            f"{path}/{labels[0]}",
            "names targets by texts, which are not taken by themselves",
            "to take them",
            options=[("target-column", labels[0])],
            severity=Severity.ABSENT,
        )
    return trials, chosen


def interval_tables(tree: NwbTree) -> list[str]:
    """Paths of all tables with a start and a stop time, but those of times that are not valid."""
    return [
        path
        for path in tree.groups(_PLACES)
        if set(tree.names(path)) >= _TIMES and not path.endswith("invalid_times")
    ]


def _told(tree: NwbTree, told: str) -> str:
    tables = interval_tables(tree)
    wanted = told.strip("/")
    named = [path for path in tables if path == wanted] or [
        path for path in tables if path.rpartition("/")[2] == wanted
    ]
    if len(named) != 1:
        there = ", ".join(tables) or "none"
        what = "names several tables" if named else "is not a table with start_time and stop_time"
        raise RecordingError(f"trials_table {told!r} {what}; the recording has: {there}")
    return named[0]


def _note_absent(tree: NwbTree, path: str, *, has_table: bool) -> None:
    others = [table for table in interval_tables(tree) if table != path]
    what = "has no start_time and stop_time, so no trials" if has_table else None
    if others:
        tree.anomalies.add(
            path if has_table else "trials",
            what or f"none at {path}; trial_id is null",
            f"these tables have times too ({', '.join(others)}); to take one",
            options=[("trials-table", others[0])],
            severity=Severity.LEFT_OUT,
        )
    elif what:
        tree.anomalies.add(path, what)
    else:
        tree.anomalies.add("trials", f"none at {path}; trial_id is null", severity=Severity.ABSENT)


def _note_unplayable(tree: NwbTree, path: str, trials: TrialTable) -> None:
    no_time = [t for t in trials if not math.isfinite(t.start_time + t.stop_time)]
    turned = [t for t in trials if t.stop_time < t.start_time]
    empty = [t for t in trials if t.stop_time == t.start_time]
    for found, what in (
        (no_time, "no start or no stop"),
        (turned, "a stop before their start"),
        (empty, "a stop at their start"),
    ):
        if found:
            rows = ", ".join(str(trial.trial_id) for trial in found[:5])
            more = ", ..." if len(found) > 5 else ""
            tree.anomalies.add(
                path,
                f"{len(found)} of {len(trials)} trials have {what} and cannot be played (rows "
                f"{rows}{more})",
            )


def _shifted(columns: dict[str, list[JsonValue]], seconds: float) -> dict[str, list[JsonValue]]:
    """The columns with this added to every column of times."""
    return {
        name: [_add(value, seconds) for value in values] if name.endswith(_TIME_ENDING) else values
        for name, values in columns.items()
    }


def _add(value: JsonValue, seconds: float) -> JsonValue:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return value + seconds
