"""Whether a figure grows: a robust slope and how far it can be trusted. Pure.

The slope is Theil and Sen's, the median of the slopes of all pairs of samples: a third of the
samples may be wild and it stays. Its interval is Sen's, from the variance of Kendall's S, tied
values taken into account. It takes the samples for independent of each other, which memory is not
quite; so an interval that touches the limit decides nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

SECONDS_AN_HOUR = 3600.0
FEWEST_SAMPLES = 5
_Z_95 = 1.959964


class Finding(Enum):
    """What a trend says about a limit."""

    HOLDS = "holds"
    GROWS = "grows"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope, an hour, and the interval that holds it with 95 % confidence.

    Attributes:
        slope: NaN with fewer than two samples.
        low, high: infinite where there are too few samples to say.
        n: samples.
    """

    slope: float
    low: float
    high: float
    n: int

    def against(self, limit: float) -> Finding:
        """Whether the slope is below a limit."""
        if self.low > limit:
            return Finding.GROWS
        return Finding.HOLDS if self.high <= limit else Finding.UNDECIDED


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of values over time.

    Args:
        seconds: (n,) ascending, no two the same.
        values: (n,) of anything; the slope is of it an hour.
    """
    times, figures = np.asarray(seconds, dtype=float), np.asarray(values, dtype=float)
    n = times.size
    if n < 2:
        return Trend(math.nan, -math.inf, math.inf, n)
    first, second = np.triu_indices(n, 1)
    slopes = np.sort(
        (figures[second] - figures[first]) / (times[second] - times[first]) * SECONDS_AN_HOUR
    )
    slope = float(np.median(slopes))
    if n < FEWEST_SAMPLES:
        return Trend(slope, -math.inf, math.inf, n)
    half = _Z_95 * math.sqrt(kendall_variance(figures.tolist()))
    below, above = math.floor((slopes.size - half) / 2) - 1, math.ceil((slopes.size + half) / 2)
    return Trend(
        slope,
        float(slopes[below]) if below >= 0 else -math.inf,
        float(slopes[above]) if above < slopes.size else math.inf,
        n,
    )


def kendall_variance(values: Sequence[float]) -> float:
    """Variance of Kendall's S of values without a trend, of which some may be the same."""
    n = len(values)
    tied = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    return (n * (n - 1) * (2 * n + 5) - tied) / 18
