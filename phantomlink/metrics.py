"""Fixed-size counters and histograms, and the frozen snapshots that are read from them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add

import numpy as np

_SUB_BITS = 3  # 8 buckets an octave: a percentile is at most 12.5 % above the true value
_MAX_BITS = 36  # 2**36 ns is 68 s; what is longer is counted in the last bucket
_N_BUCKETS = ((_MAX_BITS - _SUB_BITS) << _SUB_BITS) + (1 << _SUB_BITS)


@dataclass(frozen=True, slots=True)
class Summary:
    """A histogram read at one moment. Durations in ns; None where nothing was recorded."""

    count: int
    mean_ns: float | None
    std_ns: float | None
    p50_ns: int | None
    p99_ns: int | None
    p999_ns: int | None
    max_ns: int | None


class Histogram:
    """Durations in log-linear buckets: bounded memory, about 0.4 us a record.

    Buckets are exact below 8 ns and an eighth of an octave wide above, as in HdrHistogram.
    Negative values, which clocks that step can give, count as 0.
    """

    __slots__ = ("_buckets", "_max", "_sum", "_sum_of_squares", "count")

    def __init__(self) -> None:
        # Not a list: that has an object for every count above 256, and grows for hours.
        self._buckets = array("Q", bytes(8 * _N_BUCKETS))
        self.count = 0
        self._sum = 0
        self._sum_of_squares = 0
        self._max = 0

    def record(self, value_ns: int) -> None:
        """Count one duration."""
        # Comparisons instead of max and min: the calls took two thirds of the time.
        if value_ns < 0:  # noqa: PLR1730
            value_ns = 0
        shift = value_ns.bit_length() - _SUB_BITS - 1
        index = (shift << _SUB_BITS) + (value_ns >> shift) if shift > 0 else value_ns
        self._buckets[index if index < _N_BUCKETS else _N_BUCKETS - 1] += 1
        self.count += 1
        self._sum += value_ns
        self._sum_of_squares += value_ns * value_ns
        if value_ns > self._max:  # noqa: PLR1730
            self._max = value_ns

    @property
    def sum_ns(self) -> int:
        """All that was recorded, together."""
        return self._sum

    def merge(self, other: Histogram) -> None:
        """Count also everything that `other` has counted."""
        if not other.count:
            return
        self._buckets = array("Q", map(add, self._buckets, other._buckets))
        self.count += other.count
        self._sum += other._sum
        self._sum_of_squares += other._sum_of_squares
        self._max = max(self._max, other._max)

    def counts_up_to(self, edges_ns: Sequence[int]) -> list[int]:
        """How many records were at most as long as each edge; exact.

        Args:
            edges_ns: ascending upper edges of buckets, as `2**k - 1` is for every k from 3 to 36.

        Raises:
            ValueError: one of them lies inside a bucket.
        """
        counts, seen, begin = [], 0, 0
        for edge_ns in edges_ns:
            end = _index_of(edge_ns) + 1
            if _upper_edge(end - 1) != edge_ns:
                raise ValueError(f"{edge_ns} ns is not the upper edge of a bucket")
            seen += sum(self._buckets[begin:end])
            counts.append(seen)
            begin = end
        return counts

    def buckets(self) -> list[tuple[int, int]]:
        """(upper edge in ns, count) of the buckets that hold something, ascending."""
        return [(_upper_edge(index), n) for index, n in enumerate(self._buckets) if n]

    def percentile(self, fraction: float) -> int | None:
        """Upper edge of the bucket that holds this fraction of the records; never above the max."""
        return self._percentiles((fraction,))[0] if self.count else None

    def _percentiles(self, fractions: Sequence[float]) -> list[int]:
        # One pass over the buckets for all of them: every poll of every session comes through here.
        seen = np.frombuffer(self._buckets, dtype=np.int64).cumsum()
        at = seen.searchsorted([math.ceil(fraction * self.count) for fraction in fractions])
        return [min(_upper_edge(index), self._max) for index in at.tolist()]

    def summary(self) -> Summary:
        """The figures that are published."""
        if not self.count:
            return Summary(0, None, None, None, None, None, None)
        mean = self._sum / self.count
        variance = max(self._sum_of_squares / self.count - mean * mean, 0.0)
        p50, p99, p999 = self._percentiles((0.5, 0.99, 0.999))
        return Summary(self.count, mean, math.sqrt(variance), p50, p99, p999, self._max)


def _index_of(value_ns: int) -> int:
    """As `record` has it, without its haste."""
    shift = max(value_ns.bit_length() - _SUB_BITS - 1, 0)
    return min((shift << _SUB_BITS) + (value_ns >> shift), _N_BUCKETS - 1)


def _upper_edge(index: int) -> int:
    shift = max((index >> _SUB_BITS) - 1, 0)
    mantissa = index - (shift << _SUB_BITS)
    return ((mantissa + 1) << shift) - 1
