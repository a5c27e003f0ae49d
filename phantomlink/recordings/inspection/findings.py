"""What is in a recording and what is missing: the findings, and the same as JSON."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path

from phantomlink.recordings.anomalies import Anomaly
from phantomlink.recordings.contents import Behaviour, RecordingInfo
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.json_value import JsonValue
from phantomlink.recordings.options import SEARCH, ProgressCallback, SeriesOptions
from phantomlink.recordings.recording import Recording, open_recording
from phantomlink.recordings.trials import Reach, TrialTable

RATE_HZ = Fraction(40)
"""Rate at which bins are counted; the default of the server."""


@dataclass(frozen=True, slots=True)
class UnitSummary:
    """The units of a recording.

    Attributes:
        path: of the unit table.
        n_units: units.
        lowest_id: smallest label.
        highest_id: largest label.
        areas: units of each brain area; empty where the file does not say.
        n_heldout: units that the Neural Latents Benchmark holds out; None where not said.
        n_spikes: of all units together.
        mean_rate_hz: spikes a unit and second, over the whole recording, gaps between trials too.
        labels: ids of the file where the ids are rows; None where the ids are the file's.
    """

    path: str
    n_units: int
    lowest_id: int
    highest_id: int
    areas: dict[str, int]
    n_heldout: int | None
    n_spikes: int
    mean_rate_hz: float
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """One column of the trial table.

    Attributes:
        name: of the column.
        kind: what its values are: number, whole number, text, true/false, list, table.
        n_unknown: rows without a value.
    """

    name: str
    kind: str
    n_unknown: int


@dataclass(frozen=True, slots=True)
class TrialSummary:
    """The trials of a recording.

    Attributes:
        n_trials: rows.
        n_playing: those in which a bin starts.
        mean_seconds: mean length of a trial that plays; None without one.
        columns: of the table.
        target_column: column that says which target was meant; None where there is none.
        target_position_column: column that says where the targets are.
        targets: trials that play of each target id.
        reaches: the distinct places that were aimed at in trials that play.
    """

    n_trials: int
    n_playing: int
    mean_seconds: float | None
    columns: tuple[ColumnSummary, ...]
    target_column: str | None
    target_position_column: str | None
    targets: dict[int, int]
    reaches: tuple[Reach, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in a recording.

    Attributes:
        path: of the file.
        info: what the file says about itself.
        grid: its bins at 40 Hz.
        last_event_seconds: recording clock.
        units: who fired.
        behaviour: series found, and which of them are played.
        trials: when and at what.
        anomalies: what was looked for and not found, left out, or looks doubtful.
        observed_seconds: how long any unit was observed; None where the file does not say.
        files: other files that are read because the recording links to them.
        options: what a person said.
        in_memory: False when the recording is large and played through an index.
    """

    path: Path
    info: RecordingInfo
    grid: BinGrid
    last_event_seconds: float
    units: UnitSummary
    behaviour: Behaviour
    trials: TrialSummary
    anomalies: tuple[Anomaly, ...]
    observed_seconds: float | None
    files: tuple[Path, ...]
    options: SeriesOptions
    in_memory: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """The anomalies as lines."""
        return tuple(map(str, self.anomalies))

    @property
    def commands(self) -> tuple[str, ...]:
        """For each anomaly with an option, the command that looks at the file with it."""
        told = _told_flags(self.options)
        file = shlex.quote(str(self.path))
        flags = dict.fromkeys(each.flags for each in self.anomalies if each.options)
        return tuple(f"phantomlink inspect {file}{told} {flag}" for flag in flags)

    def as_json(self) -> dict[str, JsonValue]:
        """Everything, ready for JSON."""
        behaviour, trials = self.behaviour, self.trials
        return {
            "path": str(self.path),
            "dataset": self.path.stem,
            "synthetic": self.info.is_synthetic,
            "info": asdict(self.info) | {"keywords": list(self.info.keywords)},
            "in_memory": self.in_memory,
            "clock": {
                "t0_seconds": self.grid.t0_seconds,
                "last_event_seconds": self.last_event_seconds,
                "duration_seconds": self.grid.duration_seconds,
                "frequency_hz": float(self.grid.rate_hz),
                "bin_size_ms": self.grid.bin_size_ms,
                "total_packets": self.grid.n_bins,
            },
            "units": asdict(self.units),
            "behaviour": {
                "position": behaviour.position.as_json() if behaviour.position else None,
                "velocity": behaviour.velocity.as_json() if behaviour.velocity else None,
                "target": behaviour.target.as_json() if behaviour.target else None,
                "series": [
                    series.as_json() | {"used_as": behaviour.used_as(series.path)}
                    for series in behaviour.found
                ],
            },
            "trials": {
                "count": trials.n_trials,
                "playing": trials.n_playing,
                "mean_seconds": trials.mean_seconds,
                "columns": [asdict(column) for column in trials.columns],
                "target_column": trials.target_column,
                "target_position_column": trials.target_position_column,
                "targets": [
                    {"target_id": target_id, "n_trials": n}
                    for target_id, n in trials.targets.items()
                ],
                "reaches": [asdict(reach) for reach in trials.reaches],
            },
            "observed_seconds": self.observed_seconds,
            "files": [str(file) for file in self.files],
            "missing": list(self.missing),
            "anomalies": [_anomaly(each) for each in self.anomalies],
            "commands": list(self.commands),
        }


