"""Transforms that add spikes to many units at once."""

from __future__ import annotations

import numpy as np

from phantomlink.perturbation.cells import Events
from phantomlink.perturbation.compiled import Place, Span
from phantomlink.perturbation.exact import Counts, rounded_by_chance
from phantomlink.perturbation.transforms import CommonArtifact
from phantomlink.perturbation.units import columns_of


class Bursts:
    """`CommonArtifact`."""

    def __init__(self, asked: CommonArtifact, place: Place) -> None:
        length = max(1, round(place.bins_in(asked.duration_seconds)))
        self._events = Events(place, 0, length, asked.rate_hz)
        self._amplitude = asked.amplitude
        self._n_units = place.n_units
        self._bits = place.bits(1, 2 * place.n_units)
        self._columns = np.arange(place.n_units)
        if asked.unit_ids is not None:
            self._columns = columns_of(asked.unit_ids, place)

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        since = self._events.bins_since(span)
        if since is None:
            return counts
        cells = np.ix_(since >= 0, self._columns)
        bits = self._bits.quarters(span.start, span.n, self._n_units, span.loop)
        values = counts[cells].astype(np.float64) + self._amplitude
        counts = counts.copy()
        counts[cells] = rounded_by_chance(values, bits[cells])
        return counts
