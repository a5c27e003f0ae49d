"""What a transform is made into for one recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phantomlink.perturbation.bits import Bits
from phantomlink.perturbation.exact import Counts
from phantomlink.recordings.grid import BinGrid


class Span(NamedTuple):
    """Packets [start, start + n) of a loop.

    Attributes:
        start: bin index of the first.
        n: how many, at least 1.
        loop: times the recording has wrapped.
        time: stream time of the first, in bins: start + loop * n_bins.
    """

    start: int
    n: int
    loop: int
    time: int

    def rows_before(self, time: int) -> int:
        """How many of them come before a stream time (in bins)."""
        return min(max(time - self.time, 0), self.n)


class CountOperation(Protocol):
    """A transform of counts, ready for blocks of one recording."""

    def apply(self, counts: Counts, span: Span) -> Counts:
        """(n, n_units) counts of the span, changed; the input itself where nothing changes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TransportPlan:
    """What happens to n packets in a row on their way; every array is (n,).

    Attributes:
        lost: it is never sent.
        duplicated: it is sent twice.
        swapped: it is sent after the one that follows it; never two in a row.
        delay_ns: how long after its deadline it leaves, ns, at least 0.
    """

    lost: NDArray[np.bool_]
    duplicated: NDArray[np.bool_]
    swapped: NDArray[np.bool_]
    delay_ns: NDArray[np.int64]

    @classmethod
    def of_nothing(cls, n: int) -> TransportPlan:
        """For n packets that arrive as they should."""
        return cls(
            np.zeros(n, dtype=np.bool_),
            np.zeros(n, dtype=np.bool_),
            np.zeros(n, dtype=np.bool_),
            np.zeros(n, dtype=np.int64),
        )

    def rows(self, start: int, stop: int) -> TransportPlan:
        """Some of them; the arrays are views."""
        rows = slice(start, stop)
        return TransportPlan(
            self.lost[rows], self.duplicated[rows], self.swapped[rows], self.delay_ns[rows]
        )


class TransportOperation(Protocol):
    """A fault of transport, ready for blocks of one recording."""

    def add(self, plan: TransportPlan, span: Span) -> None:
        """Write into the plan of the span's packets what this fault does to them."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transform stands: what its random bits and its times are made from.

    Attributes:
        seed: 0 to 2**63 - 1.
        code: of its kind.
        nth: how many of its kind come before it in the same step. Not its position among all: a
            unit that is dead in one step stays dead in the next, whatever else is added there.
        unit_ids: of the units, in the order of the counts.
        unit_labels: ids of the file as texts where `unit_ids` are rows; else None.
        grid: bins of the recording.
        field: what to call it in messages.
    """

    seed: int
    code: int
    nth: int
    unit_ids: tuple[int, ...]
    grid: BinGrid
    field: str
    unit_labels: tuple[str, ...] | None = None

    @property
    def n_units(self) -> int:
        """Units of the recording."""
        return len(self.unit_ids)

    def bits(self, purpose: int, row_bytes: int) -> Bits:
        """A stream of random bits of its own; purposes tell the streams of one transform apart."""
        tag = (self.code << 48) | (purpose << 32) | self.nth
        return Bits(self.seed, tag, row_bytes)

    def bins_in(self, seconds: float) -> Fraction:
        """A duration in bins."""
        return Fraction(seconds) * self.grid.rate_hz

    def bin_from(self, seconds: float) -> int:
        """The first bin that starts at or after a stream time."""
        return first_bin_from(seconds, self.grid)


def first_bin_from(seconds: float, grid: BinGrid) -> int:
    """The first bin that starts at or after a stream time, to a millionth of a bin."""
    return math.ceil(round(Fraction(seconds) * grid.rate_hz, 6))