def inspect_recording(
    path: Path,
    options: SeriesOptions = SEARCH,
    *,
    cache_dir: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Inspection:
    """Open a recording and say what is in it.

    Args:
        path: of the file.
        options: what a person said about its series.
        cache_dir: where the index of a large recording goes; see `open_recording`.
        progress: called while that index is made.

    Raises:
        RecordingError: one line that names the file and what is wrong or missing.
    """
    with open_recording(path, options=options, cache_dir=cache_dir, progress=progress) as recording:
        grid = BinGrid.covering(recording.t0_seconds, recording.last_event_seconds, RATE_HZ)
        return Inspection(
            path=path,
            info=recording.info,
            grid=grid,
            last_event_seconds=recording.last_event_seconds,
            units=_units(recording, grid.duration_seconds),
            behaviour=recording.behaviour,
            trials=_trials(recording, grid),
            anomalies=(*recording.anomalies, *_without_bins(recording, grid)),
            observed_seconds=_observed_seconds(recording),
            files=recording.linked_paths,
            options=options,
            in_memory=recording.in_memory,
        )


def _units(recording: Recording, duration_seconds: float) -> UnitSummary:
    units = recording.units
    return UnitSummary(
        path=units.path,
        n_units=len(units.ids),
        lowest_id=min(units.ids),
        highest_id=max(units.ids),
        areas=dict(Counter(filter(None, units.areas or ())).most_common()),
        n_heldout=None if units.heldout is None else sum(units.heldout),
        n_spikes=recording.n_spikes,
        mean_rate_hz=recording.n_spikes / len(units.ids) / duration_seconds,
        labels=units.labels,
    )


def _told_flags(options: SeriesOptions) -> str:
    """What was told, as a shell takes it."""
    told = [
        f" --{option.name.replace('_', '-')} {shlex.quote(str(value))}"
        for option in fields(options)
        if (value := getattr(options, option.name)) != option.default
    ]
    return "".join(told)


def _anomaly(anomaly: Anomaly) -> dict[str, JsonValue]:
    return {
        "place": anomaly.place,
        "what": anomaly.what,
        "remedy": anomaly.remedy or None,
        "options": {f"--{name}": value for name, value in anomaly.options},
        "severity": anomaly.severity.name.lower(),
    }


def _observed_seconds(recording: Recording) -> float | None:
    observed = recording.observed
    if observed is None:
        return None
    return observed.seconds_within(recording.t0_seconds, recording.last_event_seconds)


def _without_bins(recording: Recording, grid: BinGrid) -> Iterator[Anomaly]:
    """Trials that last, but in which no bin starts: shorter than a bin, or under another."""
    rows = [trial.trial_id for trial in recording.trials.without_bins(grid) if trial.plays]
    if rows:
        some = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        yield Anomaly(
            "trials",
            f"in {len(rows)} of {len(recording.trials)} no bin of {grid.bin_size_ms:g} ms starts "
            f"that is theirs (rows {some})",
            "filters do not find them at this rate",
        )


def _trials(recording: Recording, grid: BinGrid) -> TrialSummary:
    trials = recording.trials
    idle = {trial.trial_id for trial in trials.without_bins(grid)}
    playing = [trial for trial in trials if trial.trial_id not in idle]
    lengths = [trial.stop_time - trial.start_time for trial in playing]
    counted = Counter(trial.target_id for trial in playing)
    reached = Counter(trial.reach_id for trial in playing)
    return TrialSummary(
        n_trials=len(trials),
        n_playing=len(playing),
        mean_seconds=sum(lengths) / len(lengths) if lengths else None,
        columns=_columns(trials),
        target_column=recording.target_columns.target,
        target_position_column=recording.target_columns.position,
        targets={
            target_id: counted[target_id] for target_id in trials.target_ids if counted[target_id]
        },
        reaches=tuple(
            replace(reach, n_trials=reached[reach.reach_id])
            for reach in trials.reaches
            if reached[reach.reach_id]
        ),
    )


def _columns(trials: TrialTable) -> tuple[ColumnSummary, ...]:
    if not len(trials):
        return ()
    summaries = []
    for name in trials[0].columns:
        values = [trial.columns[name] for trial in trials]
        known = [value for value in values if value is not None]
        summaries.append(ColumnSummary(name, _kind(known), len(values) - len(known)))
    return tuple(summaries)


def _kind(values: Sequence[JsonValue]) -> str:
    names = {
        bool: "true/false",
        int: "whole number",
        float: "number",
        str: "text",
        list: "list",
        dict: "table",
    }
    kinds = {names[type(value)] for value in values}
    return " or ".join(sorted(kinds)) or "unknown"
