"""Transforms that silence units, exchange them or limit them."""

from __future__ import annotations

import math

import numpy as np

from phantomlink.perturbation.cells import Renewals
from phantomlink.perturbation.compiled import Place, Span
from phantomlink.perturbation.exact import Counts
from phantomlink.perturbation.transforms import DeadUnits, Dropout, Saturation, UnitSwap
from phantomlink.perturbation.units import columns_of, drawn_fraction, drawn_pairs


class Silences:
    """`Dropout`.

    A silence begins where a unit that was not silent is drawn silent, which is the case in
    fraction * (1 - fraction) of the cells; it is silent for the fraction of the time. So a
    silence lasts 1 / (1 - fraction) cells in the mean.
    """

    def __init__(self, asked: Dropout, place: Place) -> None:
        length = place.bins_in(asked.mean_seconds) * (1 - asked.fraction)
        self._heard = Renewals(place, 0, max(1, math.floor(length + 0.5)), asked.fraction)

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        return counts * self._heard.holds(span)


class Deaths:
    """`DeadUnits`."""

    def __init__(self, asked: DeadUnits, place: Place) -> None:
        self._from = place.bin_from(asked.at_seconds)
        if asked.unit_ids is not None:
            dead = columns_of(asked.unit_ids, place)
        else:
            dead = drawn_fraction(asked.fraction or 0.0, place)
        self._is_alive = np.ones(place.n_units, dtype=np.bool_)
        self._is_alive[dead] = False

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        alive = span.rows_before(self._from)
        if alive == span.n:
            return counts
        left = counts * self._is_alive
        left[:alive] = counts[:alive]
        return left


class Exchanges:
    """`UnitSwap`."""

    def __init__(self, asked: UnitSwap, place: Place) -> None:
        self._from = place.bin_from(asked.at_seconds)
        self._columns = np.arange(place.n_units)
        one, other = drawn_pairs(asked.fraction, place)
        self._columns[one], self._columns[other] = other, one

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        before = span.rows_before(self._from)
        if before == span.n:
            return counts
        exchanged = counts.take(self._columns, axis=1)
        exchanged[:before] = counts[:before]
        return exchanged


class Limit:
    """`Saturation`."""

    def __init__(self, asked: Saturation, place: Place) -> None:
        limit = asked.max_count
        if limit is None:
            seconds = 1 / place.grid.rate_hz
            limit = max(1, math.floor(round((asked.max_rate_hz or 0.0) * seconds, 6)))
        self._limit = np.uint16(min(limit, 65535))

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        return np.minimum(counts, self._limit)
