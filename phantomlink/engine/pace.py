"""How wide the bins of a session are, and how fast it plays them: what is allowed."""

from __future__ import annotations

import math
from fractions import Fraction

from phantomlink.errors import InvalidParameterError

MIN_BIN_MS, MAX_BIN_MS = 1, 1000
MIN_SPEED, MAX_SPEED = Fraction(1, 10), Fraction(100)
# What 40 packets a second are at the highest speed; a tick takes about a tenth of a millisecond.
MAX_PACKETS_HZ = 4000
# A period must be expressible without a rounding that adds up over days.
_MAX_DENOMINATOR = 1_000_000


def rate_of_bin_size(bin_size_ms: float) -> Fraction:
    """Bins a second, exactly, of a bin width as a client writes it.

    Raises:
        InvalidParameterError: it is outside the range.
    """
    if not (math.isfinite(bin_size_ms) and MIN_BIN_MS <= bin_size_ms <= MAX_BIN_MS):
        raise InvalidParameterError(
            f"bin_size_ms: got {bin_size_ms:g}, takes {MIN_BIN_MS} to {MAX_BIN_MS}"
        )
    # By its decimal digits: 0.1 is not a tenth in floats.
    return 1000 / Fraction(repr(bin_size_ms)).limit_denominator(_MAX_DENOMINATOR)


def exact_speed(speed: float) -> Fraction:
    """A speed factor as a client writes it, exactly.

    Raises:
        InvalidParameterError: it is outside the range.
    """
    if not (math.isfinite(speed) and float(MIN_SPEED) <= speed <= MAX_SPEED):
        raise InvalidParameterError(
            f"speed: got {speed:g}, takes {float(MIN_SPEED):g} to {float(MAX_SPEED):g}"
        )
    return Fraction(repr(speed)).limit_denominator(_MAX_DENOMINATOR)


def check_pace(rate_hz: Fraction, speed: Fraction) -> None:
    """Refuse what would be more packets a second than a session sends.

    Raises:
        InvalidParameterError: rate and speed together are too high.
    """
    packets_hz = rate_hz * speed
    if packets_hz > MAX_PACKETS_HZ:
        raise InvalidParameterError(
            f"speed: got {float(speed):g} with bins of {float(1000 / rate_hz):g} ms, which is "
            f"{float(packets_hz):g} packets a second; takes up to {MAX_PACKETS_HZ} packets a "
            f"second, a speed of {float(MAX_PACKETS_HZ / rate_hz):g} here"
        )
