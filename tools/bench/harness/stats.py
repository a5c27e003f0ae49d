"""Percentiles, and medians over slices with a bootstrap interval. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

_RESAMPLES = 10_000
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
