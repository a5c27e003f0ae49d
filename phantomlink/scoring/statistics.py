"""Paired statistics: is a difference between two decoders more than chance?

Trials are the unit, since bins of one trial depend on each other. The random bits are those of
numpy's Philox, whose sequence is fixed for ever, and what is resampled are whole numbers, whose
sums have no rounding: the same differences and the same seed give the same bytes on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
"""Of the bootstrap, and of the signs."""

_VALUES_AT_ONCE = 20_000
"""That are drawn at a time: in a thread of a server, no step may hold the interpreter long."""
_EXACT_TRIALS = 13
"""With so few trials every combination of signs is tried: 8192 of them."""
_FRACTION_BITS = 40
_BOOTSTRAP_TAG, _SIGNS_TAG = 1, 2


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean difference of a figure over trials.

    Attributes:
        n: trials.
        mean: first decoder minus second.
        low, high: 95 % confidence interval, percentile bootstrap over trials.
        p: two-sided, under random signs.
        n_positive: trials in which the first has the larger figure.
        n_negative: trials in which the second has.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    n_positive: int
    n_negative: int


def paired_difference(differences: Sequence[float], seed: int) -> Difference | None:
    """Judge differences of trials.

    Args:
        differences: first decoder minus second, of each trial.
        seed: of the resampling, 0 to 2**63 - 1.

    Returns:
        None for fewer than two trials: nothing can be said.
    """
    n = len(differences)
    if n < 2:
        return None
    largest = max(abs(value) for value in differences)
    # A power of two: scaling with it has no rounding of its own.
    scale = 2.0 ** (_FRACTION_BITS - math.frexp(largest)[1]) if largest else 1.0
    whole = np.array([round(value * scale) for value in differences], dtype=np.int64)
    means = np.sort(_bootstrap_sums(whole, seed)) / (n * scale)
    tail = RESAMPLES // 40
    return Difference(
        n,
        math.fsum(differences) / n,
        float(means[tail - 1]),
        float(means[-tail]),
        _sign_flip_p(whole, seed),
        sum(value > 0 for value in differences),
        sum(value < 0 for value in differences),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm 1979, Scand J Stat 6:65), in the same order."""
    adjusted = [0.0] * len(p_values)
    most = 0.0
    ascending = sorted(range(len(p_values)), key=lambda index: (p_values[index], index))
    for rank, index in enumerate(ascending):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = most
    return adjusted


def _words(seed: int, tag: int) -> np.random.Philox:
    return np.random.Philox(key=np.array([seed, tag], dtype=np.uint64))


def _parts(n_trials: int) -> Iterator[int]:
    """How many resamples are drawn at a time; which they are does not depend on it."""
    most = max(1, _VALUES_AT_ONCE // n_trials)
    for begun in range(0, RESAMPLES, most):
        yield min(most, RESAMPLES - begun)


def _bootstrap_sums(whole: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """(RESAMPLES,) sums of n values drawn with replacement."""
    n = np.uint64(whole.size)
    bits = _words(seed, _BOOTSTRAP_TAG)
    sums = []
    for n_resamples in _parts(whole.size):
        words = bits.random_raw(n_resamples * whole.size).reshape(n_resamples, whole.size)
        drawn = (words >> np.uint64(32)) * n >> np.uint64(32)
        sums.append(whole[drawn.astype(np.intp)].sum(axis=1))
    return np.concatenate(sums)


def _sign_flip_p(whole: NDArray[np.int64], seed: int) -> float:
    n = whole.size
    observed = abs(int(whole.sum()))
    if n <= _EXACT_TRIALS:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ whole) >= observed).mean())
    bits = _words(seed, _SIGNS_TAG)
    extreme = 0
    for n_resamples in _parts(n):
        words = bits.random_raw(n_resamples * n).reshape(n_resamples, n)
        signs = 1 - 2 * (words >> np.uint64(63)).astype(np.int64)
        extreme += int((np.abs(signs @ whole) >= observed).sum())
    # The signs as they are count as one of them, so p is never 0.
    return (extreme + 1) / (RESAMPLES + 1)
