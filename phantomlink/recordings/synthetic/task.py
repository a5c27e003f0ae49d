"""The delayed-reach maze task: mazes, and when things happen in each trial.

Everything here is in whole milliseconds of the recording's clock, as in the real file, whose
trials last 5 k + 1 ms and start on the next tenth of a second that is at least 10 ms after the
last stop: that leaves the gaps of 14 to 109 ms in which a recording has no rows at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Where hands end up, mm: the known ones of MC_Maze_Small and two more to make three positions
# down-left and two in each other quadrant.
REACHED_MM = (
    (-118, -83),
    (-91, -70),
    (-82, -86),
    (133, -81),
    (116, -77),
    (-77, 82),
    (-124, 64),
    (27, 82),
    (112, 68),
)

MEAN_TRIAL_MS = 2877
SHORTEST_TRIAL_MS = 2051
LONGEST_TRIAL_MS = 3546
SHORTEST_AFTER_ONSET_MS = 680
"""Room for the slowest reach and a short hold."""

# Of 100 trials: (trial_version, active_target or None where there is one target) -> how many.
# Version 0 is one target, 1 one target and barriers, 2 three targets and barriers.
_MIX = ((0, 0, 32), (1, 0, 34), (2, 0, 11), (2, 1, 11), (2, 2, 12))
N_BARRIERS = 9


@dataclass(frozen=True, slots=True, eq=False)
class Maze:
    """One arrangement of targets and barriers, played in three versions.

    Attributes:
        maze_id: 1 to 9.
        reached_mm: the target that can be reached.
        unreachable_mm: two more, shown in version 2 only.
        active_target: index of the reachable one among the three of version 2.
        bend_mm: how far the way around the barriers leaves the straight line; its sign is a side.
        barriers_mm: (9, 4) int64, centre x, y and half width, half height.
    """

    maze_id: int
    reached_mm: tuple[int, int]
    unreachable_mm: tuple[tuple[int, int], tuple[int, int]]
    active_target: int
    bend_mm: float
    barriers_mm: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PlannedTrial:
    """One trial; times are whole ms of the recording's clock."""

    start_ms: int
    stop_ms: int
    target_on_ms: int
    go_cue_ms: int
    move_onset_ms: int
    version: int
    maze: Maze
    split: str

    @property
    def duration_ms(self) -> int:
        """Length, and rows of behaviour: the row at the stop is the first that is not there."""
        return self.stop_ms - self.start_ms

    @property
    def active_target(self) -> int:
        """Index of the target that is reached in `targets_mm`."""
        return self.maze.active_target if self.version == 2 else 0

    @property
    def targets_mm(self) -> NDArray[np.int64]:
        """(1 or 3, 2) x, y of the targets that are shown."""
        targets = [self.maze.reached_mm]
        if self.version == 2:
            targets = list(self.maze.unreachable_mm)
            targets.insert(self.maze.active_target, self.maze.reached_mm)
        return np.array(targets, dtype=np.int64)

    @property
    def barriers_mm(self) -> NDArray[np.int64]:
        """(0 or 9, 4) barriers that are shown."""
        return self.maze.barriers_mm if self.version else np.empty((0, 4), dtype=np.int64)


def make_mazes(rng: np.random.Generator) -> tuple[Maze, ...]:
    """One maze for each reached position, three for each place among the targets."""
    return tuple(
        _make_maze(number, position, number % 3, rng) for number, position in enumerate(REACHED_MM)
    )


