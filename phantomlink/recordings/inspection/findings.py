"""What is in a recording and what is missing: the findings, and the same as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

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
    """

    path: str
    n_units: int
    lowest_id: int
    highest_id: int
    areas: dict[str, int]
    n_heldout: int | None
    n_spikes: int
    mean_rate_hz: float


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
        mean_seconds: mean length of a trial; None without trials.
        columns: of the table.
        target_column: column that says which target was meant; None where there is none.
        target_position_column: column that says where the targets are.
        targets: trials of each target id.
        reaches: the distinct places that were aimed at.
    """

    n_trials: int
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
        missing: lines about what was looked for and not found, or left out.
        in_memory: False when the recording is large and played through an index.
    """

    path: Path
    info: RecordingInfo
    grid: BinGrid
    last_event_seconds: float
    units: UnitSummary
    behaviour: Behaviour
    trials: TrialSummary
    missing: tuple[str, ...]
    in_memory: bool

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
                "series": [
                    series.as_json() | {"used_as": behaviour.used_as(series.path)}
                    for series in behaviour.found
                ],
            },
            "trials": {
                "count": trials.n_trials,
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
            "missing": list(self.missing),
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
            trials=_trials(recording),
            missing=recording.missing,
            in_memory=recording.in_memory,
        )


def _units(recording: Recording, duration_seconds: float) -> UnitSummary:
    units = recording.units
    return UnitSummary(
        path=units.path,
        n_units=len(units.ids),
        lowest_id=min(units.ids),
        highest_id=max(units.ids),
        areas=dict(Counter(units.areas or ()).most_common()),
        n_heldout=None if units.heldout is None else sum(units.heldout),
        n_spikes=recording.n_spikes,
        mean_rate_hz=recording.n_spikes / len(units.ids) / duration_seconds,
    )


def _trials(recording: Recording) -> TrialSummary:
    trials = recording.trials
    lengths = [
        length for trial in trials if (length := trial.stop_time - trial.start_time) == length
    ]
    counted = Counter(trial.target_id for trial in trials)
    return TrialSummary(
        n_trials=len(trials),
        mean_seconds=sum(lengths) / len(lengths) if lengths else None,
        columns=_columns(trials),
        target_column=recording.target_columns.target,
        target_position_column=recording.target_columns.position,
        targets={target_id: counted[target_id] for target_id in trials.target_ids},
        reaches=trials.reaches,
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
