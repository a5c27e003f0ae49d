"""What a slice's arrivals say: the figures of one contestant in one slice. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..harness.arrivals import Arrivals, Ns
from ..harness.stats import Quantiles, quantiles
from .drift import drift, grid_errors, residuals, segments

Mask = NDArray[np.bool_]

_NS = 1_000_000_000
# How long before a packet is due a stall may delay it: timers are set up to 0.4 ms early, and
# waking takes a tenth of that.
WAKE_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """One contestant in one slice, all its connections together. Durations in ns.

    Attributes:
        connections: how many.
        packets: received.
        kept: share of the intervals that count here; 1 unless intervals were left out.
        rates: of each connection, (last - first sequence) / (last - first arrival), Hz; 0 of one
            that heard nothing, NaN when no two of its packets count.
        gaps: packets that are missing, by the jumps of `sequence_number`.
        interval: difference of each interval between consecutive packets from the period.
        grid: how late each packet arrived, to the grid through the earliest one.
        release: the same of the stamps: how late each packet left.
        transit: from stamp to arrival: two kernels' queues and the receiver's wake-up.
        waited: how long the receiver was awake before it got to the packet.
        spread: at each packet number, last minus first arrival over the connections; none
            unless connections share packets.
        last: from the stamp to the last arrival over the connections; likewise.
        drift_ppm: of the connection with the largest; NaN when it cannot be said.
        drift_resolution_ppm: how far to trust it.
        reanchors: times that a grid was anchored anew, over all connections.
    """

    connections: int
    packets: int
    kept: float
    rates: tuple[float, ...]
    gaps: int
    interval: Quantiles
    grid: Quantiles
    release: Quantiles
    transit: Quantiles
    waited: Quantiles
    spread: Quantiles
    last: Quantiles
    drift_ppm: float
    drift_resolution_ppm: float
    reanchors: int


ON_TIME_NS = 100_000
"""A packet that leaves within this of its time waited for no other."""


def touched(arrival_ns: Ns, late_ns: Ns, period_ns: int, stalls: Sequence[tuple[int, int]]) -> Mask:
    """(n,) whether a stall overlaps the way of each packet.

    The way begins shortly before the packet was due, when somebody has to wake up for it, and
    ends with its arrival; of one that is later than a period only the last period counts, so
    that a stream that drifts is not said to be under way all the time. What the host takes
    between two packets, while everybody sleeps, touches neither.

    Args:
        arrival_ns: (n,) increasing.
        late_ns: (n,) how late each was to its grid.
        period_ns: between packets.
        stalls: [begin, end), in any order.
    """
    if not len(stalls):
        return np.zeros(len(arrival_ns), dtype=np.bool_)
    ordered = np.asarray(sorted(stalls), dtype=np.int64)
    begins, ends = ordered[:, 0], np.maximum.accumulate(ordered[:, 1])
    way_begins = arrival_ns - np.minimum(late_ns, period_ns) - WAKE_NS
    # The last stall that begins before the way ends is, with its running maximum of ends, the
    # only one that has to be looked at.
    last = np.searchsorted(begins, arrival_ns) - 1
    overlaps: Mask = (last >= 0) & (ends[np.maximum(last, 0)] > way_begins)
    return overlaps


def with_backlog(stalls: Sequence[tuple[int, int]], lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Stalls, each until what it held up has left.

    Packets leave in the order in which they are due: once one leaves on time behind a stall, none
    waits any more. At 90 % of a core it takes six times as long as the stall itself.

    Args:
        stalls: [begin, end), CLOCK_MONOTONIC ns.
        lines: of all connections.
    """
    stamps = [line.of.stamp_ns[line.release < ON_TIME_NS] for line in lines]
    on_time = np.sort(np.concatenate([_NONE, *stamps]))
    last = max((int(line.of.arrival_ns[-1]) for line in lines), default=0)
    extended = []
    for begins, ends in stalls:
        at = int(np.searchsorted(on_time, ends))
        extended.append((begins, int(on_time[at]) if at < on_time.size else max(ends, last)))
    return extended


def count_gaps(sequence: Ns) -> int:
    """How many packets the jumps of `sequence_number` leave out."""
    steps = np.diff(sequence)
    return int((steps[steps > 1] - 1).sum())


