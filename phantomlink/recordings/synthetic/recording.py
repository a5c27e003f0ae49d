"""A synthetic recording before it is a file: everything drawn from one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import InvalidParameterError
from phantomlink.recordings.synthetic.kinematics import Kinematics, make_kinematics
from phantomlink.recordings.synthetic.spikes import (
    MAX_UNITS,
    Population,
    make_population,
    make_spikes,
)
from phantomlink.recordings.synthetic.task import (
    MEAN_TRIAL_MS,
    PlannedTrial,
    make_mazes,
    plan_trials,
)

DEFAULT_UNITS = 142
DEFAULT_TRIALS = 100
MAX_TRIALS = 2000
"""96 minutes. All of it is made in memory: 1.2 GB for an hour of 142 units."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticRecording:
    """Trials, behaviour, units and spikes that belong together.

    Attributes:
        seed: that they were drawn from.
        trials: in order.
        kinematics: rows inside the trials.
        population: the units.
        spikes: seconds of each unit, ascending, recording clock, inside trials.
    """

    seed: int
    trials: tuple[PlannedTrial, ...]
    kinematics: Kinematics
    population: Population
    spikes: list[NDArray[np.float64]]


def draw_recording(
    *,
    units: int = DEFAULT_UNITS,
    trials: int | None = None,
    seed: int = 0,
    duration_seconds: float | None = None,
    progress: Callable[[int], None] = lambda units_done: None,
) -> SyntheticRecording:
    """Draw a recording; the same arguments give the same arrays.

    Args:
        units: 1 to MAX_UNITS.
        trials: 1 to MAX_TRIALS; 100 when neither this nor a duration is given.
        seed: 0 or more. Trials and behaviour do not depend on the number of units.
        duration_seconds: as many whole trials as reach this time, instead of `trials`.
        progress: called with the number of units done.

    Raises:
        InvalidParameterError: an argument outside its range, or both trials and a duration.
    """
    check_arguments(units=units, trials=trials, seed=seed, duration_seconds=duration_seconds)
    root = np.random.SeedSequence(seed)
    for_mazes, for_trials, for_hand, for_units, for_spikes = root.spawn(5)
    mazes = make_mazes(np.random.default_rng(for_mazes))

    def plan(n_trials: int) -> tuple[PlannedTrial, ...]:
        return plan_trials(n_trials, mazes, np.random.default_rng(for_trials))

    if duration_seconds is None:
        planned = plan(DEFAULT_TRIALS if trials is None else trials)
    else:
        planned = _reaching(duration_seconds, plan)
    kinematics = make_kinematics(planned, np.random.default_rng(for_hand))
    population = make_population(units, np.random.default_rng(for_units))
    rngs = [np.random.default_rng(sequence) for sequence in for_spikes.spawn(units)]
    spikes = make_spikes(population, planned, kinematics, rngs, progress)
    return SyntheticRecording(seed, planned, kinematics, population, spikes)


def check_arguments(
    *, units: int, trials: int | None, seed: int, duration_seconds: float | None
) -> None:
    """Refuse what `draw_recording` cannot draw.

    Raises:
        InvalidParameterError: which one, what it was and what is allowed.
    """
    if not 1 <= units <= MAX_UNITS:
        raise InvalidParameterError(f"units: got {units}, allowed is 1 to {MAX_UNITS}")
    if seed < 0:
        raise InvalidParameterError(f"seed: got {seed}, allowed is 0 or more")
    if trials is not None and duration_seconds is not None:
        raise InvalidParameterError("trials and duration: give one of them, not both")
    if trials is not None and not 1 <= trials <= MAX_TRIALS:
        raise InvalidParameterError(f"trials: got {trials}, allowed is 1 to {MAX_TRIALS}")
    longest = MAX_TRIALS * MEAN_TRIAL_MS / 1000
    # Written so that NaN is refused too.
    if duration_seconds is not None and not 0 < duration_seconds <= longest:
        raise InvalidParameterError(
            f"duration: got {duration_seconds} s, allowed is more than 0, up to {longest:g} s"
        )


def _reaching(
    seconds: float, plan: Callable[[int], tuple[PlannedTrial, ...]]
) -> tuple[PlannedTrial, ...]:
    """The fewest trials whose last stop is at or after this time."""
    # With its gap a trial takes 2.94 s on average, so this is just too few or just enough.
    n_trials = max(1, int(seconds / 2.94) - 2)
    while (planned := plan(n_trials))[-1].stop_ms < 1000 * seconds:
        n_trials += 1
    return planned
