"""What was measured, slice by slice, and which of two figures counts. Pure.

The rule: the host takes the CPU away now and then, and no program can help it. So each figure is
had twice, from all that arrived (raw) and without what the stalls of the host touched (clean).
The clean one counts when more than a tenth of a slice was lost, in a pair of slices when it was
in either: both sides of a comparison are then treated alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ..harness.host import Lost
from ..harness.stats import Estimate, median_over_slices, paired_difference, paired_ratio
from .series import Figures, Seam

MAX_LOST = 0.1

Pick = Callable[[Figures], float]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its children used in a slice. NaN: not known.

    Attributes:
        cpu: share of one core.
        rss_bytes: resident memory at the end.
        uss_bytes: memory that only it has, at the end.
    """

    cpu: float = math.nan
    rss_bytes: float = math.nan
    uss_bytes: float = math.nan


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What the server says of itself, over all sessions of a slice. NaN: it does not say.

    Attributes:
        lateness_p50_ns: median over the sessions' medians.
        lateness_p99_ns: of the worst session.
        last_write_p50_ns: from the tick to the last accepted write.
        stalls: ticks too late to be caught up, of all sessions.
        overruns: packets that were not ready at their deadline, of all sessions.
        source: the route that said it.
    """

    lateness_p50_ns: float = math.nan
    lateness_p99_ns: float = math.nan
    last_write_p50_ns: float = math.nan
    stalls: float = math.nan
    overruns: float = math.nan
    source: str = "none"


@dataclass(frozen=True, slots=True)
class Measured:
    """One contestant in one slice.

    Attributes:
        raw: from all that arrived.
        clean: without the packets that a stall touched; None: there was no probe to see stalls.
        lost: to the host.
        usage: of the sending process.
        receiver_cpu: share of one core, all receivers together.
        bytes_per_second: received, all connections together.
        first_packet_seconds: from connect to the first packet, one a connection.
        closed: why connections ended that should not have.
        report: of the server.
        seams: where the recording began again.
        notes: other figures, by name.
    """

    raw: Figures
    clean: Figures | None
    lost: Lost
    usage: Usage
    receiver_cpu: float
    bytes_per_second: float
    first_packet_seconds: tuple[float, ...]
    closed: tuple[str, ...] = ()
    report: ServerReport = ServerReport()
    seams: tuple[Seam, ...] = ()
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def was_lost(self) -> bool:
        """Whether the host took more of this slice than a raw figure can bear."""
        return self.lost.fraction > MAX_LOST

    def counting(self, *, lost: bool | None = None) -> Figures:
        """The figures that count, when that much was lost; None: as it was in this slice."""
        is_lost = self.was_lost if lost is None else lost
        return self.clean if is_lost and self.clean is not None else self.raw


@dataclass(slots=True)
class Results:
    """All slices of a run.

    Attributes:
        slices: by contestant; slice i of each was measured beside the others'.
        not_measured: why, by contestant.
    """

    slices: dict[str, list[Measured]] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)

    def of(self, contestant: str) -> list[Measured]:
        """Slices of a contestant; none when it was not measured."""
        return self.slices.get(contestant, [])

    def median(self, contestant: str, pick: Callable[[Measured], float]) -> Estimate:
        """Of what is had once a slice."""
        return median_over_slices([pick(m) for m in self.of(contestant)])

    def counting(self, contestant: str, pick: Pick) -> Estimate:
        """The same of a figure, raw or clean as the rule says."""
        return self.median(contestant, lambda m: pick(m.counting()))

    def ratio(self, a: str, b: str, pick: Pick) -> Estimate:
        """Median of a / b over the pairs of slices."""
        return paired_ratio(*self._pairs(a, b, pick))

    def difference(self, a: str, b: str, pick: Pick) -> Estimate:
        """Median of a - b over the pairs of slices."""
        return paired_difference(*self._pairs(a, b, pick))

    def _pairs(self, a: str, b: str, pick: Pick) -> tuple[list[float], list[float]]:
        """A figure of two contestants, slice by slice, raw or clean as the rule says."""
        sides: tuple[list[float], list[float]] = ([], [])
        for pair in zip(self.of(a), self.of(b), strict=False):
            # Clean figures need both: else one is compared with the other's stalls.
            lost = any(m.was_lost for m in pair) and all(m.clean is not None for m in pair)
            for side, measured in zip(sides, pair, strict=True):
                side.append(pick(measured.counting(lost=lost)))
        return sides

    @property
    def everything(self) -> list[Measured]:
        """Slices of all contestants."""
        return [measured for slices in self.slices.values() for measured in slices]
