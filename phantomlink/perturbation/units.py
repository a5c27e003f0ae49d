"""Which units a transform is about."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from phantomlink.perturbation.compiled import Place
from phantomlink.perturbation.forms import listed, refuse

_SHOWN = 8

Columns = NDArray[np.intp]


def drawn_order(place: Place) -> Columns:
    """All columns in an order drawn from the seed: (n_units,)."""
    words = place.bits(_ORDER, 8 * place.n_units).rows(0, 1)[0, : place.n_units]
    return np.argsort(words, kind="stable")


def drawn_fraction(fraction: float, place: Place) -> Columns:
    """Columns of a fraction of the units; those of a smaller one are among those of a larger."""
    return np.sort(drawn_order(place)[: whole_part(fraction, place.n_units)])


def drawn_pairs(fraction: float, place: Place) -> tuple[Columns, Columns]:
    """Columns of pairs of units that together are a fraction of all; none is in two pairs."""
    pairs = min(whole_part(fraction / 2, place.n_units), place.n_units // 2)
    order = drawn_order(place)[: 2 * pairs]
    return order[::2], order[1::2]


def columns_of(unit_ids: tuple[int, ...], place: Place) -> Columns:
    """Columns of the units with these ids.

    Raises:
        InvalidParameterError: the recording has no such unit.
    """
    columns = {unit_id: column for column, unit_id in enumerate(place.unit_ids)}
    for unit_id in unit_ids:
        if unit_id not in columns:
            some = listed(str(known) for known in place.unit_ids[:_SHOWN])
            more = ", ..." if len(place.unit_ids) > _SHOWN else ""
            refuse(
                f"{place.field}.unit_ids", unit_id, f"ids of units of this recording: {some}{more}"
            )
    return np.array([columns[unit_id] for unit_id in unit_ids], dtype=np.intp)


def whole_part(fraction: float, n: int) -> int:
    """A fraction of n, rounded to a whole number, halves up."""
    return math.floor(fraction * n + 0.5)


_ORDER = 15
"""Purpose of the random bits of the order of units."""
