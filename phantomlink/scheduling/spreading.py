"""What many connections and sessions that began together do, made to come one after the other.

A thousand silent connections that expire in the same turn of the loop delay the tick that is due by
the time that all their endings take, 76 ms. A tenth of the time that each is granted tells them
apart: then it is one or two a millisecond.
"""

from __future__ import annotations

import itertools

_SHARE = 0.1
# Golden ratio: however many follow each other, they lie about evenly.
_STEP = 0.6180339887498949
_SAME_ROUND = 0.01
_numbers = itertools.count()


def spread_seconds(seconds: float) -> float:
    """A time that is up to a tenth longer, for each call another.

    Args:
        seconds: that at least are granted.
    """
    return seconds * (1 + _SHARE * (next(_numbers) * _STEP % 1))


class SpreadRounds:
    """What is done again and again, by each maker of one of these at another time.

    A hundred sessions that each do a millisecond of work once a second take a tenth of one where
    they do it in the same turn of the loop.
    """

    def __init__(self) -> None:
        self._phase = next(_numbers) * _STEP % 1

    def seconds_to_next(self, now: float, every: float) -> float:
        """Until the next round, up to a hundredth longer than from one to the next.

        Args:
            now: s, of any clock that all share.
            every: s, from one round to the next.
        """
        left = 1 - (now / every - self._phase) % 1
        # Of a round that is this one, but for rounding, the next one is meant.
        return every * (left if left > _SAME_ROUND else 1 + left)
