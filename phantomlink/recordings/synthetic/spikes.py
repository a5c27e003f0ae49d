"""Units and their spikes: rates tuned to the planned target and to hand velocity.

The rate of a unit is log-linear: its own level, times what its brain area does around every
movement onset whatever the target, times tuning to the planned target (from when it is shown
until the hand moves; PMd more than M1) and to the velocity that the hand will have 80 to 120 ms
later (M1 more than PMd). Spikes are Poisson in it, apart from a refractory period.

The depths of tuning are such that a ridge regression of hand velocity on these spikes does as
well as on real ones: tests/unit/test_synthetic.py does that regression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.synthetic.kinematics import Kinematics
from phantomlink.recordings.synthetic.task import PlannedTrial

AREAS = ("PMd", "M1")
CHANNELS = 96
"""On each of the two arrays; units of the first are in PMd, of the second in M1."""
UNITS_A_CHANNEL = 9
MAX_UNITS = 2 * CHANNELS * UNITS_A_CHANNEL

CELL_MS = 5
"""Rates are constant in cells of this length."""
TICKS_PER_MS = 30
"""The clock of the spikes runs at 30 kHz."""
REFRACTORY_TICKS = 49
"""The shortest interval in the genuine test file, 1.633 ms."""

# Rates near movement at percentiles of the units, Hz: genuine test file of MC_Maze_Small.
_PERCENTILES = (0.0, 5.0, 25.0, 50.0, 75.0, 95.0, 100.0)
_RATES_HZ = (0.09, 0.23, 1.29, 3.27, 6.36, 11.9, 17.6)
_NEAR_MS = (-250, 450)
"""What "near movement" is: this window around movement onset."""

# Mean rate of an area around movement onset (ms from onset), relative to that at rest: genuine
# test file inside its window, and outside it such that rates are 3.2 Hz over whole trials.
_AROUND_MS = (-350, -250, -200, -150, -100, -50, 0, 100, 200, 300, 450, 650)
_AROUND = {
    "PMd": (1.0, 1.06, 1.34, 1.51, 1.64, 1.64, 1.68, 1.70, 1.70, 1.66, 1.30, 1.0),
    "M1": (1.0, 1.09, 1.34, 1.72, 1.95, 1.93, 1.84, 1.40, 1.22, 1.22, 1.20, 1.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Units in the order of their ids; every array is (n_units,).

    Attributes:
        ids: array * 1000 + channel * 10 + unit, array 1 is in PMd and 2 in M1.
        areas: index into AREAS.
        heldout: whether the benchmark would hold the unit out.
        electrodes: row in the table of 2 * 96 electrodes.
        near_hz: mean rate near movement.
        plan, velocity: preferred direction (rad) and depth of tuning, as (n_units, 2).
        lead_ms: how far the spikes lead the hand.
    """

    ids: NDArray[np.int64]
    areas: NDArray[np.int64]
    heldout: NDArray[np.bool_]
    electrodes: NDArray[np.int64]
    near_hz: NDArray[np.float64]
    plan: NDArray[np.float64]
    velocity: NDArray[np.float64]
    lead_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return self.ids.size


def make_population(n_units: int, rng: np.random.Generator) -> Population:
    """Units in the proportions of MC_Maze_Small: 72 in PMd, 70 in M1, 35 of them held out.

    Args:
        n_units: 1 to MAX_UNITS.
        rng: drawn from.
    """
    room = CHANNELS * UNITS_A_CHANNEL
    n_first = min(max(round(n_units * 72 / 142), n_units - room), room)
    areas = (np.arange(n_units) >= n_first).astype(np.int64)
    slots = np.concatenate([_slots(int(np.sum(areas == k)), rng) for k in range(2)])
    channels, numbers = slots // UNITS_A_CHANNEL, slots % UNITS_A_CHANNEL
    heldout = np.zeros(n_units, dtype=bool)
    heldout[rng.permutation(n_units)[: round(n_units * 35 / 142)]] = True
    # Evenly spread percentiles: the population's mean does not depend on luck.
    percentiles = 100 * (rng.permutation(n_units) + 0.5) / n_units
    depths = rng.gamma(9.0, 1 / 9.0, (2, n_units))
    return Population(
        ids=(areas + 1) * 1000 + (channels + 1) * 10 + numbers + 1,
        areas=areas,
        heldout=heldout,
        electrodes=channels + CHANNELS * areas,
        near_hz=np.interp(percentiles, _PERCENTILES, _RATES_HZ),
        plan=_tuning(depths[0] * np.where(areas == 0, 0.75, 0.35), rng),
        velocity=_tuning(depths[1] * np.where(areas == 0, 0.68, 1.05), rng),
        lead_ms=rng.integers(80, 121, n_units),
    )


