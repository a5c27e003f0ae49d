"""Spreads the ticks of playheads of the same rate over their period.

Sessions that tick together wait for one another: 100 sessions in the same phase were 12 ms late
at the 99th percentile, spread out 16 us. A phase is chosen where the widest gap is when a
playhead starts or re-anchors, and never moved while it plays.
"""

from __future__ import annotations

from collections.abc import Hashable
from fractions import Fraction
from itertools import pairwise

_NS = 1_000_000_000


# Ticks that are this far apart each have a wake-up of their own. One costs as much as a tick, so
# where there are more of them they follow each other closely, a few to a wake-up: by so much that
# the one before has been sent.
_APART_NS = 2_000_000
_CLOSE_NS = 65_000


class PhaseAllocator:
    """Who ticks when: the anchors of the playheads that play now, by rate.

    Attributes:
        ticks_hz: ticks a second of all of them together.
    """

    def __init__(self) -> None:
        self._anchors: dict[Fraction, dict[Hashable, int]] = {}
        self.ticks_hz = 0.0

    def choose(self, owner: Hashable, rate_hz: Fraction, earliest_ns: int) -> int:
        """First deadline for `owner`: in the widest gap, at most a period after `earliest_ns`.

        Alone, it is `earliest_ns` itself. The owner's former phase is forgotten.
        """
        self.forget(owner)
        anchors = self._anchors.setdefault(rate_hz, {})
        first = earliest_ns
        if anchors:
            # In units of 1 / rate.numerator ns, in which a period is a whole number.
            unit, period = rate_hz.numerator, _NS * rate_hz.denominator
            offsets = sorted((anchor - earliest_ns) * unit % period for anchor in anchors.values())
            start, gap = offsets[0], 0
            for offset, following in pairwise([*offsets, offsets[0] + period]):
                if following - offset > gap:
                    start, gap = offset, following - offset
            first += (start + _into(gap, unit)) % period // unit
        anchors[owner] = first
        self._count()
        return first

    def forget(self, owner: Hashable) -> None:
        """`owner` no longer ticks."""
        for rate_hz, anchors in list(self._anchors.items()):
            if anchors.pop(owner, None) is not None and not anchors:
                del self._anchors[rate_hz]
        self._count()

    def _count(self) -> None:
        self.ticks_hz = float(
            sum(rate_hz * len(anchors) for rate_hz, anchors in self._anchors.items())
        )


def _into(gap: int, unit: int) -> int:
    """How far into a gap between two ticks a third one goes; all in units of 1 / `unit` ns."""
    if _CLOSE_NS * 2 * unit <= gap < _APART_NS * 2 * unit:
        return _CLOSE_NS * unit
    return gap // 2
