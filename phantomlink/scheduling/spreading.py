"""Deadlines of many connections that were opened together, made to pass one after the other.

A thousand silent connections that expire in the same turn of the loop delay the tick that is due by
the time that all their endings take, 76 ms. A tenth of the time that each is granted tells them
apart: then it is one or two a millisecond.
"""

from __future__ import annotations

import itertools

_SHARE = 0.1
# Golden ratio: however many follow each other, they lie about evenly.
_STEP = 0.6180339887498949
_numbers = itertools.count()


def spread_seconds(seconds: float) -> float:
    """A time that is up to a tenth longer, for each call another.

    Args:
        seconds: that at least are granted.
    """
    return seconds * (1 + _SHARE * (next(_numbers) * _STEP % 1))
