"""Trials: when they were, what was aimed at, and which bins belong to them."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import NoMatchingBinsError, TrialNotFoundError
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.json_value import JsonValue

OWN_FIELDS = (
    "trial_id",
    "start_time",
    "stop_time",
    "target_id",
    "target_x",
    "target_y",
    "reach_id",
)
"""What every trial has in JSON, whatever columns its recording has, in this order."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of the trial table.

    Attributes:
        trial_id: row in the trial table.
        start_time: s, recording clock; NaN where the recording does not know.
        stop_time: s, recording clock; NaN where the recording does not know.
        target_id: which of the trial's own targets was aimed at; not a place.
        target_x: where that target is, in the recording's own unit.
        target_y: the same for y; None on a 1-D track.
        reach_id: which of the recording's distinct target places that is.
        columns: every column of the table, ready for JSON.
        target_label: what the recording calls that target, where it has texts for numbers.
    """

    trial_id: int
    start_time: float
    stop_time: float
    target_id: int | None
    target_x: float | None
    target_y: float | None
    reach_id: int | None
    columns: Mapping[str, JsonValue]
    target_label: str | None = None

    @property
    def plays(self) -> bool:
        """Whether it lasts: a trial without a stop, or with one before its start, has no bins."""
        return (
            math.isfinite(self.start_time)
            and math.isfinite(self.stop_time)
            and self.start_time < self.stop_time
        )

    def as_json(self) -> dict[str, JsonValue]:
        """The trial as clients get it: `OWN_FIELDS`, then the table's other columns.

        A column that has the name of one of our fields but is not what that field comes from
        (a table's own `trial_id`, say) is kept as `table_<name>`.
        """
        own: dict[str, JsonValue] = {
            "trial_id": self.trial_id,
            "start_time": _finite(self.start_time),
            "stop_time": _finite(self.stop_time),
            "target_id": self.target_id,
            "target_x": self.target_x,
            "target_y": self.target_y,
            "reach_id": self.reach_id,
        }
        if self.target_label is not None:
            own["target_label"] = self.target_label
        others: dict[str, JsonValue] = {}
        for name, value in self.columns.items():
            if name not in own:
                others[name] = value
            elif own[name] != value:
                others[f"table_{name}"] = value
        return own | others


@dataclass(frozen=True, slots=True)
class Reach:
    """A distinct place that trials aimed at.

    Attributes:
        reach_id: 0, 1, ... in order of angle, counter-clockwise from +x, ties by radius.
        x: in the recording's own unit.
        y: the same; None on a 1-D track.
        n_trials: trials that aimed there.
    """

    reach_id: int
    x: float
    y: float | None
    n_trials: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which trials are wanted; what is None does not matter, what is given must all match."""

    trial_id: int | None = None
    target_id: int | None = None
    reach_id: int | None = None

    def __str__(self) -> str:
        given = [
            f"{name}={value}"
            for name in ("trial_id", "target_id", "reach_id")
            if (value := getattr(self, name)) is not None
        ]
        return ", ".join(given) or "no filter"

    def matches(self, trial: Trial) -> bool:
        """Whether this trial is wanted."""
        return (
            self.trial_id in (None, trial.trial_id)
            and (self.target_id is None or self.target_id == trial.target_id)
            and (self.reach_id is None or self.reach_id == trial.reach_id)
        )


class TrialTable(Sequence[Trial]):
    """The trials of a recording, in table order, which need not be the order of time.

    Args:
        trials: rows, `trial_id` 0, 1, ...
    """

    def __init__(self, trials: Sequence[Trial] = ()) -> None:
        self._trials = tuple(trials)
        self._boundaries, self._owners = _segments(self._trials)
        self.reaches = _reaches(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    @overload
    def __getitem__(self, row: int) -> Trial: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[Trial, ...]: ...
    def __getitem__(self, row: int | slice) -> Trial | tuple[Trial, ...]:
        return self._trials[row]

    @property
    def target_ids(self) -> tuple[int, ...]:
        """The distinct target ids of trials that play, ascending."""
        return tuple(
            sorted({t.target_id for t in self._trials if t.target_id is not None and t.plays})
        )

    @property
    def n_targets(self) -> int:
        """Number of distinct target ids."""
        return len(self.target_ids)

    def by_id(self, trial_id: int) -> Trial:
        """The trial of this row.

        Raises:
            TrialNotFoundError: there is no such row.
        """
        if not 0 <= trial_id < len(self._trials):
            raise TrialNotFoundError(f"no trial {trial_id}; {self._known_trials()}")
        return self._trials[trial_id]

    def by_target(self, target_id: int) -> tuple[Trial, ...]:
        """The trials that aimed at this target.

        Raises:
            TrialNotFoundError: there is none.
        """
        found = tuple(trial for trial in self._trials if trial.target_id == target_id)
        if not found:
            raise TrialNotFoundError(f"no trial with target {target_id}; {self._known_targets()}")
        return found

    def rows_at(self, starts_seconds: NDArray[np.float64]) -> NDArray[np.int32]:
        """Which trial contains each time.

        Args:
            starts_seconds: (n,) recording clock.

        Returns:
            (n,) rows, -1 outside trials. A trial contains its start and not its stop; where
            trials overlap, the one that started last counts.
        """
        if not self._trials:
            return np.full(starts_seconds.shape, -1, dtype=np.int32)
        latest = starts_seconds + _tolerance(starts_seconds)
        return self._owners[np.searchsorted(self._boundaries, latest, side="right")]

    def ranges(self, wanted: Filter, grid: BinGrid) -> tuple[tuple[int, int], ...]:
        """The bins that a filter lets through.

        Args:
            wanted: with nothing given it lets everything through.
            grid: where the bins are.

        Returns:
            Sorted, disjoint, non-empty runs [start, stop); adjacent ones are merged.

        Raises:
            NoMatchingBinsError: no trial matches, or no bin starts inside one that does.
        """
        if wanted == Filter():
            return ((0, grid.n_bins),)
        rows = np.array([trial.trial_id for trial in self._trials if wanted.matches(trial)])
        if not rows.size:
            raise NoMatchingBinsError(f"no trial matches {wanted}; {self._known()}")
        # Owner k + 1 holds from boundary k to boundary k + 1; the last one is always -1.
        firsts = np.clip(_first_bins(self._boundaries, grid), 0, grid.n_bins)
        held = np.flatnonzero(np.isin(self._owners[1:-1], rows))
        runs: list[tuple[int, int]] = []
        for k in held:
            start, stop = int(firsts[k]), int(firsts[k + 1])
            if start >= stop:
                continue
            if runs and runs[-1][1] == start:
                runs[-1] = (runs[-1][0], stop)
            else:
                runs.append((start, stop))
        if not runs:
            raise NoMatchingBinsError(
                f"{wanted} matches trials, but no bin of {grid.bin_size_ms:g} ms starts in them"
            )
        return tuple(runs)

    def without_bins(self, grid: BinGrid) -> tuple[Trial, ...]:
        """The trials in which no bin starts: they match filters that would find nothing."""
        rows = self.rows_at(grid.starts_of(0, grid.n_bins)) if self._trials else ()
        seen = np.zeros(len(self._trials) + 1, dtype=np.bool_)
        seen[rows] = True
        return tuple(trial for trial in self._trials if not seen[trial.trial_id])

    def _known_trials(self) -> str:
        if not self._trials:
            return "the recording has no trials"
        return f"the recording has trials 0 to {len(self._trials) - 1}"

    def _known_targets(self) -> str:
        if not self.target_ids:
            return "the recording names no targets"
        return f"the recording has targets {', '.join(map(str, self.target_ids))}"

    def _known(self) -> str:
        known = [self._known_trials()]
        if self._trials:
            known.append(self._known_targets())
            n = len(self.reaches)
            known.append(f"reaches 0 to {n - 1}" if n else "no target places")
        return "; ".join(known)


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def _tolerance(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far two floats that mean the same time may be apart, s."""
    tolerance: NDArray[np.float64] = 1e-9 + 2 * np.spacing(np.abs(seconds))
    return tolerance


def _first_bins(seconds: NDArray[np.float64], grid: BinGrid) -> NDArray[np.int64]:
    """First bin that starts at or after each time, by the same comparison as `rows_at`."""
    guess = np.ceil((seconds - grid.t0_seconds) * float(grid.rate_hz)).astype(np.int64)
    first = guess + 1
    for candidate in (guess, guess - 1):
        starts = grid.t0_seconds + (candidate * grid.rate_hz.denominator / grid.rate_hz.numerator)
        first = np.where(starts + _tolerance(starts) >= seconds, candidate, first)
    return first


def _segments(trials: Sequence[Trial]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Cut time where the trial that counts may change.

    Returns:
        (m,) boundaries, s, ascending, and (m + 1,) rows: row k + 1 counts from boundary k up
        to boundary k + 1. The first and last rows are -1.
    """
    spans = sorted(
        (trial.start_time, trial.stop_time, trial.trial_id) for trial in trials if trial.plays
    )
    boundaries = sorted({time for start, stop, _ in spans for time in (start, stop)})
    owners = [-1]
    running: list[tuple[float, int, float]] = []
    coming = iter(spans)
    following = next(coming, None)
    for boundary in boundaries:
        while following is not None and following[0] <= boundary:
            start, stop, row = following
            heapq.heappush(running, (-start, -row, stop))
            following = next(coming, None)
        while running and running[0][2] <= boundary:
            heapq.heappop(running)
        owners.append(-running[0][1] if running else -1)
    return np.array(boundaries, dtype=np.float64), np.array(owners, dtype=np.int32)


def _reaches(trials: Sequence[Trial]) -> tuple[Reach, ...]:
    by_id: dict[int, Reach] = {}
    counted = Counter(trial.reach_id for trial in trials if trial.plays)
    for trial in trials:
        if trial.plays and trial.reach_id is not None and trial.target_x is not None:
            by_id.setdefault(
                trial.reach_id,
                Reach(trial.reach_id, trial.target_x, trial.target_y, counted[trial.reach_id]),
            )
    return tuple(by_id[reach_id] for reach_id in sorted(by_id))
