"""A decoder in closed loop: it moves a cursor that a simulated user sees and corrects.

Each trial begins with the cursor at rest in the middle of the recording's targets and the decoder
reset. The user means to reach one of them. It is reached once the cursor has stayed on it for half
a second; after five seconds the trial has failed. A decoder that learns is told what was meant as
ReFIT assumes it (Gilja et al. 2012): its own velocity turned to the target, and none on it.

Each decoder meets the same targets, and the same draws of a generator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.errors import InvalidParameterError
from phantomlink.evaluation.feed import DecoderFeed
from phantomlink.evaluation.simulated_user import Intention, SimulatedNeurons, Table
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.trials import TrialTable

HOLD_SECONDS, LIMIT_SECONDS = 0.5, 5.0
RADIUS_SHARE = 0.2
"""Of the mean way to a target: how far from its middle the cursor is on it."""

_WORKSPACE = 1.5
"""The cursor stays within so many times the way to the furthest target."""


@dataclass(frozen=True, slots=True)
class Reach:
    """One trial.

    Attributes:
        distance: from where the cursor began to the target.
        entered_s: when the cursor was on the target first; None: never.
        reached_s: when it came to it to stay; None: it did not.
        path: that the cursor went until then.
    """

    distance: float
    entered_s: float | None
    reached_s: float | None
    path: float


class Task:
    """Targets to reach for.

    Args:
        trials: of the recording.
        grid: bins of the recording.

    Attributes:
        middle: (2,) where trials begin.
        radius: of each target.
        targets: (n, 2).

    Raises:
        InvalidParameterError: the recording has no two places to reach for.
    """

    def __init__(self, trials: TrialTable, grid: BinGrid) -> None:
        places = sorted(
            {
                (trial.target_x, trial.target_y)
                for trial in trials
                if trial.target_x is not None and trial.target_y is not None
            }
        )
        if len(places) < 2:
            raise InvalidParameterError(
                f"closed-loop: the recording has {len(places)} targets with a place, needs 2"
            )
        self.targets: Table = np.array(places)
        self.middle: Table = self.targets.mean(axis=0)
        ways = np.hypot(*(self.targets - self.middle).T)
        self.radius = RADIUS_SHARE * float(ways.mean())
        self.targets = self.targets[ways > 2 * self.radius]
        self.reach = _WORKSPACE * float(ways.max())
        self.bin_seconds = grid.bin_size_ms / 1000
        self.n_bins = grid.n_bins

    def order(self, n_trials: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Which target each trial has: each as often as the others, in random order."""
        n = len(self.targets)
        rounds = [rng.permutation(n) for _ in range(math.ceil(n_trials / n))]
        return np.concatenate(rounds)[:n_trials]


def run_closed_loop(
    task: Task,
    neurons: SimulatedNeurons,
    feed: DecoderFeed,
    applied: AppliedPerturbation | None,
    *,
    n_trials: int,
    seed: int,
) -> list[Reach]:
    """Let a decoder try.

    Args:
        task: the targets.
        neurons: of the user.
        feed: of the decoder; used up.
        applied: what is done to counts on their way to it.
        n_trials: how many.
        seed: of targets and spikes.

    Raises:
        DecoderError: the decoder failed.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    order = task.order(n_trials, rng)
    user = Intention(neurons.top_speed, task.bin_seconds)
    reaches, at = [], 0
    for trial, target in enumerate(task.targets[order]):
        # A gap in the numbers: the decoder begins anew.
        at += 1
        cursor, velocity = task.middle.copy(), np.zeros(2)
        user.reset(cursor)
        entered: float | None = None
        since: float | None = None
        path, path_there, reached = 0.0, 0.0, None
        for n in range(round(LIMIT_SECONDS / task.bin_seconds)):
            counts = neurons.fire(user.velocity(cursor, target), rng)
            if applied is not None:
                loop, start = divmod(at, task.n_bins)
                counts = applied.perturber.counts(counts[np.newaxis], start, loop)[0]
            said = feed.packet(at, at, counts)
            at += 1
            before = cursor.copy()
            if said is not None:
                velocity = _move(cursor, said, velocity, task)
            path += float(np.hypot(*(cursor - before)))
            is_on = float(np.hypot(*(target - cursor))) <= task.radius
            now = (n + 1) * task.bin_seconds
            if is_on and since is None:
                since, path_there = now, path
                entered = now if entered is None else entered
            elif not is_on:
                since = None
            _teach(feed, cursor, velocity, target, trial, is_on=is_on)
            if since is not None and now - since >= HOLD_SECONDS - 1e-9:
                reached = since
                break
        distance = float(np.hypot(*(target - task.middle)))
        reaches.append(Reach(distance, entered, reached, path_there if reached else path))
    return reaches


def figures(reaches: Sequence[Reach], radius: float) -> dict[str, Any]:
    """What the reaches amount to; times and efficiency of those that succeeded, null of none."""
    done = [
        # The path ends where the target begins.
        (each.reached_s, each.entered_s, (each.distance - radius) / each.path)
        for each in reaches
        if each.reached_s is not None and each.entered_s is not None and each.path > 0
    ]
    # A failed trial conveys nothing; the index of difficulty is Shannon's, as in Gilja 2012.
    bits = [
        math.log2(1 + each.distance / (2 * radius)) / each.reached_s if each.reached_s else 0.0
        for each in reaches
    ]
    return {
        "trials": len(reaches),
        "reached": len(done),
        "success_rate": len(done) / len(reaches),
        "time_to_target_s": _mean([reached for reached, _, _ in done]),
        "dial_in_s": _mean([reached - entered for reached, entered, _ in done]),
        "path_efficiency": _mean([efficiency for _, _, efficiency in done]),
        "throughput_bits_per_s": _mean(bits),
    }


def _move(cursor: Table, said: Sequence[float], before: Table, task: Task) -> Table:
    """Let the cursor follow what a decoder says; the velocity that it goes by."""
    velocity, position = np.array(said[:2]), np.array(said[2:])
    if np.isfinite(velocity).all():
        cursor += velocity * task.bin_seconds
    elif np.isfinite(position).all():
        velocity = (position - cursor) / task.bin_seconds
        cursor[:] = position
    else:
        return before
    cursor[:] = np.clip(cursor, task.middle - task.reach, task.middle + task.reach)
    return velocity


def _teach(
    feed: DecoderFeed, cursor: Table, velocity: Table, target: Table, trial: int, *, is_on: bool
) -> None:
    way = target - cursor
    distance, speed = float(np.hypot(*way)), float(np.hypot(*velocity))
    meant = np.zeros(2) if is_on or distance == 0.0 else way / distance * speed
    feed.learn(np.concatenate((meant, cursor)), trial)
    if feed.needs_refit:
        feed.refit()


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
