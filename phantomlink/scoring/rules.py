"""What a score depends on beside packets and predictions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MAX_DECODERS = 16
"""Names on one scoreboard."""
MOVEMENT_SECONDS = (-0.25, 0.45)
"""The movement window, from the trial's `move_onset_time`."""
LAST_SECONDS = 10
"""How much of the latest stream the short score covers."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_FAST_SHARE = 0.2
_TOP_PERCENT = 99


@lru_cache(MAX_DECODERS * 64)
def is_decoder_name(name: object) -> bool:
    """Whether this may name a decoder: 1 to 64 letters, digits, `-`, `_`."""
    return isinstance(name, str) and _NAME.match(name) is not None


@dataclass(slots=True)
class ScoringRules:
    """What a scoreboard needs to know of a recording and of how it is played.

    What is changed holds from then on: a session may be played faster, and the speed becomes
    known only when somebody has looked at the whole recording.

    Attributes:
        period_ns: between two packets; an answer that takes longer is late.
        bin_size_ms: width of a bin in the recording.
        min_speed: angular errors count above this true speed, the recording's own unit; NaN where
            the recording has no velocity.
    """

    period_ns: int
    bin_size_ms: float
    min_speed: float

    @property
    def last_packets(self) -> int:
        """How many packets `LAST_SECONDS` are, at the rate at which they are sent."""
        return max(1, round(LAST_SECONDS * 1e9 / self.period_ns))


def angular_speed_threshold(velocity: NDArray[np.float64]) -> float:
    """The speed above which directions are compared: a fifth of the recording's p99.

    Args:
        velocity: (n, 2) of the whole recording, NaN where there is none.

    Returns:
        In the unit of the velocity; NaN where there is no velocity at all.
    """
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    speed = speed[np.isfinite(speed)]
    return float(_FAST_SHARE * np.percentile(speed, _TOP_PERCENT)) if speed.size else math.nan


def movement_bins(
    onset_seconds: float, t0_seconds: float, rate_hz: Fraction
) -> tuple[int, int] | None:
    """The bins [start, stop) that start within the movement window of an onset.

    Args:
        onset_seconds: recording clock; NaN where it is not known.
        t0_seconds: start of bin 0, recording clock.
        rate_hz: bins per second.

    Returns:
        None without an onset; the run may leave the recording and the trial.
    """
    if not math.isfinite(onset_seconds):
        return None
    # A start that differs from the edge by rounding alone lies on it.
    before, after = MOVEMENT_SECONDS
    edges = ((onset_seconds + edge - t0_seconds) * float(rate_hz) for edge in (before, after))
    start, stop = (math.ceil(round(edge, 6)) for edge in edges)
    return start, stop
