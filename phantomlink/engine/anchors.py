"""Where a playhead is at any time, computed from one moment at which that was known. Pure.

An anchor says when one packet of a playhead is due. Between two events (a pause, a seek, another
speed) packets follow it a period apart, so whoever has the anchor knows what is due now, also a
process that has never played the session.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """One packet of a playhead, and when it is due.

    Attributes:
        position: in the playhead's selection of bins.
        sequence_number: of the packet.
        loop: in which it is sent.
        due_ns: common time of all processes, ns; None while the playhead holds.
    """

    position: int
    sequence_number: int
    loop: int
    due_ns: int | None

    def at(self, now_ns: int, rate_hz: Fraction, length: int, *, loop: bool) -> Anchor:
        """The first packet that is due at or after a time; itself while the playhead holds.

        Args:
            now_ns: common time.
            rate_hz: packets a second.
            length: of the selection, bins.
            loop: whether it starts again after the last bin; otherwise it holds there.
        """
        if self.due_ns is None or now_ns <= self.due_ns:
            return self
        passed = ticks_before(now_ns - self.due_ns, rate_hz)
        left = length - self.position
        if not loop and passed >= left:
            return Anchor(0, self.sequence_number + left, self.loop + 1, None)
        loops, position = divmod(self.position + passed, length)
        return Anchor(
            position,
            self.sequence_number + passed,
            self.loop + loops,
            self.due_ns + passed * rate_hz.denominator * _NS // rate_hz.numerator,
        )

    def held(self) -> Anchor:
        """The same packet, of a playhead that holds."""
        return replace(self, due_ns=None)


def ticks_before(late_ns: int, rate_hz: Fraction) -> int:
    """How many ticks of a grid that begins `late_ns` ago lie before now."""
    return -(-late_ns * rate_hz.numerator // (rate_hz.denominator * _NS))
