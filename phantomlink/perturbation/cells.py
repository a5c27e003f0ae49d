"""Random processes in time whose state at any moment follows from the two cells around it.

Stream time is cut into cells of equal length, and the random bits of a cell are addressed by its
number. So the state of a process with a memory (silent or not, a burst or none) is known at any
bin without the bins before it.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from phantomlink.perturbation.compiled import Place, Span

_CELLS_AHEAD = 256


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
        self._cells = range(0)
        self._starts: list[int] = []

    def bins_since(self, span: Span) -> NDArray[np.int64] | None:
        """How many bins ago that which is on began: (n,), -1 where nothing is on.

        Returns:
            None when nothing is on in any of them.
        """
        first, last = span.time // self._length - 1, (span.time + span.n - 1) // self._length
        if first < self._cells.start or last >= self._cells.stop:
            self._cells = range(first, max(last + 1, first + _CELLS_AHEAD))
            self._starts = self._starts_in(self._cells)
        since: NDArray[np.int64] | None = None
        for index in range(bisect_right(self._starts, span.time - self._length), len(self._starts)):
            ago = span.time - self._starts[index]
            row, stop = max(-ago, 0), min(self._length - ago, span.n)
            if row >= span.n:
                break
            if since is None:
                since = np.full(span.n, -1, dtype=np.int64)
            # Over the one before, where that has not ended.
            since[row:stop] = np.arange(ago + row, ago + stop)
        return since

    def _starts_in(self, cells: range) -> list[int]:
        """When those of these cells begin, in bins, in their order."""
        # Row c + 1 is cell c: the one before the first has bits too.
        bits = self._bits.halves(cells.start + 1, len(cells), 2).astype(np.uint64)
        begins = np.flatnonzero(bits[:, 0] < self._share)
        starts = place_in_cell(bits[begins, 1], self._length)
        starts += (begins + cells.start) * self._length
        moments: list[int] = starts.tolist()
        return moments


class Renewals:
    """For each unit a yes or no that is drawn anew once in every cell, at a bin drawn evenly.

    Args:
        place: where the transform stands.
        purpose: of the random bits.
        length: bins in a cell, at least 1; at most 2**32.
        probability: of no.
    """

    def __init__(self, place: Place, purpose: int, length: int, probability: float) -> None:
        self._length = length
        self._n_units = place.n_units
        self._share = np.uint64(threshold(probability))
        self._bits = place.bits(purpose, 8 * place.n_units)
        self._known: tuple[int, int] | None = None
        self._moments: NDArray[np.int64] = np.empty((0, 0), dtype=np.int64)
        self._drawn: NDArray[np.bool_] = np.empty((0, 0), dtype=np.bool_)

    def holds(self, span: Span) -> NDArray[np.bool_]:
        """(n, n_units), what holds at each bin."""
        first = span.time // self._length
        n_cells = (span.time + span.n - 1) // self._length - first + 2
        if self._known != (first, n_cells):  # cells are mostly longer than blocks
            bits = self._bits.halves(first, n_cells, 2 * self._n_units).astype(np.uint64)
            self._moments = place_in_cell(bits[:, : self._n_units], self._length)
            self._drawn = bits[:, self._n_units :] >= self._share
            self._known = first, n_cells
        within = np.arange(span.n, dtype=np.int64) + (span.time - first * self._length)
        # One row for all where the span does not leave its first cell.
        rows = 1 if n_cells == 2 else within // self._length + 1
        is_new = (within % self._length)[:, None] >= self._moments[rows]
        holds: NDArray[np.bool_] = np.where(is_new, self._drawn[rows], self._drawn[rows - 1])
        return holds


def threshold(probability: float) -> int:
    """32 random bits are below this with that probability, to 2**-33."""
    return math.floor(probability * 2**32 + 0.5)


def place_in_cell(bits: NDArray[np.uint64], length: int) -> NDArray[np.int64]:
    """32 random bits to a whole number from 0 to length - 1; the same shape."""
    return ((bits * np.uint64(length)) >> np.uint64(32)).astype(np.int64)
