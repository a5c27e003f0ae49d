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


def columns_of(unit_ids: tuple[int | str, ...], place: Place) -> Columns:
    """Columns of the units with these ids, or with these labels of the file.

    Raises:
        InvalidParameterError: the recording has no such unit, or several of that label.
    """
    return np.array([_column_of(unit_id, place) for unit_id in unit_ids], dtype=np.intp)


def _column_of(unit_id: int | str, place: Place) -> int:
    if unit_id in place.unit_ids:
        return place.unit_ids.index(unit_id)
    field = f"{place.field}.unit_ids"
    labels = place.unit_labels or ()
    columns = [column for column, label in enumerate(labels) if label == str(unit_id)]
    if len(columns) > 1:
        rows = listed(str(place.unit_ids[column]) for column in columns)
        refuse(field, unit_id, f"a label that one unit has; these rows have it: {rows}")
    if not columns:
        known = [*map(str, place.unit_ids[:_SHOWN]), *map(repr, labels[:_SHOWN])]
        more = ", ..." if len(place.unit_ids) > _SHOWN else ""
        refuse(field, unit_id, f"ids of units of this recording: {listed(known)}{more}")
    return columns[0]


def whole_part(fraction: float, n: int) -> int:
    """A fraction of n, rounded to a whole number, halves up."""
    return math.floor(fraction * n + 0.5)


_ORDER = 15
"""Purpose of the random bits of the order of units."""
