"""Where hand, cursor and eye are during the trials, 1000 times a second, in mm.

A reach is one fast smooth movement over most of the way and a slower corrective one that starts
before the first has ended, which together have the peak speeds (900 to 1000 mm/s to the far
targets) and the length (about 350 ms) of the real ones; one minimum-jerk movement as fast as that
would be over in 270 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.synthetic.task import PlannedTrial

HAND_BELOW_CURSOR_MM = 35.0
CURSOR_EVERY_MS = 5
_ONSET_FRACTION = {"straight": 0.10, "around": 0.06}
"""Part of the fast movement that is over when its speed passes 5 % of the peak: the onset."""

# Weights of a Catmull-Rom spline at 1/5 to 4/5 between its two middle points.
_U = np.arange(CURSOR_EVERY_MS)[:, None] / CURSOR_EVERY_MS
_SPLINE = np.hstack(
    [
        -0.5 * _U + _U**2 - 0.5 * _U**3,
        1 - 2.5 * _U**2 + 1.5 * _U**3,
        0.5 * _U + 2 * _U**2 - 1.5 * _U**3,
        -0.5 * _U**2 + 0.5 * _U**3,
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Kinematics:
    """Rows of all trials one after the other; there are none between trials.

    Attributes:
        seconds: (n,) recording clock.
        cursor_mm: (n, 2) x, y.
        eye_mm: (n, 2).
        hand_mm: (n, 2).
        hand_mm_s: (n, 2) gradient of `hand_mm` within each trial.
        first_rows: (n_trials + 1,) row at which each trial starts, and n.
    """

    seconds: NDArray[np.float64]
    cursor_mm: NDArray[np.float64]
    eye_mm: NDArray[np.float64]
    hand_mm: NDArray[np.float64]
    hand_mm_s: NDArray[np.float64]
    first_rows: NDArray[np.int64]


def make_kinematics(trials: tuple[PlannedTrial, ...], rng: np.random.Generator) -> Kinematics:
    """Move hand and eye through the trials."""
    lengths = np.array([trial.duration_ms for trial in trials], dtype=np.int64)
    first_rows = np.concatenate([[0], np.cumsum(lengths)])
    n = int(first_rows[-1])
    starts = np.array([trial.start_ms for trial in trials], dtype=np.int64)
    milliseconds = np.arange(n) + np.repeat(starts - first_rows[:-1], lengths)
    # At rest the hand moves at 2 to 5 mm/s, and drifts.
    smooth = _wander(n, 20, 0.07, rng) + _wander(n, 400, 0.35, rng)
    eye = _wander(n, 150, 1.5, rng) + rng.normal(0, 0.55, (n, 2))
    cursor, hand, velocity = (np.empty((n, 2)) for _ in range(3))
    for row, trial in enumerate(trials):
        span = slice(int(first_rows[row]), int(first_rows[row + 1]))
        way = smooth[span] + _reach(trial, rng)
        cursor[span] = _tracked(way)
        hand[span] = way - (0.0, HAND_BELOW_CURSOR_MM)
        velocity[span] = np.gradient(hand[span], 0.001, axis=0)
        eye[span] += _gaze(trial, rng)
    return Kinematics(
        seconds=milliseconds / 1000,
        cursor_mm=cursor,
        eye_mm=np.round(eye, 1),
        hand_mm=hand,
        hand_mm_s=velocity,
        first_rows=first_rows,
    )


def _reach(trial: PlannedTrial, rng: np.random.Generator) -> NDArray[np.float64]:
    """(duration_ms, 2) way of the cursor without tremor, one row a ms."""
    t = np.arange(trial.duration_ms, dtype=np.float64)
    origin = rng.normal(0, 2.0, 2)
    target = np.array(trial.maze.reached_mm, dtype=np.float64)
    end = target + rng.normal(0, 1.5, 2)
    way = end - origin
    distance = float(np.hypot(*way))
    fast_ms = 305 * (distance / 143) ** 0.5 * rng.uniform(0.96, 1.04)
    bend, shape = 0.0, "straight"
    if trial.version:
        bend, shape = trial.maze.bend_mm * rng.uniform(0.8, 1.2), "around"
        fast_ms *= 1.12
    part = rng.uniform(0.93, 0.97)
    begin = trial.move_onset_ms - trial.start_ms - _ONSET_FRACTION[shape] * fast_ms
    fast = np.clip((t - begin) / fast_ms, 0, 1)[:, None]
    slow = np.clip((t - begin - 0.75 * fast_ms) / 260, 0, 1)[:, None]
    miss = rng.normal(0, 2.5, 2)
    moved = (way * part + miss) * fast**4 * (35 - 84 * fast + 70 * fast**2 - 20 * fast**3)
    moved += (way * (1 - part) - miss) * slow**3 * (10 - 15 * slow + 6 * slow**2)
    across = np.array([-target[1], target[0]]) / np.hypot(*target)
    moved += across * bend * 64 * (fast * (1 - fast)) ** 3
    # The hand still comes to rest in the centre when a trial starts.
    settling = rng.normal(0, 2.5, 2) * np.exp(-t / 80)[:, None]
    return np.asarray(origin + moved + settling)


def _tracked(way: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the tracker saw: 0.1 mm steps every 5 ms, a spline through them in between."""
    seen = np.round(way[::CURSOR_EVERY_MS], 1)
    padded = np.concatenate([seen[:1], seen, seen[-1:]])
    windows = np.stack([padded[k : len(padded) - 3 + k] for k in range(4)])
    between = np.einsum("uk,kna->nua", _SPLINE, windows).reshape(-1, 2)
    return np.concatenate([between, seen[-1:]])


def _gaze(trial: PlannedTrial, rng: np.random.Generator) -> NDArray[np.float64]:
    """(duration_ms, 2) where the eye looks: fixations, and now and then a blink."""
    n = trial.duration_ms
    gaze = np.empty((n, 2))
    target = np.array(trial.maze.reached_mm, dtype=np.float64)
    seen = trial.target_on_ms - trial.start_ms + int(rng.integers(150, 260))
    begin = 0
    while begin < n:
        end = begin + int(rng.integers(180, 600))
        if begin < seen:
            end = min(end, seen)
            place = rng.normal((0, 10), 9)
        else:
            place = target * rng.uniform(0.75, 1.1) + rng.normal(0, 9, 2)
        gaze[begin:end] = place
        begin = end
    if rng.random() < 0.25:
        begin = int(rng.integers(0, n - 120))
        lost = rng.uniform(-320, 320, 2)
        gaze[begin : begin + int(rng.integers(60, 120))] = lost
    return gaze


def _wander(
    n: int, sd_ms: int, amplitude_mm: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(n, 2) smooth noise: white noise under a Gaussian of `sd_ms`, with the given deviation.

    Slow noise is made coarsely and interpolated, which costs the same for any `sd_ms`.
    """
    step = max(1, sd_ms // 10)
    knots = n // step + 2
    sd = sd_ms / step
    reach = int(4 * sd)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd) ** 2)
    kernel *= amplitude_mm / np.sqrt(np.sum(kernel**2))
    noise = rng.normal(size=(2, knots + 2 * reach))
    at = np.arange(n) / step
    return np.stack(
        [np.interp(at, np.arange(knots), np.convolve(axis, kernel, "valid")) for axis in noise],
        axis=1,
    )
