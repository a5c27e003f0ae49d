"""What the server's metrics say, and what they say of the time between two looks. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


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


def lateness(metrics: str) -> Lateness:
    """The lateness of all ticks, from the metrics as text for Prometheus."""
    buckets = _samples(metrics, "phantomlink_tick_lateness_seconds_bucket")
    by_edge = {float(sample.labels["le"]): sample.value for sample in buckets}
    return Lateness(tuple(by_edge), tuple(by_edge.values()))


def total(metrics: str, name: str) -> float:
    """The sum of a metric over its labels; 0 when it is not there."""
    return float(sum(sample.value for sample in _samples(metrics, name)))


def _samples(metrics: str, name: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(metrics):
        yield from (sample for sample in family.samples if sample.name == name)
