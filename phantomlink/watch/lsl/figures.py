"""What was measured of a stream of samples: rate, jitter, latency, what is missing. Pure.

A sample of LSL carries no packet id, so losses are looked for in the timestamps. They are the
deadlines of packets: neighbours are one period apart, to the microsecond. Where they are two or
more whole periods apart, packets between them did not arrive here, or were never sent: a pause
that ended on the grid looks the same. A step that is no whole number of periods is certainly not
a loss alone: the server held the stream and began a new grid (pause, stall, nobody listened).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]

# Of a period. Deadlines are exact; a sender that stamps when it pushes is not, and is told apart.
_ON_GRID = 0.02
_LONG_STEP = 1.5
# Stamps of one packet are equal in every stream; as doubles they are good to 10 ns in a year.
_SAME_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles, ms."""

    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Steps:
    """What the timestamps of a stream say, from one to the next.

    Attributes:
        backwards: not after the one before.
        on_grid: steps of a whole number of periods.
        gaps: of these, longer than one period.
        missing: samples that these leave out.
        off_grid: steps that are no whole number of periods.
        holds: of these, longer than one and a half periods.
        longest_seconds: the longest step.
    """

    backwards: int
    on_grid: int
    gaps: int
    missing: int
    off_grid: int
    holds: int
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class StampFigures:
    """A regular stream in numbers.

    Attributes:
        stamped_rate_hz: (samples - 1) / span of the timestamps; None for fewer than two.
        interval_errors: |time between two arrivals - period|, of samples whose timestamps are one
            period apart; None without such.
        latency: arrival minus timestamp, mapped into the clock of this machine; None without
            samples. It holds the lateness of the server's tick too.
        steps: of the timestamps.
    """

    stamped_rate_hz: float | None
    interval_errors: Spread | None
    latency: Spread | None
    steps: Steps


def steps_of(stamps: Seconds, period_seconds: float) -> Steps:
    """Judge neighbouring timestamps.

    Args:
        stamps: (n,) s, in order of arrival.
        period_seconds: of the nominal rate.
    """
    steps = np.diff(stamps)
    if not steps.size:
        return Steps(0, 0, 0, 0, 0, 0, 0.0)
    backwards = steps <= 0
    periods = steps / period_seconds
    whole = np.rint(periods)
    on_grid = ~backwards & (whole >= 1) & (np.abs(periods - whole) <= _ON_GRID)
    off_grid = ~backwards & ~on_grid
    left_out = whole[on_grid] - 1
    return Steps(
        backwards=int(backwards.sum()),
        on_grid=int(on_grid.sum()),
        gaps=int((left_out > 0).sum()),
        missing=int(left_out.sum()),
        off_grid=int(off_grid.sum()),
        holds=int((off_grid & (periods > _LONG_STEP)).sum()),
        longest_seconds=float(steps.max()),
    )


def measure_stamps(
    stamps: Seconds, received: Seconds, rate_hz: float, offset_seconds: float
) -> StampFigures:
    """The figures of a regular stream.

    Args:
        stamps: (n,) timestamps, s of the sender's clock.
        received: (n,) when each came, s of this machine's clock.
        rate_hz: nominal.
        offset_seconds: to be added to a timestamp to have it in this machine's clock.
    """
    period = 1 / rate_hz
    span = float(stamps[-1] - stamps[0]) if stamps.size > 1 else 0.0
    neighbours = np.abs(np.diff(stamps) / period - 1) <= _ON_GRID
    errors_ms = np.abs(np.diff(received) - period)[neighbours] * 1e3
    latency_ms = (received - stamps - offset_seconds) * 1e3
    return StampFigures(
        stamped_rate_hz=(stamps.size - 1) / span if span > 0 else None,
        interval_errors=_spread(errors_ms),
        latency=_spread(latency_ms),
        steps=steps_of(stamps, period),
    )


def missing_beside(stamps: Mapping[str, Seconds], period_seconds: float) -> dict[str, int]:
    """How many samples each stream lacks that another one of the session has.

    Only the time in which all were received counts, less half a period at either end: streams are
    opened and left one after the other.

    Args:
        stamps: (n,) timestamps of each stream, s of one clock.
        period_seconds: of the nominal rate.
    """
    if len(stamps) < 2 or not all(each.size for each in stamps.values()):
        return dict.fromkeys(stamps, 0)
    begin = max(each.min() for each in stamps.values()) + period_seconds / 2
    end = min(each.max() for each in stamps.values()) - period_seconds / 2
    keys = {
        name: np.unique(np.rint(each[(each >= begin) & (each <= end)] / _SAME_SECONDS))
        for name, each in stamps.items()
    }
    everything = _merged(keys.values())
    return {name: int(everything.size - _merged([own]).size) for name, own in keys.items()}


def _merged(keys: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Distinct keys; neighbours that differ by rounding alone are one."""
    together = np.unique(np.concatenate(list(keys)))
    if not together.size:
        return together
    distinct: NDArray[np.float64] = together[np.diff(together, prepend=-math.inf) > 1]
    return distinct


def _spread(milliseconds: Seconds) -> Spread | None:
    if not milliseconds.size:
        return None
    p50, p95, p99 = np.percentile(milliseconds, (50, 95, 99))
    return Spread(float(p50), float(p95), float(p99), float(milliseconds.max()))
