"""What follows from a soak. Pure.

Whether a figure grows is judged by a robust slope: Theil and Sen's, the median of the slopes of
all pairs of samples, of which a third may be wild. Its interval, Sen's, takes the samples for
independent of each other, which memory is not quite; so one that touches the limit decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from scipy.stats import theilslopes

MEMORY_MB_AN_HOUR = 1.0
DESCRIPTORS_AN_HOUR = 6.0
THREADS_AN_HOUR = 6.0
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


class Finding(Enum):
    """What was found about a criterion."""

    HOLDS = "holds"
    GROWS = "grows"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope, an hour, and the interval that holds it with 95 % confidence.

    Attributes:
        slope: NaN with fewer than two samples.
        low, high: infinite where there are too few samples to say.
        n: samples.
    """

    slope: float
    low: float
    high: float
    n: int

    def against(self, limit: float) -> Finding:
        """Whether the slope is below a limit."""
        if self.low > limit:
            return Finding.GROWS
        return Finding.HOLDS if self.high <= limit else Finding.UNDECIDED


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of values over time.

    Args:
        seconds: (n,) ascending, no two the same.
        values: (n,) of anything; the slope is of it an hour.
    """
    n = len(seconds)
    if n < 2:
        return Trend(math.nan, -math.inf, math.inf, n)
    slope, _, low, high = theilslopes(values, [s / SECONDS_AN_HOUR for s in seconds])
    if n < FEWEST_SAMPLES:
        low, high = -math.inf, math.inf
    return Trend(float(slope), float(low), float(high), n)


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
    rss_mb: float
    uss_mb: float
    descriptors: float
    threads: float


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
        self.packets = [n + more for n, more in zip(self.packets, told["rows"], strict=True)]
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


def slope(samples: Sequence[Sample], figure: str) -> Trend:
    """Of one figure, over samples."""
    return trend([s.seconds for s in samples], [getattr(s, figure) for s in samples])


def grows(samples: Sequence[Sample], figure: str, limit: float) -> Finding:
    """Whether a figure grows by more than a limit an hour, and goes on doing so.

    A process that warms up grows too, by less and less; no interval of a straight line knows of
    that. So what grows over all samples has to grow over the later half of them as well.
    """
    over_all = slope(samples, figure).against(limit)
    if over_all is not Finding.GROWS:
        return over_all
    later = slope(samples[len(samples) // 2 :], figure).against(limit)
    return Finding.GROWS if later is Finding.GROWS else Finding.UNDECIDED


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
    return [
        *_of_clients(heard, expected_packets),
        *_of_slopes(samples, warm_up),
        *(
            Verdict(f"{name} left behind", _finding(more <= LEFT_BEHIND), f"{more:+g}")
            for name, more in left_behind.items()
        ),
        *(
            Verdict(name, _finding(failed <= FAILED_CALLS * done), f"{failed} of {done} failed")
            for name, (done, failed) in calls.items()
        ),
    ]


def _of_clients(heard: Heard, expected_packets: float) -> list[Verdict]:
    some = f" ({'; '.join(heard.gaps)})" if heard.gaps else ""
    return [
        Verdict("gaps", _finding(not heard.n_gaps), f"{heard.n_gaps}{some}"),
        Verdict(
            "streams that ended",
            _finding(not heard.closed),
            f"{len(heard.closed)}" + "".join(f"; {line}" for line in heard.closed[:5]),
        ),
        Verdict(
            "packets of each stream",
            _finding(min(heard.packets) >= FEWEST_PACKETS * expected_packets),
            f"at least {min(heard.packets)} of {expected_packets:.0f}",
        ),
    ]


def _of_slopes(samples: Sequence[Sample], warm_up: float) -> list[Verdict]:
    limits = {
        "rss_mb": ("resident memory", MEMORY_MB_AN_HOUR, " MB"),
        "uss_mb": ("memory of its own", MEMORY_MB_AN_HOUR, " MB"),
        "descriptors": ("descriptors", DESCRIPTORS_AN_HOUR, ""),
        "threads": ("threads", THREADS_AN_HOUR, ""),
    }
    kept = [sample for sample in samples if sample.seconds >= warm_up]
    found = []
    for figure, (label, limit, unit) in limits.items():
        whole = slope(kept, figure)
        if math.isnan(whole.slope):
            found.append(Verdict(label, None, "not measured"))
            continue
        line = (
            f"{whole.slope:+.2f} [{whole.low:+.2f}, {whole.high:+.2f}]{unit} an hour, "
            f"limit {limit:g}, {whole.n} samples"
        )
        finding = grows(kept, figure, limit)
        if finding is Finding.UNDECIDED and whole.against(limit) is Finding.GROWS:
            line += "; not in their later half"
        found.append(Verdict(label, finding, line))
    return found


def _finding(holds: bool) -> Finding:
    return Finding.HOLDS if holds else Finding.GROWS


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 when anything was lost or grows; what is undecided is not held against the server."""
    return int(any(verdict.finding is Finding.GROWS for verdict in verdicts))


def text(verdicts: Sequence[Verdict]) -> str:
    """For people."""
    words = {Finding.HOLDS: "holds", Finding.GROWS: "FAILS", Finding.UNDECIDED: "undecided"}
    return "\n".join(
        f"{words[v.finding] if v.finding else '-':<10} {v.name:<24} {v.text}" for v in verdicts
    )


def as_json(verdicts: Sequence[Verdict], samples: Sequence[Sample]) -> dict[str, Any]:
    """For programs."""
    return {
        "verdicts": [
            {
                "name": v.name,
                "finding": v.finding.value if v.finding else None,
                "text": v.text,
            }
            for v in verdicts
        ],
        "samples": [
            {k: None if math.isnan(value) else value for k, value in asdict(sample).items()}
            for sample in samples
        ],
    }