def plan_trials(
    n_trials: int, mazes: tuple[Maze, ...], rng: np.random.Generator
) -> tuple[PlannedTrial, ...]:
    """Trials in the order in which they are run.

    Every share (versions, active targets, mazes, the validation quarter) is as even as whole
    numbers allow and only the order is random, so that a short recording is like a long one.

    Args:
        n_trials: at least 1.
        mazes: as made by `make_mazes`.
        rng: drawn from.
    """
    conditions = _conditions(n_trials, mazes, rng)
    target_on = rng.integers(670, 971, n_trials)
    delay = rng.integers(32, 932, n_trials)
    reaction = np.minimum(272 + rng.gamma(2.2, 55.0, n_trials).astype(np.int64), 953)
    onset = target_on + delay + reaction
    durations = _durations(onset + rng.integers(950, 1451, n_trials), onset, rng)
    validation = np.zeros(n_trials, dtype=bool)
    validation[rng.permutation(n_trials)[: round(n_trials / 4)]] = True
    trials = []
    start = 0
    for row, (maze, version) in enumerate(conditions):
        stop = start + int(durations[row])
        trials.append(
            PlannedTrial(
                start_ms=start,
                stop_ms=stop,
                target_on_ms=start + int(target_on[row]),
                go_cue_ms=start + int(target_on[row] + delay[row]),
                move_onset_ms=start + int(onset[row]),
                version=version,
                maze=maze,
                split="val" if validation[row] else "train",
            )
        )
        start = -(-(stop + 10) // 100) * 100
    return tuple(trials)


def _conditions(
    n_trials: int, mazes: tuple[Maze, ...], rng: np.random.Generator
) -> list[tuple[Maze, int]]:
    """(maze, version) of each trial, in the order in which they are run."""
    conditions: list[tuple[Maze, int]] = []
    counts = _shares(n_trials, [share for _, _, share in _MIX])
    for (version, active, _), count in zip(_MIX, counts, strict=True):
        fitting = [maze for maze in mazes if version != 2 or maze.active_target == active]
        order = rng.permutation(len(fitting))
        conditions += [(fitting[order[k % len(fitting)]], version) for k in range(count)]
    return [conditions[k] for k in rng.permutation(n_trials)]


def _shares(total: int, weights: list[int]) -> list[int]:
    """Whole numbers in proportion to the weights that sum to the total (largest remainder)."""
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda k: counts[k] - exact[k])
    for k in by_remainder[: total - sum(counts)]:
        counts[k] += 1
    return counts


def _durations(
    wanted: NDArray[np.int64], onset: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Durations of 5 k + 1 ms near the wanted ones whose mean is that of the real recording.

    The mean is brought about by holding the target 5 ms more or less, over and over, in trials
    that have room for it.
    """
    shortest = -(-(np.maximum(onset + SHORTEST_AFTER_ONSET_MS, SHORTEST_TRIAL_MS) - 1) // 5) * 5 + 1
    durations: NDArray[np.int64] = np.clip(wanted // 5 * 5 + 1, shortest, LONGEST_TRIAL_MS)
    missing = round((MEAN_TRIAL_MS - 1) * len(wanted) / 5) - int(np.sum(durations // 5))
    step = 5 if missing > 0 else -5
    while missing:
        changed = np.clip(durations + step, shortest, LONGEST_TRIAL_MS) != durations
        rows = rng.permutation(np.flatnonzero(changed))[: abs(missing)]
        if not rows.size:
            break
        durations[rows] += step
        missing -= rows.size * step // 5
    return durations


def _make_maze(
    number: int, reached: tuple[int, int], active: int, rng: np.random.Generator
) -> Maze:
    target = np.array(reached, dtype=np.float64)
    far = [p for p in REACHED_MM if math.dist(p, reached) > 60]
    others = [far[k] for k in rng.permutation(len(far))[:2]]
    bend = float(rng.uniform(22, 38)) * (1 if rng.random() < 0.5 else -1)
    across = np.array([-target[1], target[0]]) / np.hypot(*target)
    steps = np.linspace(0, 1, 25)[:, None]
    way = target * steps + across * bend * 64 * (steps * (1 - steps)) ** 3
    # The first barrier is why the hand goes around; the others keep clear of the way.
    barriers = [(*np.round(target / 2 - across * bend * 0.3), 6, 10)]
    clear = np.concatenate([way, np.array([reached, *others]), np.zeros((1, 2))])
    while len(barriers) < N_BARRIERS:
        centre = np.round(rng.uniform((-135, -100), (135, 95)))
        half = rng.integers(4, 26, 2)
        if np.all(np.any(np.abs(clear - centre) > half + 8, axis=1)):
            barriers.append((*centre, *half))
    return Maze(
        maze_id=number + 1,
        reached_mm=reached,
        unreachable_mm=(others[0], others[1]),
        active_target=active,
        bend_mm=bend,
        barriers_mm=np.array(barriers, dtype=np.int64),
    )