def figures(
    connections: Sequence[Arrivals],
    rate_hz: Fraction,
    stalls: Sequence[tuple[int, int]] = (),
    *,
    shared: bool = False,
) -> Figures:
    """The figures of a slice.

    Args:
        connections: what each received.
        rate_hz: packets a second that were asked for.
        stalls: times that do not count: packets that they touched are left out, and the
            intervals before and after those.
        shared: whether the connections got the same packets.
    """
    heard = [c for c in connections if len(c.arrival_ns) > 1]
    lines = [Line(c, rate_hz, stalls) for c in heard]
    rates = iter([line.rate_hz for line in lines])
    drifts = [line.drift for line in lines if line.drift is not None]
    slope, _, resolution = max(drifts, key=lambda each: abs(each[0]), default=(np.nan,) * 3)
    spread, last = _over_connections(lines) if shared and lines else (_NONE, _NONE)

    def pooled(parts: Iterable[Ns]) -> Quantiles:
        return quantiles(np.concatenate([_NONE, *parts]))

    return Figures(
        connections=len(connections),
        packets=sum(len(c.arrival_ns) for c in connections),
        kept=float(np.concatenate([line.kept_intervals for line in lines]).mean()) if lines else 0,
        rates=tuple(next(rates) if len(c.arrival_ns) > 1 else 0.0 for c in connections),
        gaps=sum(count_gaps(c.sequence) for c in heard),
        interval=pooled(line.interval[line.kept_intervals & line.consecutive] for line in lines),
        grid=pooled(line.late[line.kept] for line in lines),
        release=pooled(line.release[line.kept] for line in lines),
        transit=pooled((line.of.arrival_ns - line.of.stamp_ns)[line.kept] for line in lines),
        waited=pooled(c.waited_ns for c in heard),
        spread=quantiles(spread),
        last=quantiles(last),
        drift_ppm=slope * 1e6,
        drift_resolution_ppm=resolution * 1e6,
        reanchors=sum(line.reanchors for line in lines),
    )


@dataclass(frozen=True, slots=True)
class Seam:
    """Where the recording began again.

    Attributes:
        error_ns: of the interval across it.
        at_seconds: after the first arrival.
        stalled: whether a stall of the host touched either end.
    """

    error_ns: int
    at_seconds: float
    stalled: bool


def seams(
    arrivals: Arrivals, rate_hz: Fraction, stalls: Sequence[tuple[int, int]] = ()
) -> list[Seam]:
    """The intervals across which `packet_id` fell back."""
    if len(arrivals.arrival_ns) < 2:
        return []
    line = Line(arrivals, rate_hz, stalls)
    start = arrivals.arrival_ns[0]
    return [
        Seam(
            int(line.interval[i]),
            float(arrivals.arrival_ns[i + 1] - start) / _NS,
            not line.kept_intervals[i],
        )
        for i in np.flatnonzero((np.diff(arrivals.packet_id) < 0) & line.consecutive)
    ]


_NONE = np.empty(0, dtype=np.int64)


class Line:
    """What one connection received, packet by packet and interval by interval.

    Args:
        of: at least two packets.
        rate_hz: packets a second that were asked for.
        stalls: packets that they touched are not kept, nor the intervals before and after.
    """

    def __init__(
        self, of: Arrivals, rate_hz: Fraction, stalls: Sequence[tuple[int, int]] = ()
    ) -> None:
        period_ns = round(_NS / rate_hz)
        residual = residuals(of.arrival_ns, of.sequence, rate_hz)
        parts = segments(residual, rate_hz)
        self.of = of
        self.interval = np.abs(np.diff(of.arrival_ns) - period_ns)
        self.consecutive = np.diff(of.sequence) == 1
        self.late = grid_errors(residual, parts)
        self.kept = ~touched(of.arrival_ns, self.late, period_ns, stalls)
        self.kept_intervals = self.kept[1:] & self.kept[:-1]
        left = residuals(of.stamp_ns, of.sequence, rate_hz)
        self.release = grid_errors(left, segments(left, rate_hz))
        self.drift = drift(of.arrival_ns, residual, parts)
        self.reanchors = len(parts) - 1

    @property
    def rate_hz(self) -> float:
        """From the first packet that counts to the last one; NaN when they are not two."""
        ends = np.flatnonzero(self.kept)[[0, -1]] if self.kept.any() else [0, 0]
        (steps,), (ns,) = np.diff(self.of.sequence[ends]), np.diff(self.of.arrival_ns[ends])
        return float(steps * _NS / ns) if ns > 0 else np.nan


def _over_connections(lines: Sequence[Line]) -> tuple[Ns, Ns]:
    """Last minus first arrival, and last arrival minus stamp, of packets that all have."""
    kept = (pd.DataFrame(asdict(line.of))[line.kept] for line in lines)
    packets = pd.concat(kept).groupby("sequence")
    by_all = packets.size() == len(lines)
    last = packets["arrival_ns"].max()[by_all]
    first, stamp = packets["arrival_ns"].min()[by_all], packets["stamp_ns"].first()[by_all]
    return (last - first).to_numpy(), (last - stamp).to_numpy()
