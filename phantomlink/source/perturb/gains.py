"""Transforms that multiply counts by a gain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantomlink.source.perturb.compiled import Place, Span
from phantomlink.source.perturb.exact import (
    Counts,
    Floats,
    centred,
    rounded_by_chance,
    sine,
)
from phantomlink.source.perturb.transforms import Drift

_TURN = 2**64


class DriftingGain:
    """`Drift`: a sine of stream time for all units, each following it as far as its own factor."""

    def __init__(self, asked: Drift, place: Place) -> None:
        self._n_units = place.n_units
        self._bits = place.bits(0, 2 * place.n_units)
        factors = centred(place.bits(1, 4 * place.n_units).halves(0, 1, place.n_units)[0])
        self._factors: Floats = (0.5 + factors) * asked.drift_amplitude
        # Phases are whole numbers that wrap with the turn: nothing adds up over days but half a
        # unit of 2**-64 of a turn in each bin.
        step = round(_TURN / place.bins_in(asked.drift_period_seconds)) % _TURN
        self._steps: NDArray[np.uint64] = np.array([[step], [step * 10 % _TURN]], dtype=np.uint64)

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        times = np.arange(span.time, span.time + span.n, dtype=np.uint64)
        slow, fast = sine(times * self._steps)
        gains = (slow + 0.1 * fast)[:, None] * self._factors
        gains += 1.0
        np.maximum(gains, 0.0, out=gains)
        gains *= counts
        bits = self._bits.quarters(span.start, span.n, self._n_units, span.loop)
        return rounded_by_chance(gains, bits)
