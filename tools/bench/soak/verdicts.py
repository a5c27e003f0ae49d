"""What follows from a soak. Pure.

Whether a figure grows is judged by a robust slope: Theil and Sen's, the median of the slopes of
all pairs of samples, of which a third may be wild. Its interval, Sen's, takes the samples for
independent of each other, which memory is not quite; so one that touches the limit decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from scipy.stats import theilslopes

# By figure of a sample: what it is called, how much more an hour is still none, and its unit.
LIMITS = {
    "rss_mb": ("resident memory", 1.0, " MB"),
    "uss_mb": ("memory of its own", 1.0, " MB"),
    "descriptors": ("descriptors", 6.0, ""),
    "threads": ("threads", 6.0, ""),
}
# One connection of the tool's own may be open at either look.
LEFT_BEHIND = 2
FEWEST_PACKETS = 0.9
"""Share of the packets that a stream should have had: below it the server was held up, or ended."""
FAILED_CALLS = 0.01
MOST_WARM_UP_SECONDS = 300.0
WARM_UP_SHARE = 0.25
SECONDS_AN_HOUR = 3600.0
FEWEST_SAMPLES = 5
_GAPS_KEPT = 10


class Finding(StrEnum):
    """What was found about a criterion."""

    HOLDS = "holds"
    GROWS = "grows"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment; NaN where it is not known.

    Attributes:
        seconds: since the load began.
        rss_mb: resident memory.
        uss_mb: memory of its own.
        descriptors, threads: open ones.
    """

    seconds: float
    rss_mb: float = math.nan
    uss_mb: float = math.nan
    descriptors: float = math.nan
    threads: float = math.nan


@dataclass(slots=True)
class Heard:
    """What the well-behaved clients received.

    Attributes:
        packets: of each stream.
        gaps: jumps of a stream's sequence numbers, as text, some of them.
        n_gaps: how many.
        closed: streams that ended, and how.
    """

    packets: list[int]
    gaps: list[str] = field(default_factory=list)
    n_gaps: int = 0
    closed: list[str] = field(default_factory=list)

    def add(self, told: Mapping[str, Any]) -> None:
        """What a receiver told of a slice."""
        self.packets = [
            n + len(columns[0]) for n, columns in zip(self.packets, told["columns"], strict=True)
        ]
        self.gaps = (self.gaps + told["gaps"])[:_GAPS_KEPT]
        self.n_gaps += told["n_gaps"]
        self.closed = [reason for reason in told["closed"] if reason is not None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One criterion.

    Attributes:
        name: of it.
        finding: whether it holds; None where it could not be looked at.
        text: the figures.
    """

    name: str
    finding: Finding | None
    text: str


def warm_up_seconds(seconds: float) -> float:
    """How much of a soak of this length is left out of every slope."""
    return min(MOST_WARM_UP_SECONDS, WARM_UP_SHARE * seconds)


def trend(samples: Sequence[Sample], figure: str) -> tuple[float, float, float]:
    """Of one figure, over samples, oldest first: how much more an hour.

    Returns:
        The slope, NaN with fewer than two samples, and the interval that holds it with 95 %
        confidence, infinite where there are too few samples to say.
    """
    if len(samples) < 2:
        return math.nan, -math.inf, math.inf
    hours = [sample.seconds / SECONDS_AN_HOUR for sample in samples]
    slope, _, low, high = map(float, theilslopes([asdict(s)[figure] for s in samples], hours))
    return (slope, low, high) if len(samples) >= FEWEST_SAMPLES else (slope, -math.inf, math.inf)


def against(low: float, high: float, limit: float) -> Finding:
    """Whether a slope that lies within an interval is below a limit."""
    if low > limit:
        return Finding.GROWS
    return Finding.HOLDS if high <= limit else Finding.UNDECIDED


def judge(
    heard: Heard,
    expected_packets: float,
    samples: Sequence[Sample],
    warm_up: float,
    left_behind: Mapping[str, float],
    calls: Mapping[str, tuple[int, int]],
) -> list[Verdict]:
    """Every criterion.

    Args:
        heard: by the well-behaved clients.
        expected_packets: that each of their streams should have had.
        samples: of the server, oldest first; of none when its process is not known.
        warm_up: s, left out of the slopes.
        left_behind: by what, how many more there are after the load than before.
        calls: by what was done, how often, and how often it failed.
    """
    some = f" ({'; '.join(heard.gaps)})" if heard.gaps else ""
    n_closed, fewest = len(heard.closed), min(heard.packets)
    warm = [sample for sample in samples if sample.seconds >= warm_up]
    return [
        _holding("gaps", not heard.n_gaps, f"{heard.n_gaps}{some}"),
        _holding("streams that ended", not n_closed, "; ".join([str(n_closed), *heard.closed[:5]])),
        _holding(
            "packets of each stream",
            fewest >= FEWEST_PACKETS * expected_packets,
            f"at least {fewest} of {expected_packets:.0f}",
        ),
        *(growth(warm, figure) for figure in LIMITS),
        *(
            _holding(f"{name} left behind", more <= LEFT_BEHIND, f"{more:+g}")
            for name, more in left_behind.items()
        ),
        *(
            _holding(name, failed <= FAILED_CALLS * done, f"{failed} of {done} failed")
            for name, (done, failed) in calls.items()
        ),
    ]


def growth(samples: Sequence[Sample], figure: str) -> Verdict:
    """Whether a figure grows by more than its limit an hour, and goes on doing so.

    A process that warms up grows too, by less and less; no interval of a straight line knows of
    that. So what grows over all samples has to grow over the later half of them as well.
    """
    label, limit, unit = LIMITS[figure]
    slope, low, high = trend(samples, figure)
    if math.isnan(slope):
        return Verdict(label, None, "not measured")
    text = (
        f"{slope:+.2f} [{low:+.2f}, {high:+.2f}]{unit} an hour, limit {limit:g}, "
        f"{len(samples)} samples"
    )
    finding = against(low, high, limit)
    _, low, high = trend(samples[len(samples) // 2 :], figure)
    if finding is Finding.GROWS and against(low, high, limit) is not Finding.GROWS:
        return Verdict(label, Finding.UNDECIDED, f"{text}; not in their later half")
    return Verdict(label, finding, text)


def _holding(name: str, holds: bool, text: str) -> Verdict:
    return Verdict(name, Finding.HOLDS if holds else Finding.GROWS, text)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 when anything was lost or grows; what is undecided is not held against the server."""
    return int(any(verdict.finding is Finding.GROWS for verdict in verdicts))


def text(verdicts: Sequence[Verdict]) -> str:
    """For people."""
    words = {Finding.GROWS: "FAILS", None: "-"}
    return "\n".join(
        f"{words.get(v.finding, v.finding):<10} {v.name:<24} {v.text}" for v in verdicts
    )
