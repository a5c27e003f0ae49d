"""What a slice's arrivals say: the figures of one contestant in one slice. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
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

    @property
    def rate_min(self) -> float:
        """Of the slowest connection, Hz; NaN when none has a rate."""
        return min(filter(math.isfinite, self.rates), default=math.nan)

    @property
    def rate_max(self) -> float:
        """Of the fastest connection, Hz; NaN when none has a rate."""
        return max(filter(math.isfinite, self.rates), default=math.nan)


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """One connection, line by line: the parts that are pooled."""

    kept: Mask
    kept_intervals: Mask
    interval: Ns
    grid: Ns
    release: Ns
    transit: Ns
    rate_hz: float
    gaps: int
    drift_ppm: float
    drift_resolution_ppm: float
    reanchors: int


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
    by_connection = [
        _lines(connection, rate_hz, stalls) if len(connection.arrival_ns) > 1 else None
        for connection in connections
    ]
    lines = [line for line in by_connection if line is not None]
    heard = [c for c, line in zip(connections, by_connection, strict=True) if line is not None]
    worst = max(lines, key=lambda line: abs(line.drift_ppm), default=None)
    spread, last = _over_connections(heard, lines) if shared else (_NONE, _NONE)
    return Figures(
        connections=len(connections),
        packets=sum(len(c.arrival_ns) for c in connections),
        kept=_share([line.kept_intervals for line in lines]),
        rates=tuple(0.0 if line is None else line.rate_hz for line in by_connection),
        gaps=sum(line.gaps for line in lines),
        interval=quantiles(_pool([line.interval for line in lines])),
        grid=quantiles(_pool([line.grid for line in lines])),
        release=quantiles(_pool([line.release for line in lines])),
        transit=quantiles(_pool([line.transit for line in lines])),
        waited=quantiles(_pool([connection.waited_ns for connection in heard])),
        spread=quantiles(spread),
        last=quantiles(last),
        drift_ppm=worst.drift_ppm if worst else np.nan,
        drift_resolution_ppm=worst.drift_resolution_ppm if worst else np.nan,
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
    lines = _lines(arrivals, rate_hz, stalls)
    error, consecutive = _interval_errors(arrivals, rate_hz)
    found = np.flatnonzero((np.diff(arrivals.packet_id) < 0) & consecutive)
    start = arrivals.arrival_ns[0]
    return [
        Seam(
            int(error[i]),
            float(arrivals.arrival_ns[i + 1] - start) / _NS,
            not lines.kept_intervals[i],
        )
        for i in found
    ]


_NONE = np.empty(0, dtype=np.int64)


def _pool(parts: Sequence[Ns]) -> Ns:
    return np.concatenate(parts) if parts else _NONE


def _share(parts: Sequence[Mask]) -> float:
    return float(np.concatenate(parts).mean()) if parts else 0.0


def _interval_errors(arrivals: Arrivals, rate_hz: Fraction) -> tuple[Ns, Mask]:
    """(n - 1,) |interval - period|, and whether the interval is of consecutive packets."""
    period_ns = round(_NS / rate_hz)
    return (
        np.abs(np.diff(arrivals.arrival_ns) - period_ns),
        np.diff(arrivals.sequence) == 1,
    )


def _lines(arrivals: Arrivals, rate_hz: Fraction, stalls: Sequence[tuple[int, int]]) -> _Lines:
    interval, consecutive = _interval_errors(arrivals, rate_hz)
    residual = residuals(arrivals.arrival_ns, arrivals.sequence, rate_hz)
    parts = segments(residual, rate_hz)
    late = grid_errors(residual, parts)
    kept = ~touched(arrivals.arrival_ns, late, round(_NS / rate_hz), stalls)
    kept_intervals = kept[1:] & kept[:-1]
    left = residuals(arrivals.stamp_ns, arrivals.sequence, rate_hz)
    envelope = drift(arrivals.arrival_ns, residual, parts)
    at = np.flatnonzero(kept)
    ends = at[[0, -1]] if at.size else np.zeros(2, dtype=np.int64)
    steps = np.diff(arrivals.sequence[ends])[0]
    seconds = np.diff(arrivals.arrival_ns[ends])[0] / _NS
    return _Lines(
        kept=kept,
        kept_intervals=kept_intervals,
        interval=interval[kept_intervals & consecutive],
        grid=late[kept],
        release=grid_errors(left, segments(left, rate_hz))[kept],
        transit=(arrivals.arrival_ns - arrivals.stamp_ns)[kept],
        rate_hz=float(steps / seconds) if seconds > 0 else np.nan,
        gaps=count_gaps(arrivals.sequence),
        drift_ppm=envelope.slope * 1e6 if envelope else np.nan,
        drift_resolution_ppm=envelope.resolution * 1e6 if envelope else np.nan,
        reanchors=len(parts) - 1,
    )


def _over_connections(connections: Sequence[Arrivals], lines: Sequence[_Lines]) -> tuple[Ns, Ns]:
    """Last minus first arrival, and last arrival minus stamp, of packets that all have."""
    if not connections:
        return _NONE, _NONE
    first = max(int(c.sequence[0]) for c in connections)
    stop = min(int(c.sequence[-1]) for c in connections) + 1
    n = max(stop - first, 0)
    earliest = np.full(n, np.iinfo(np.int64).max)
    latest = np.full(n, np.iinfo(np.int64).min)
    heard = np.zeros(n, dtype=np.int64)
    stamp = np.zeros(n, dtype=np.int64)
    for connection, line in zip(connections, lines, strict=True):
        inside = line.kept & (connection.sequence >= first) & (connection.sequence < stop)
        at = connection.sequence[inside] - first
        arrival = connection.arrival_ns[inside]
        earliest[at] = np.minimum(earliest[at], arrival)
        latest[at] = np.maximum(latest[at], arrival)
        stamp[at] = connection.stamp_ns[inside]
        heard[at] += 1
    by_all = heard == len(connections)
    return (latest - earliest)[by_all], (latest - stamp)[by_all]
