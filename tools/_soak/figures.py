"""What the server's metrics say, and what they say of the time between two looks. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_LATENESS = "phantomlink_tick_lateness_seconds"
_BUCKET = re.compile(rf'^{_LATENESS}_bucket{{le="([^"]+)"}} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lateness:
    """A cumulative histogram.

    Attributes:
        edges: upper edges, s, ascending, the last one infinite.
        counts: ticks at or below each edge.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def ticks(self) -> int:
        """All of them."""
        return int(self.counts[-1]) if self.counts else 0

    def since(self, earlier: Lateness) -> Lateness:
        """Of the ticks since an earlier look."""
        if earlier.edges != self.edges:
            return self
        counts = zip(self.counts, earlier.counts, strict=True)
        return Lateness(self.edges, tuple(now - then for now, then in counts))

    def quantile(self, share: float) -> float:
        """An edge, s, at or below which at least this share of the ticks was late.

        NaN without ticks. The edges are a factor of two apart.
        """
        if not self.ticks:
            return math.nan
        wanted = share * self.counts[-1]
        return next(e for e, n in zip(self.edges, self.counts, strict=True) if n >= wanted)


NO_LATENESS = Lateness((), ())


def lateness(metrics: str) -> Lateness:
    """The lateness of all ticks, from the metrics as text for Prometheus."""
    buckets = [(float(edge), float(count)) for edge, count in _BUCKET.findall(metrics)]
    return Lateness(tuple(e for e, _ in buckets), tuple(n for _, n in buckets))


def total(metrics: str, name: str) -> float:
    """The sum of a metric over its labels; 0 when it is not there."""
    found = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", metrics, re.MULTILINE)
    return sum(map(float, found))


def slow_clients(done: Mapping[str, int], for_server: float) -> str:
    """What became of the clients that did not read, for people.

    Args:
        done: how many came, and what those that have gone found.
        for_server: how many clients the server counts that lost packets or were closed for it.
    """
    return (
        f"slow clients: {done['came']}, closed by the server as too slow (4408): "
        f"{done['too_slow']}, with another code: {done['closed']}, cut off: {done['cut_off']}, "
        f"let stay: {done['stayed']}, not let in: {done['refused']}; "
        f"the server counts {for_server:.0f} that lost packets or were closed for it"
    )
