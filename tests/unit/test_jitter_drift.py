"""Grids below arrivals: lower envelope, drift, re-anchors."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.bench.jitter.drift import drift, grid_errors, lower_envelope, residuals, segments

RATE = Fraction(40)
PERIOD = 25_000_000
MS = 1_000_000


def arrivals(lateness_ns, sequence=None, period=Fraction(PERIOD), start=10**15):
    """Arrival times of packets that are late to their grid by so much."""
    sequence = np.arange(len(lateness_ns)) if sequence is None else np.asarray(sequence)
    ideal = sequence * period.numerator // period.denominator
    return start + ideal + np.asarray(lateness_ns, dtype=np.int64), sequence


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(-1000, 1000)), min_size=2, max_size=12))
def test_the_envelope_is_the_best_line_below_all_points(steps) -> None:
    times = np.cumsum([step for step, _ in steps]).astype(float)
    heights = np.array([height for _, height in steps], dtype=float)
    slope, offset_ns, _ = lower_envelope(times, heights)
    below = offset_ns + slope * (times - times[0])
    assert np.all(below <= heights + 1e-6)
    # The optimum of a linear programme lies at a vertex: at a line through two of the points.
    best = min(
        (heights - line).sum()
        for i, j in combinations(range(len(times)), 2)
        for line in (
            heights[i] + (heights[j] - heights[i]) / (times[j] - times[i]) * (times - times[i]),
        )
        if np.all(line <= heights + 1e-6)
    )
    assert (heights - below).sum() == pytest.approx(best, abs=1e-5)


def test_lateness_does_not_look_like_drift() -> None:
    rng = np.random.default_rng(4)
    late = rng.exponential(50_000, 24_000) + (rng.random(24_000) < 0.01) * 5 * MS
    ppm = 3.0
    ticks = np.arange(24_000)
    at, sequence = arrivals(late + ticks * PERIOD * ppm * 1e-6)
    residual = residuals(at, sequence, RATE)
    found = drift(at, residual, segments(residual, RATE))
    assert found is not None
    assert found[0] * 1e6 == pytest.approx(ppm, abs=0.01)
    assert 0.03 < found[2] * 1e6 < 0.1


def test_a_lost_packet_leaves_its_place_in_the_grid() -> None:
    at, sequence = arrivals([0, 100, 200, 300], [5, 6, 9, 10])
    assert residuals(at, sequence, RATE).tolist() == [0, 100, 200, 300]


def test_a_period_of_no_whole_nanoseconds_does_not_add_up() -> None:
    rate = Fraction(1000, 3)
    n = 1_000_000
    at = 10**15 + np.arange(n) * 3_000_000
    assert residuals(at, np.arange(n), rate).tolist()[-1] == 0
    third = Fraction(30)
    at = 10**15 + np.array([k * 10**9 // 30 for k in range(n)])
    residual = residuals(at, np.arange(n), third)
    assert (residual.min(), residual.max()) == (0, 0)


def test_a_reanchor_splits_and_lateness_that_is_caught_up_does_not() -> None:
    late = np.zeros(400, dtype=np.int64)
    late[100:] += 140 * MS  # a stall: from here on everything is later
    late[200:204] += [150 * MS, 125 * MS, 100 * MS, 75 * MS]  # a burst: soon made up for
    at, sequence = arrivals(late)
    residual = residuals(at, sequence, RATE)
    assert segments(residual, RATE) == [slice(0, 100), slice(100, 400)]
    errors = grid_errors(residual, segments(residual, RATE))
    assert errors[:200].tolist() == [0] * 200
    assert errors[200] == 150 * MS


def test_a_loop_that_drifts_is_not_anchored_anew_all_the_time() -> None:
    at, sequence = arrivals(np.arange(600) * 700_000)
    residual = residuals(at, sequence, RATE)
    parts = segments(residual, RATE)
    assert parts == [slice(0, 600)]
    found = drift(at, residual, parts)
    assert found is not None
    assert found[0] == pytest.approx(0.7 / 25)


def test_the_drift_is_that_of_the_longest_time_between_reanchors() -> None:
    ticks = np.arange(1000)
    late = ticks * PERIOD * np.where(ticks >= 300, 2e-6, 9e-6)
    late += np.where(ticks >= 300, 250 * MS, 0)
    at, sequence = arrivals(late)
    residual = residuals(at, sequence, RATE)
    found = drift(at, residual, segments(residual, RATE))
    assert found is not None
    assert found[0] * 1e6 == pytest.approx(2.0, abs=1e-3)
