"""The time that all nodes share: the directory's clock, as each machine estimates it. Pure.

An answer that took a round trip of r tells the directory's clock to r/2. The best of the last few
is believed. A first estimate is taken as it is, and so are small corrections; a step is gone to
slowly, so that the bins of two nodes never differ by more than it at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_KEPT = 8
STEP_NS = 5_000_000
"""Corrections beyond it are slewed."""
SLEW_PER_SECOND_NS = 500_000
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TimeSample:
    """One answer.

    Attributes:
        sent_ns: monotonic, when it was asked.
        common_ns: the directory's clock.
        received_ns: monotonic, when the answer came.
    """

    sent_ns: int
    common_ns: int
    received_ns: int

    @property
    def round_trip_ns(self) -> int:
        """How long the answer took."""
        return self.received_ns - self.sent_ns

    @property
    def offset_ns(self) -> int:
        """Common time less monotonic time."""
        return self.common_ns - (self.sent_ns + self.received_ns) // 2


class CommonTime:
    """Common time less the monotonic clock of this machine, ns."""

    def __init__(self) -> None:
        self._samples: deque[TimeSample] = deque(maxlen=_KEPT)
        self._offset_ns: int | None = None
        self._at_ns = 0

    @property
    def offset_ns(self) -> int:
        """As estimated now; 0 before the first answer."""
        return self._offset_ns or 0

    def answered(self, sample: TimeSample) -> None:
        """An answer has come."""
        self._samples.append(sample)
        best_ns = min(self._samples, key=lambda each: each.round_trip_ns).offset_ns
        now_ns = sample.received_ns
        if self._offset_ns is None or abs(best_ns - self._offset_ns) <= STEP_NS:
            self._offset_ns = best_ns
        else:
            most_ns = (now_ns - self._at_ns) * SLEW_PER_SECOND_NS // _NS
            step_ns = best_ns - self._offset_ns
            self._offset_ns += min(max(step_ns, -most_ns), most_ns)
        self._at_ns = now_ns