def make_spikes(
    population: Population,
    trials: tuple[PlannedTrial, ...],
    kinematics: Kinematics,
    rngs: list[np.random.Generator],
    progress: Callable[[int], None],
) -> list[NDArray[np.float64]]:
    """Spike times of each unit, s, ascending, inside trials only.

    Args:
        population: the units.
        trials: in order.
        kinematics: of the same trials.
        rngs: one for each unit, so that a unit's spikes do not depend on the others.
        progress: called with the number of units done.
    """
    cells = _Cells(trials, kinematics)
    spikes = []
    for unit, rng in enumerate(rngs):
        shape = cells.shape_of(population, unit)
        hz = shape * (population.near_hz[unit] / np.mean(shape[cells.near]))
        counts = rng.poisson(hz * (CELL_MS / 1000))
        ticks = np.repeat(cells.start_ticks, counts)
        ticks += rng.integers(0, CELL_MS * TICKS_PER_MS, ticks.size)
        ticks.sort()
        ticks = ticks[np.diff(ticks, prepend=-REFRACTORY_TICKS) >= REFRACTORY_TICKS]
        spikes.append(np.round(ticks / (1000 * TICKS_PER_MS), 6))
        progress(unit + 1)
    return spikes


class _Cells:
    """All 5 ms cells of all trials, and what the rates in them depend on."""

    def __init__(self, trials: tuple[PlannedTrial, ...], kinematics: Kinematics) -> None:
        lengths = np.diff(kinematics.first_rows)
        # A trial lasts 5 k + 1 ms; its last ms is in no cell.
        per_trial = lengths // CELL_MS
        first_cells = np.cumsum(per_trial) - per_trial
        within_ms = CELL_MS * (np.arange(np.sum(per_trial)) - np.repeat(first_cells, per_trial))

        def of_trial(values: list[int]) -> NDArray[np.int64]:
            return np.repeat(np.array(values, dtype=np.int64), per_trial)

        now = within_ms + of_trial([trial.start_ms for trial in trials])
        self.start_ticks: NDArray[np.int64] = now * TICKS_PER_MS
        from_onset = now - of_trial([trial.move_onset_ms for trial in trials])
        from_target = now - of_trial([trial.target_on_ms for trial in trials])
        self.near = (from_onset >= _NEAR_MS[0]) & (from_onset < _NEAR_MS[1])
        self._rows = within_ms + CELL_MS // 2 + np.repeat(kinematics.first_rows[:-1], per_trial)
        self._last_rows = np.repeat(kinematics.first_rows[1:] - 1, per_trial)
        self._velocity = kinematics.hand_mm_s / 500
        self._speed_squared = np.sum(self._velocity**2, axis=1)
        planning = np.interp(from_target, (80, 230), (0, 1)) * np.interp(
            from_onset, (-40, 160), (1, 0)
        )
        targets = np.array([trial.maze.reached_mm for trial in trials]) / 140
        self._plan = np.repeat(targets, per_trial, axis=0) * planning[:, None]
        self._around = [np.interp(from_onset, _AROUND_MS, _AROUND[area]) for area in AREAS]

    def shape_of(self, population: Population, unit: int) -> NDArray[np.float64]:
        """Rate of a unit in each cell, up to a factor."""
        rows = np.minimum(self._rows + population.lead_ms[unit], self._last_rows)
        # `take` and results in place give the same bits as indices do, for less.
        drive = self._velocity.take(rows, axis=0) @ population.velocity[unit]
        depth = np.hypot(*population.velocity[unit]) ** 2 * self._speed_squared.take(rows)
        # About the logarithm of the mean of exp(drive) over all directions: tuning makes some
        # units fire more and others less, not the population more.
        drive -= depth / (4 + 0.2 * depth)
        drive += self._plan @ population.plan[unit]
        np.exp(np.clip(drive, -3.0, 1.5, out=drive), out=drive)
        drive *= self._around[population.areas[unit]]
        return np.asarray(drive)


def _slots(n_units: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which (channel, number) of an array have a unit; low numbers are likelier, as sorted."""
    weight = np.tile(0.25 ** np.arange(UNITS_A_CHANNEL), CHANNELS)
    slots = rng.choice(weight.size, n_units, replace=False, p=weight / weight.sum())
    return np.sort(slots).astype(np.int64)


def _tuning(depth: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, 2) vectors of the given lengths in even directions."""
    angle = 2 * np.pi * (rng.permutation(depth.size) + rng.random(depth.size)) / depth.size
    return np.stack([depth * np.cos(angle), depth * np.sin(angle)], axis=1)
