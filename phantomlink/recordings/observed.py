"""Observed time: when somebody looked. What was not observed is not zero, it is not known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.grid import BinGrid

Intervals = NDArray[np.float64]
"""(n, 2) start and stop, s, recording clock."""


@dataclass(frozen=True, slots=True, eq=False)
class ObservedTime:
    """When a recording was observed.

    Attributes:
        intervals: (n, 2) s, recording clock; ascending, disjoint, none of no length. The first
            may begin at -inf and the last end at inf.
    """

    intervals: Intervals

    @classmethod
    def of(cls, observed: Intervals | None, invalid: Intervals | None) -> Self | None:
        """The union of some intervals less some others.

        Args:
            observed: (n, 2) in any order; None where the recording does not say: all time.
            invalid: (n, 2) likewise; None: none.

        Returns:
            None when there is nothing to say.
        """
        if observed is None and invalid is None:
            return None
        whole = np.array([[-math.inf, math.inf]])
        union = merged(whole if observed is None else observed)
        return cls(_without(union, merged(np.empty((0, 2)) if invalid is None else invalid)))

    def bins(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.bool_]:
        """(stop - start,) whether each of bins [start, stop) overlaps observed time.

        Edges are compared to a millionth of a bin, as spikes are put into bins.
        """
        edges = np.round((self.intervals - grid.t0_seconds) * float(grid.rate_hz), 6)
        # Clipped before they become integers: infinity is none.
        firsts = np.floor(np.clip(edges[:, 0], start, stop)).astype(np.int64)
        ends = np.ceil(np.clip(edges[:, 1], start, stop)).astype(np.int64)
        change = np.zeros(stop - start + 1, dtype=np.int64)
        inside = ends > firsts
        np.add.at(change, firsts[inside] - start, 1)
        np.add.at(change, ends[inside] - start, -1)
        return np.cumsum(change[:-1]) > 0

    def seconds_within(self, first: float, last: float) -> float:
        """Observed seconds between two times."""
        clipped = np.clip(self.intervals, first, last)
        return float(np.sum(clipped[:, 1] - clipped[:, 0]))


def merged(intervals: Intervals) -> Intervals:
    """The union, ascending and disjoint; those without length are left out."""
    intervals = intervals[intervals[:, 0] < intervals[:, 1]]
    if not len(intervals):
        return np.empty((0, 2))
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(intervals[:, 1])
    begins = np.concatenate(([True], intervals[1:, 0] > reach[:-1]))
    firsts = np.flatnonzero(begins)
    lasts = np.concatenate((firsts[1:] - 1, [len(intervals) - 1]))
    return np.column_stack((intervals[firsts, 0], reach[lasts]))


def _without(union: Intervals, invalid: Intervals) -> Intervals:
    """A union less another, both ascending and disjoint."""
    left: list[tuple[float, float]] = []
    k = 0
    for start, stop in union.tolist():
        # Those that end before this interval end before all that follow, too.
        while k < len(invalid) and invalid[k, 1] <= start:
            k += 1
        begin, j = start, k
        while j < len(invalid) and invalid[j, 0] < stop:
            if invalid[j, 0] > begin:
                left.append((begin, float(invalid[j, 0])))
            begin = max(begin, float(invalid[j, 1]))
            j += 1
        if begin < stop:
            left.append((begin, stop))
    return np.array(left, dtype=np.float64).reshape(-1, 2)
