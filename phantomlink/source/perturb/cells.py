"""Random processes in time whose state at any moment follows from the two cells around it.

Stream time is cut into cells of equal length, and the random bits of a cell are addressed by its
number. So the state of a process with a memory (silent or not, a burst or none) is known at any
bin without the bins before it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from phantomlink.source.perturb.compiled import Place, Span

_NEVER = -(2**62)


class Events:
    """Things that begin at random and last a fixed number of bins.

    In each cell of that length at most one begins, at a bin drawn evenly, so that what is on at a
    bin began in its own cell or the one before.

    Args:
        place: where the transform stands.
        purpose: of the random bits.
        length: bins that each lasts, at least 1; at most 2**32.
        rate_hz: how many begin in a second in the mean; at most one in `length` bins do.
    """

    def __init__(self, place: Place, purpose: int, length: int, rate_hz: float) -> None:
        self._length = length
        per_cell = min(length * rate_hz / float(place.grid.rate_hz), 1.0)
        self._share = np.uint64(threshold(per_cell))
        self._bits = place.bits(purpose, 8)

    def bins_since(self, span: Span) -> NDArray[np.int64] | None:
        """How many bins ago that which is on began: (n,), -1 where nothing is on.

        Returns:
            None when nothing is on in any of them.
        """
        first = span.time // self._length
        n_cells = (span.time + span.n - 1) // self._length - first + 2
        # Row c + 1 is cell c: the one before the first has bits too.
        bits = self._bits.halves(first, n_cells, 2).astype(np.uint64)
        begins = bits[:, 0] < self._share
        if not begins.any():
            return None
        starts = place_in_cell(bits[:, 1], self._length)
        starts += np.arange(first - 1, first - 1 + n_cells, dtype=np.int64) * self._length
        starts[~begins] = _NEVER
        times = np.arange(span.time, span.time + span.n, dtype=np.int64)
        rows = times // self._length - (first - 1)
        own, before = times - starts[rows], times - starts[rows - 1]
        since = np.where((own >= 0) & (own < self._length), own, before)
        since[since >= self._length] = -1
        return since


class Renewals:
    """For each unit a value that is drawn anew once in every cell, at a bin drawn evenly.

    Args:
        place: where the transform stands.
        purpose: of the random bits.
        length: bins in a cell, at least 1; at most 2**32.
    """

    def __init__(self, place: Place, purpose: int, length: int) -> None:
        self._length = length
        self._n_units = place.n_units
        self._bits = place.bits(purpose, 8 * place.n_units)
        self._known: tuple[int, int] | None = None
        self._moments: NDArray[np.int64] = np.empty((0, 0), dtype=np.int64)
        self._values: NDArray[np.uint64] = np.empty((0, 0), dtype=np.uint64)

    def values(self, span: Span) -> NDArray[np.uint64]:
        """(n, n_units) values of 32 bits, uniform, that hold at each bin."""
        first = span.time // self._length
        n_cells = (span.time + span.n - 1) // self._length - first + 2
        if self._known != (first, n_cells):  # cells are mostly longer than blocks
            bits = self._bits.halves(first, n_cells, 2 * self._n_units).astype(np.uint64)
            self._moments = place_in_cell(bits[:, : self._n_units], self._length)
            self._values = bits[:, self._n_units :]
            self._known = first, n_cells
        times = np.arange(span.time, span.time + span.n, dtype=np.int64)
        rows = times // self._length - (first - 1)
        drawn = (times % self._length)[:, None] >= self._moments[rows]
        return np.where(drawn, self._values[rows], self._values[rows - 1])


def threshold(probability: float) -> int:
    """32 random bits are below this with that probability, to 2**-33."""
    return math.floor(probability * 2**32 + 0.5)


def place_in_cell(bits: NDArray[np.uint64], length: int) -> NDArray[np.int64]:
    """32 random bits to a whole number from 0 to length - 1; the same shape."""
    return ((bits * np.uint64(length)) >> np.uint64(32)).astype(np.int64)
