"""Percentiles, and medians over slices with a bootstrap interval. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

_RESAMPLES = 10_000
_POOLED_RESAMPLES = 1_000
_SEED = 20_240_117


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of durations, ns. NaN where there were none."""

    count: int
    p50: float
    p99: float
    p999: float
    max: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over slices and the interval that holds it with 95 % confidence.

    Attributes:
        median: NaN when there was no slice.
        low, high: equal to `median` with one slice, which says nothing about its spread.
        n: slices.
    """

    median: float
    low: float
    high: float
    n: int


def quantiles(values: NDArray[np.float64] | NDArray[np.int64]) -> Quantiles:
    """Percentiles of durations: each is one of them, the smallest with so many at or below it.

    Args:
        values: (n,) ns.
    """
    if not values.size:
        return Quantiles(0, np.nan, np.nan, np.nan, np.nan)
    p50, p99, p999 = np.quantile(values, (0.5, 0.99, 0.999), method="inverted_cdf")
    return Quantiles(values.size, float(p50), float(p99), float(p999), float(values.max()))


def median_over_slices(values: Sequence[float]) -> Estimate:
    """The median and its percentile-bootstrap interval; NaN values are left out."""
    found = np.asarray([value for value in values if not np.isnan(value)], dtype=np.float64)
    middle = float(np.median(found)) if found.size else np.nan
    if found.size < 2:
        return Estimate(middle, middle, middle, found.size)
    # A seed of its own: the same raw figures give the same interval.
    interval = bootstrap(
        (found,), np.median, n_resamples=_RESAMPLES, method="percentile", random_state=_SEED
    ).confidence_interval
    return Estimate(middle, float(interval.low), float(interval.high), found.size)


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Median of a - b over slices that were measured beside each other."""
    return median_over_slices([x - y for x, y in zip(a, b, strict=True)])


def paired_ratio(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Median of a / b over slices that were measured beside each other; without those of b = 0."""
    return median_over_slices([x / y if y else np.nan for x, y in zip(a, b, strict=True)])


def pooled_difference(
    a: Sequence[NDArray[np.int64]], b: Sequence[NDArray[np.int64]], share: float
) -> tuple[Estimate, Estimate, Estimate]:
    """A percentile of all values of `a`, that of `b`, and a - b.

    The percentile of a short slice is the figure of one stall; of all values of a side it is not.
    Slices are what is independent: the interval comes from drawing pairs of slices, the same for
    both sides, with replacement.

    Args:
        a: values of each slice, ns.
        b: likewise; the k-th of both were measured beside each other.
        share: of the percentile, as 0.99.
    """
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x.size and y.size]
    n = len(pairs)
    if not n:
        nothing = Estimate(np.nan, np.nan, np.nan, 0)
        return nothing, nothing, nothing
    drawn = np.random.default_rng(_SEED).multinomial(n, [1 / n] * n, _POOLED_RESAMPLES)
    weights = [np.ones(n, dtype=np.int64), *(drawn if n > 1 else ())]
    first = _weighted_quantiles([x for x, _ in pairs], weights, share)
    second = _weighted_quantiles([y for _, y in pairs], weights, share)

    def estimate(figures: NDArray[np.float64]) -> Estimate:
        low, high = np.quantile(figures[1:] if n > 1 else figures, (0.025, 0.975))
        return Estimate(float(figures[0]), float(low), float(high), n)

    return estimate(first), estimate(second), estimate(first - second)


def _weighted_quantiles(
    parts: Sequence[NDArray[np.int64]], weights: Sequence[NDArray[np.int64]], share: float
) -> NDArray[np.float64]:
    """For each row of weights, one a part: the smallest value with that share at or below it."""
    values = np.concatenate(parts)
    order = np.argsort(values, kind="stable")
    part = np.repeat(np.arange(len(parts)), [x.size for x in parts])[order]
    found = []
    for row in weights:
        below = np.cumsum(row[part])
        found.append(values[order[np.searchsorted(below, share * below[-1])]])
    return np.array(found, dtype=np.float64)
