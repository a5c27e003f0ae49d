"""Transforms that multiply counts by a gain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from phantomlink.perturbation.compiled import Place, Span
from phantomlink.perturbation.exact import (
    Counts,
    Floats,
    normal,
    rounded_by_chance,
    sine,
    uniform,
)
from phantomlink.perturbation.transforms import Drift, GainShift, NonstationaryRates
from phantomlink.perturbation.units import drawn_fraction

_TURN = 2**64
_BINS_AHEAD = 256


class _Course:
    """A function of stream time, known some bins ahead: many values cost little more than few.

    Args:
        make: from (n,) stream times in bins to values whose last axis is n.
    """

    def __init__(self, make: Callable[[NDArray[np.uint64]], Floats]) -> None:
        self._make = make
        self._start = 0
        self._values: Floats = np.empty(0)

    def of(self, span: Span) -> Floats:
        """Values at the bins of a span, its last axis; not to be written to."""
        first = span.time - self._start
        if first < 0 or first + span.n > self._values.shape[-1]:
            stop = span.time + max(span.n, _BINS_AHEAD)
            self._values = self._make(np.arange(span.time, stop, dtype=np.uint64))
            self._start, first = span.time, 0
        return self._values[..., first : first + span.n]


class DriftingGain:
    """`Drift`: a sine of stream time for all units, each following it as far as its own factor."""

    def __init__(self, asked: Drift, place: Place) -> None:
        self._n_units = place.n_units
        self._bits = place.bits(0, 2 * place.n_units)
        factors = uniform(place.bits(1, 4 * place.n_units).halves(0, 1, place.n_units)[0])
        self._factors: Floats = (0.5 + factors) * asked.drift_amplitude
        # 1.5 + 0.15 is the most that both waves take from the gain of any unit.
        self._may_end = asked.drift_amplitude * 1.66 > 1
        # Phases are whole numbers that wrap with the turn: nothing adds up over days but half a
        # unit of 2**-64 of a turn in each bin.
        step = round(_TURN / place.bins_in(asked.drift_period_seconds)) % _TURN
        steps = np.array([[step], [step * 10 % _TURN]], dtype=np.uint64)

        def waves(times: NDArray[np.uint64]) -> Floats:
            slow, fast = sine(times * steps)
            both: Floats = slow + 0.1 * fast
            return both

        self._waves = _Course(waves)

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        gains = self._waves.of(span)[:, None] * self._factors
        gains += 1.0
        if self._may_end:
            np.maximum(gains, 0.0, out=gains)
        gains *= counts
        bits = self._bits.quarters(span.start, span.n, self._n_units, span.loop)
        return rounded_by_chance(gains, bits)


class WanderingGain:
    """`NonstationaryRates`: normal values at the edges of cells, in between by sine and cosine."""

    def __init__(self, asked: NonstationaryRates, place: Place) -> None:
        self._std = asked.rate_std
        self._n_units = place.n_units
        self._bits = place.bits(0, 2 * place.n_units)
        self._edge_bits = place.bits(1, 4 * place.n_units)
        self._length = length = max(1, round(place.bins_in(asked.timescale_seconds)))

        def weights(times: NDArray[np.uint64]) -> Floats:
            angles = (times % np.uint64(length)) * np.uint64(_TURN // 4 // length)
            return sine(np.stack([angles + np.uint64(_TURN // 4), angles]))

        self._weights = _Course(weights)
        self._known: tuple[int, int] | None = None
        self._edges: Floats = np.empty((0, 0))

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        first = span.time // self._length
        n_edges = (span.time + span.n - 1) // self._length - first + 2
        if self._known != (first, n_edges):  # cells are mostly longer than blocks
            self._edges = normal(self._edge_bits.halves(first, n_edges, self._n_units))
            self._known = first, n_edges
        # One row for all where the span does not leave its first cell.
        rows: int | NDArray[np.int64] = 0
        if n_edges > 2:
            times = np.arange(span.time, span.time + span.n, dtype=np.int64)
            rows = times // self._length - first
        left, right = self._weights.of(span)[:, :, None]
        gains = self._edges[rows] * left
        gains += self._edges[rows + 1] * right
        gains *= self._std
        gains += 1.0
        np.maximum(gains, 0.0, out=gains)
        gains *= counts
        bits = self._bits.quarters(span.start, span.n, self._n_units, span.loop)
        return rounded_by_chance(gains, bits)


class ShiftedGain:
    """`GainShift`."""

    def __init__(self, asked: GainShift, place: Place) -> None:
        self._from = place.bin_from(asked.at_seconds)
        self._n_units = place.n_units
        self._bits = place.bits(0, 2 * place.n_units)
        # A count times 1 stays as it is when it is rounded by chance.
        self._gains: Floats = np.ones(place.n_units)
        self._gains[drawn_fraction(asked.fraction, place)] = asked.gain

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        before = span.rows_before(self._from)
        if before == span.n:
            return counts
        bits = self._bits.quarters(span.start, span.n, self._n_units, span.loop)
        shifted = rounded_by_chance(counts * self._gains, bits)
        shifted[:before] = counts[:before]
        return shifted
