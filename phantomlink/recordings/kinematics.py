"""Samples of behaviour -> kinematics of bins.

A bin's value is the mean of the samples in it. Where samples are sparser than bins, a bin
without one takes the straight line between its neighbours, at the bin's centre, if those are
closer than 2.5 sample periods. Otherwise there is none: NaN. Samples are found by their
timestamps, never by row number: recordings leave out rows between trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.grid import BinGrid

GAP_PERIODS = 2.5
"""Neighbouring samples this many sample periods apart, or more, have a gap between them."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """A run of samples of one series.

    Attributes:
        seconds: (n,) recording clock, ascending.
        values: (n, k) in the recording's own unit; NaN where a sample is not known.
        period: seconds between samples: the median, NaN when there are fewer than two.
    """

    seconds: NDArray[np.float64]
    values: NDArray[np.float64]
    period: float


def typical_period(seconds: NDArray[np.float64]) -> float:
    """Median distance of neighbouring times that differ, s; NaN when there are none."""
    steps = np.diff(seconds)
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else np.nan


def binned(samples: Samples, grid: BinGrid, start: int, stop: int) -> NDArray[np.float64]:
    """Values of bins [start, stop).

    Args:
        samples: every sample in those bins, and one more on either side where there is one.
        grid: where the bins are.
        start: first bin.
        stop: one past the last.

    Returns:
        (stop - start, k), NaN where there is none.
    """
    n_bins = stop - start
    values = samples.values
    result = np.full((n_bins, values.shape[1]), np.nan)
    if not n_bins or not samples.seconds.size:
        return result
    rows = grid.indices_of(samples.seconds) - start
    first, last = np.searchsorted(rows, (0, n_bins))
    rows = rows[first:last]
    samples_a_bin = np.bincount(rows, minlength=n_bins)
    for column in range(values.shape[1]):
        inside, mine, numbers = values[first:last, column], rows, samples_a_bin
        known = np.isfinite(inside)
        if not known.all():
            inside, mine = inside[known], rows[known]
            numbers = np.bincount(mine, minlength=n_bins)
        # bincount adds each bin's samples alone: differences of a running sum would carry the
        # rounding of the whole recording into every bin.
        totals = np.bincount(mine, weights=inside, minlength=n_bins)
        np.divide(totals, numbers, out=result[:, column], where=numbers > 0)
    empty = samples_a_bin == 0
    if empty.any():
        bins = np.flatnonzero(empty)
        width = grid.rate_hz.denominator / grid.rate_hz.numerator
        centres = grid.starts_of(start, stop)[bins] + width / 2
        result[bins] = interpolated(samples, centres)
    return result


def interpolated(samples: Samples, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values between samples, on the straight line between the two neighbours.

    Args:
        samples: the samples.
        seconds: (m,) recording clock.

    Returns:
        (m, k); NaN outside the samples, in gaps, and where a neighbour is NaN.
    """
    times, values = samples.seconds, samples.values
    result = np.full((seconds.size, values.shape[1]), np.nan)
    after = np.searchsorted(times, seconds, side="right")
    between = (after > 0) & (after < times.size)
    right = after[between]
    left = right - 1
    step = times[right] - times[left]
    weight = (seconds[between] - times[left]) / step
    # Rows whose neighbours are too far apart (or whose period is NaN) stay NaN.
    near = step < GAP_PERIODS * samples.period
    weight = np.where(near, weight, np.nan)[:, np.newaxis]
    result[between] = values[left] * (1 - weight) + values[right] * weight
    return result


def held(samples: Samples, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last sample at or before each time, held until the next one.

    Args:
        samples: the samples.
        seconds: (m,) recording clock.

    Returns:
        (m, k); NaN before the first sample.
    """
    result = np.full((seconds.size, samples.values.shape[1]), np.nan)
    rows = np.searchsorted(samples.seconds, seconds + 1e-9, side="right") - 1
    known = rows >= 0
    result[known] = samples.values[rows[known]]
    return result


def derivative(samples: Samples) -> Samples:
    """Velocity from position: second order inside a stretch without gaps, one-sided at its ends.

    Inside, this is what numpy.gradient gives for unevenly spaced samples. Samples that repeat
    the time of the one before are left out: there is no velocity in no time.

    Returns:
        Samples in units per second; NaN for a sample that is alone between gaps.
    """
    fresh = np.ones(samples.seconds.size, dtype=bool)
    fresh[1:] = np.diff(samples.seconds) > 0
    seconds, values = samples.seconds[fresh], samples.values[fresh]
    velocity = np.full(values.shape, np.nan)
    if seconds.size > 1:
        step = np.diff(seconds)[:, np.newaxis]
        slope = np.diff(values, axis=0) / step
        joined = step[:, 0] < GAP_PERIODS * samples.period
        before = np.concatenate(([False], joined))
        after = np.concatenate((joined, [False]))
        velocity[before] = slope[before[1:]]
        velocity[after] = slope[after[:-1]]
        both = np.flatnonzero(before & after)
        back, ahead = step[both - 1], step[both]
        velocity[both] = (ahead * slope[both - 1] + back * slope[both]) / (back + ahead)
    return Samples(seconds, velocity, samples.period)
