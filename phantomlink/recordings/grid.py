"""Where bins lie on the recording's clock.

Bin i covers [t0 + i / rate, t0 + (i + 1) / rate) seconds of the recording's clock. The index of
a time is rounded to a millionth of a bin before the floor: 3.3 s * 40 Hz is 131.99999999999997
in floats, and without the rounding a spike on an edge would fall into the bin before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import BinRangeError


@dataclass(frozen=True, slots=True)
class BinGrid:
    """Pure arithmetic between seconds of the recording's clock and bin indices.

    Attributes:
        t0_seconds: start of bin 0, recording clock.
        rate_hz: bins per second; a fraction, so that 1000/33 Hz has no rounding of its own.
        n_bins: bins of the recording; the last one holds the last event.
    """

    t0_seconds: float
    rate_hz: Fraction
    n_bins: int

    @classmethod
    def covering(cls, t0_seconds: float, last_event_seconds: float, rate_hz: Fraction) -> BinGrid:
        """The grid from `t0_seconds` whose last bin holds `last_event_seconds`."""
        n_bins = cls(t0_seconds, rate_hz, 0).index_of(last_event_seconds) + 1
        return cls(t0_seconds, rate_hz, n_bins)

    @property
    def bin_size_ms(self) -> float:
        """Width of a bin, ms."""
        return 1000 * self.rate_hz.denominator / self.rate_hz.numerator

    @property
    def duration_seconds(self) -> float:
        """Length of all bins together, s; not the time of the last event."""
        return self.n_bins * self.rate_hz.denominator / self.rate_hz.numerator

    def index_of(self, seconds: float) -> int:
        """Bin that holds this time (recording clock); outside the recording too, unclamped."""
        return int(self.indices_of(np.float64(seconds)))

    def indices_of(self, seconds: NDArray[np.float64] | np.float64) -> NDArray[np.int64]:
        """Bin of each time.

        Args:
            seconds: any shape, recording clock.

        Returns:
            Same shape; outside the recording too, unclamped.
        """
        position = np.round((seconds - self.t0_seconds) * float(self.rate_hz), 6)
        return np.floor(position).astype(np.int64)

    def start_of(self, index: int) -> float:
        """Time at which bin `index` starts, s, recording clock."""
        return self.t0_seconds + index * self.rate_hz.denominator / self.rate_hz.numerator

    def starts_of(self, start: int, stop: int) -> NDArray[np.float64]:
        """Times at which bins [start, stop) start: (stop - start,), s, recording clock."""
        # One multiplication and one division, as in start_of, so that both give the same floats.
        ticks = np.arange(start, stop, dtype=np.float64) * self.rate_hz.denominator
        starts: NDArray[np.float64] = self.t0_seconds + ticks / self.rate_hz.numerator
        return starts

    def check(self, start: int, stop: int) -> None:
        """Refuse a range of bins that is not inside the recording.

        Raises:
            BinRangeError: unless 0 <= start <= stop <= n_bins.
        """
        if not 0 <= start <= stop <= self.n_bins:
            raise BinRangeError(
                f"bins [{start}, {stop}) asked for; the recording has bins 0 to {self.n_bins - 1}"
            )


def zero_of(first_event_seconds: float, last_event_seconds: float) -> float:
    """Where bin 0 starts, s, recording clock.

    0, unless times are negative or the first event lies later than the whole span of the events
    (the clock of a computer, say); then the whole second at or before the first event.
    """
    span = last_event_seconds - first_event_seconds
    if first_event_seconds < 0 or first_event_seconds > span:
        return float(math.floor(first_event_seconds))
    return 0.0
