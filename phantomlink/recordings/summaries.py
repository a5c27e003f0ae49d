"""Figures of a whole recording for those who look before they play: overview, units, PSTH.

They read the recording in bounded pieces, block, and belong in its worker thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import InvalidParameterError
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.recording import Recording

MAX_COLUMNS = 10_000
MAX_PSTH_BINS = 2_000
MAX_PSTH_TRIALS = 5_000
_PIECE_BINS = 4096
_MAX_GROUPS = 100


def overview(recording: Recording, bins: Bins, columns: int) -> dict[str, Any]:
    """Spikes and mean speed of each of so many stretches, and where the trials are.

    Bins that were not observed are left out of both.

    Raises:
        InvalidParameterError: too many columns, or none.
    """
    if not 1 <= columns <= MAX_COLUMNS:
        raise InvalidParameterError(f"columns: got {columns}, takes 1 to {MAX_COLUMNS}")
    grid = bins.grid
    columns = min(columns, grid.n_bins)
    edges = np.arange(columns + 1, dtype=np.int64) * grid.n_bins // columns
    spikes = np.zeros(columns, dtype=np.int64)
    speed_sums, speed_counts = np.zeros(columns), np.zeros(columns, dtype=np.int64)
    observed_bins = np.zeros(columns, dtype=np.int64)
    for start in range(0, grid.n_bins, _PIECE_BINS):
        block = bins.read(start, min(start + _PIECE_BINS, grid.n_bins))
        n = len(block.counts)
        at = np.searchsorted(edges, np.arange(start, start + n), side="right") - 1
        observed = np.ones(n, dtype=np.bool_) if block.observed is None else block.observed
        np.add.at(spikes, at[observed], block.counts[observed].sum(axis=1, dtype=np.int64))
        np.add.at(observed_bins, at[observed], 1)
        speed = _speed(block.kinematics)
        known = np.isfinite(speed) & observed
        np.add.at(speed_sums, at[known], speed[known])
        np.add.at(speed_counts, at[known], 1)
    mean = [
        total / n if n else None
        for total, n in zip(speed_sums.tolist(), speed_counts.tolist(), strict=True)
    ]
    return {
        "t0_seconds": grid.t0_seconds,
        "duration_seconds": grid.duration_seconds,
        "edges_seconds": [grid.start_of(int(edge)) for edge in edges],
        "spikes": [
            n if seen else None
            for n, seen in zip(spikes.tolist(), (observed_bins > 0).tolist(), strict=True)
        ],
        "mean_speed": mean,
        "trials": [
            {"trial_id": t.trial_id, "start_time": t.start_time, "stop_time": t.stop_time}
            for t in recording.trials
            if t.plays
        ],
    }


def units(recording: Recording, bins: Bins) -> list[dict[str, Any]]:
    """Each unit: id, location, spikes, mean rate and Fano factor over observed time."""
    table, grid = recording.units, bins.grid
    n_units = len(table.ids)
    sums, squares = np.zeros(n_units), np.zeros(n_units)
    every = np.zeros(n_units, dtype=np.int64)
    n_bins = 0
    for start in range(0, grid.n_bins, _PIECE_BINS):
        block = bins.read(start, min(start + _PIECE_BINS, grid.n_bins))
        every += block.counts.sum(axis=0, dtype=np.int64)
        seen = block.counts if block.observed is None else block.counts[block.observed]
        counts = seen.astype(np.float64)
        sums += counts.sum(axis=0)
        squares += (counts**2).sum(axis=0)
        n_bins += len(counts)
    seconds = n_bins * grid.bin_size_ms / 1000
    mean = sums / max(n_bins, 1)
    variance = squares / max(n_bins, 1) - mean**2
    intervals = table.observed_by_unit
    return [
        {
            "id": table.ids[row],
            "label": None if table.labels is None else table.labels[row],
            "location": (table.areas[row] or None) if table.areas else None,
            "n_spikes": int(every[row]),
            "mean_rate_hz": float(sums[row] / seconds) if seconds else None,
            "fano_factor": float(variance[row] / mean[row]) if mean[row] > 0 else None,
            "observed": None if intervals is None else intervals[row].tolist(),
        }
        for row in range(n_units)
    ]


@dataclass(frozen=True, slots=True)
class PsthRequest:
    """What a PSTH is made of.

    Attributes:
        unit: id or label of the unit.
        align: column of times of the trials, or start_time.
        before, after: s around that time.
        bin_ms: width of a bin.
        group_by: column, or member of a trial, that groups them; None: one group.
    """

    unit: str
    align: str
    before: float
    after: float
    bin_ms: float
    group_by: str | None


def psth(recording: Recording, wanted: PsthRequest) -> dict[str, Any]:
    """Mean rate of a unit around an event, by group of trials.

    Raises:
        InvalidParameterError: there is no such unit or column, or no trial has the event.
    """
    column = unit_column(recording, wanted.unit)
    n_bins, rate = _psth_bins(wanted)
    groups: dict[str, list[NDArray[np.float64]]] = {}
    names: dict[str, object] = {}
    for trial, time in _events(recording, wanted):
        value = None if wanted.group_by is None else trial.get(wanted.group_by)
        if isinstance(value, list | dict):
            raise InvalidParameterError(
                f"group_by: {wanted.group_by!r} holds lists, takes a column of single values"
            )
        if wanted.group_by is not None and value is None:
            continue
        names.setdefault(repr(value), value)
        if len(names) > _MAX_GROUPS:
            raise InvalidParameterError(
                f"group_by: {wanted.group_by!r} has more than {_MAX_GROUPS} values"
            )
        grid = BinGrid(time - wanted.before, rate, n_bins)
        counts = recording.counts(grid, 0, n_bins)[:, column]
        groups.setdefault(repr(value), []).append(counts.astype(np.float64))
    if not groups:
        grouped = "" if wanted.group_by is None else f" and a value in {wanted.group_by!r}"
        raise InvalidParameterError(f"align: no trial has a time in {wanted.align!r}{grouped}")
    edges = [-wanted.before + k * wanted.bin_ms / 1000 for k in range(n_bins + 1)]
    return {
        "unit": recording.unit_ids[column],
        "align": wanted.align,
        "edges_seconds": edges,
        "groups": [
            {
                "value": names[key],
                "n_trials": len(groups[key]),
                "rate_hz": (np.mean(groups[key], axis=0) * float(rate)).tolist(),
            }
            for key in sorted(groups, key=lambda key: (str(type(names[key])), _order(names[key])))
        ],
    }


def unit_column(recording: Recording, unit: str) -> int:
    """Column of the unit with this id, or this label where one unit has it.

    Raises:
        InvalidParameterError: there is none, or several.
    """
    ids, labels = recording.unit_ids, recording.units.labels or ()
    if unit.lstrip("-").isdigit() and int(unit) in ids:
        return ids.index(int(unit))
    found = [column for column, label in enumerate(labels) if label == unit]
    if len(found) != 1:
        what = "several units have this label" if found else "no unit has it"
        some = ", ".join(map(str, ids[:8]))
        raise InvalidParameterError(f"id: got {unit[:80]!r}, {what}; takes {some}, ...")
    return found[0]


def _psth_bins(wanted: PsthRequest) -> tuple[int, Fraction]:
    for name, value, low, high in (
        ("before", wanted.before, 0.0, 60.0),
        ("after", wanted.after, 0.0, 60.0),
        ("bin_ms", wanted.bin_ms, 1.0, 1000.0),
    ):
        if not low <= value <= high:
            raise InvalidParameterError(f"{name}: got {value:g}, takes {low:g} to {high:g}")
    width = Fraction(wanted.bin_ms).limit_denominator(1_000_000) / 1000
    n_bins = math.floor(Fraction(wanted.before + wanted.after) / width + Fraction(1, 10**6))
    if not 1 <= n_bins <= MAX_PSTH_BINS:
        raise InvalidParameterError(
            f"before, after, bin_ms: make {n_bins} bins, takes 1 to {MAX_PSTH_BINS}"
        )
    return n_bins, 1 / width


def _events(recording: Recording, wanted: PsthRequest) -> list[tuple[dict[str, Any], float]]:
    """Trials, as JSON has them, with the time of the event."""
    trials = [trial.as_json() for trial in recording.trials if trial.plays][:MAX_PSTH_TRIALS]
    if not trials:
        raise InvalidParameterError("align: the recording has no trials that play")
    for name, column in (("align", wanted.align), ("group_by", wanted.group_by)):
        if column is not None and column not in trials[0]:
            raise InvalidParameterError(
                f"{name}: {column[:80]!r} is not a column of the trials; takes "
                f"{', '.join(trials[0])}"
            )
    return [
        (trial, float(time))
        for trial in trials
        if isinstance(time := trial[wanted.align], int | float) and not isinstance(time, bool)
    ]


def _order(value: object) -> Any:
    return value if isinstance(value, int | float) else str(value)


def _speed(kinematics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of the velocity; of a track that has one axis alone, of that."""
    vx, vy = kinematics[:, 0], kinematics[:, 1]
    speed: NDArray[np.float64] = np.hypot(vx, np.where(np.isnan(vy), 0.0, vy))
    return speed
