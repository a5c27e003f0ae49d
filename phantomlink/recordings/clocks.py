"""Whether the parts of a recording are on one clock: compares the spans of their times. Pure.

Nothing is corrected here. What looks wrong is said with both spans and the option that would
mend it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_NEAR = 1.5
"""A ratio within this factor of 1000 is near it: recordings go on after behaviour has ended."""

_APART_SECONDS = 1.0
_APART_SECONDS = 1.0
_USUAL_RATES_HZ = (30_000.0, 24_414.0625, 25_000.0, 20_000.0, 32_000.0, 40_000.0, 10_000.0)


class Span(NamedTuple):
    """First and last time of something, s, recording clock."""

    first: float
    last: float

    def __str__(self) -> str:
        return f"{round(self.first, 3):.15g} s to {round(self.last, 3):.15g} s"

    def misses(self, other: Span) -> bool:
        """Whether the two have no moment in common, by more than a second.

        Spikes may be so sparse that the last one comes a little before behaviour begins.
        """
        return max(other.first - self.last, self.first - other.last) > _APART_SECONDS


class SpikeClock(NamedTuple):
    """What is known of the clock of the spikes.

    Attributes:
        span: of the spike times; None without spikes.
        sampling_rate_hz: at which they were found; None where not said.
    """

    span: Span | None
    sampling_rate_hz: float | None

    def misses(self, other: Span) -> bool:
        """Whether something else has no moment in common with the spikes."""
        return self.span is not None and self.span.misses(other)

    def remedy(self, other: Span, offset: str) -> tuple[str, str]:
        """The option that would bring something else that misses the spikes to them.

        Args:
            other: span of it.
            offset: option that shifts it.

        Returns:
            Name and value of the option.
        """
        assert self.span is not None
        unit = suspected_unit(self.span, other, self.sampling_rate_hz)
        if unit is not None:
            return "spike-time-unit", unit
        return offset, f"{round(self.span.first - other.first)}"


def span_of(times: Iterable[float]) -> Span | None:
    """First and last of some times; None when there are none."""
    listed = list(times)
    return Span(min(listed), max(listed)) if listed else None


def suspected_unit(spikes: Span, others: Span, rate_hz: float | None) -> str | None:
    """The unit that spike times seem to have, when seconds are unlikely.

    Args:
        spikes: span of the spike times, taken as seconds.
        others: span of behaviour and trials.
        rate_hz: sampling rate that the file states; None: usual ones are tried.

    Returns:
        A value of `--spike-time-unit`; None where seconds are plausible.
    """
    if spikes.last <= 0 or others.last <= 0:
        return None
    ratio = spikes.last / others.last
    candidates = {1e3: "ms", 1e6: "us"}
    for rate in (rate_hz,) if rate_hz else _USUAL_RATES_HZ:
        candidates[rate] = f"samples@{rate:g}"
    nearest = min(candidates, key=lambda factor: max(factor / ratio, ratio / factor))
    return candidates[nearest] if 1 / _NEAR < ratio / nearest < _NEAR else None
