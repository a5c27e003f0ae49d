"""Spikes of a recording: here all in memory; a large one has an index, see spike_index."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.bins import CountSource, count_spikes
from phantomlink.recordings.grid import BinGrid

MEMORY_SPIKES = 4_000_000
"""A recording with more spikes than this is read through an index: 4 million take 50 MB."""


class SpikeSource(CountSource, Protocol):
    """Where the counts of a recording come from, and what else is asked of it."""

    @property
    def first_seconds(self) -> float | None:
        """Time of the first, recording clock; None when there are none."""
        ...

    @property
    def last_seconds(self) -> float | None:
        """Time of the last, recording clock; None when there are none."""
        ...

    @property
    def n_spikes(self) -> int:
        """Spikes of all units together."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What is kept of it in memory."""
        ...

    def check_rate(self, grid: BinGrid) -> None:
        """Whether it can be counted in these bins.

        Raises:
            InvalidParameterError: it cannot; says in which it can.
        """
        ...

    def check(self) -> None:
        """Whether what it reads from is whole.

        Raises:
            RecordingError: it is not.
        """
        ...

    def close(self) -> None:
        """Give back files; the source is of no use afterwards."""
        ...


class MemorySpikes:
    """Spikes sorted by time, in memory.

    Args:
        seconds: (n,) recording clock, finite, any order.
        units: (n,) column of each spike, 0 <= units < n_units.
        n_units: columns of the counts.
    """

    in_memory = True

    def __init__(
        self, seconds: NDArray[np.float64], units: NDArray[np.int32], n_units: int
    ) -> None:
        order = np.argsort(seconds, kind="stable")
        self._seconds = seconds[order]
        self._units = units[order]
        self._n_units = n_units

    @property
    def n_spikes(self) -> int:
        """Spikes of all units together."""
        return self._seconds.size

    @property
    def first_seconds(self) -> float | None:
        """Time of the first spike, recording clock; None without spikes."""
        return float(self._seconds[0]) if self.n_spikes else None

    @property
    def last_seconds(self) -> float | None:
        """Time of the last spike, recording clock; None without spikes."""
        return float(self._seconds[-1]) if self.n_spikes else None

    def counts(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.uint16]:
        """(stop - start, n_units) spikes per bin.

        Raises:
            RecordingError: more than 65535 spikes of one unit in one bin.
        """
        # Half a bin more on either side, since a time near an edge is rounded: the index, not
        # the time, says which bin a spike is in.
        margin = 0.5 / float(grid.rate_hz)
        first, last = np.searchsorted(
            self._seconds, (grid.start_of(start) - margin, grid.start_of(stop) + margin)
        )
        bins = grid.indices_of(self._seconds[first:last]) - start
        inside = slice(*np.searchsorted(bins, (0, stop - start)))
        return count_spikes(
            bins[inside], self._units[first:last][inside], (stop - start, self._n_units)
        )

    @property
    def memory_bytes(self) -> int:
        """Times and units."""
        return self._seconds.nbytes + self._units.nbytes

    def check_rate(self, grid: BinGrid) -> None:
        """Spikes can be counted in any bins."""

    def check(self) -> None:
        """It reads from nowhere."""

    def close(self) -> None:
        """Nothing is held open."""
