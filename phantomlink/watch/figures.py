"""What was measured of a stream: rate, intervals, losses. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Intervals:
    """Times between packets that came one after the other, ms, on the client's monotonic clock."""

    mean: float
    std: float
    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Figures:
    """A stream in numbers.

    Attributes:
        packets: received.
        bytes: of them.
        first_packet_seconds: from the start of connecting to the first packet; None without one.
        span_seconds: from the first packet to the last.
        rate_hz: (packets - 1) / span_seconds; None for fewer than two packets.
        intervals: None for fewer than two packets.
        gaps: times that the sequence number jumped ahead.
        lost: packets that were not received because of these.
        longest_silence_seconds: longest time without a packet while the connection was open,
            before the first and after the last one included.
    """

    packets: int
    bytes: int
    first_packet_seconds: float | None
    span_seconds: float
    rate_hz: float | None
    intervals: Intervals | None
    gaps: int
    lost: int
    longest_silence_seconds: float


@dataclass(slots=True)
class Arrivals:
    """When messages came; 8 bytes a packet are kept. Times are monotonic, ns.

    Attributes:
        connecting_ns: connecting began.
        opened_ns: the connection was open.
        ended_ns: nothing was waited for any more.
    """

    connecting_ns: int = 0
    opened_ns: int = 0
    ended_ns: int = 0
    packets_ns: array[int] = field(default_factory=lambda: array("q"))
    packet_bytes: int = 0

    def packet(self, received_ns: int, n_bytes: int) -> None:
        """A packet came."""
        self.packets_ns.append(received_ns)
        self.packet_bytes += n_bytes

    def recent_rate_hz(self, now_ns: int, window_ns: int = 2_000_000_000) -> float:
        """Packets a second of late, for a person to look at; 0 when none comes any more."""
        times: Sequence[int] = self.packets_ns[-4096:]
        recent = [time for time in times if now_ns - time <= window_ns]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) * 1e9 / (recent[-1] - recent[0])

    def silent_seconds(self, now_ns: int) -> float:
        """How long no packet has come."""
        last = self.packets_ns[-1] if self.packets_ns else self.opened_ns or self.connecting_ns
        return (now_ns - last) / 1e9


def measure(arrivals: Arrivals, *, gaps: int, lost: int) -> Figures:
    """The figures of what has been received.

    Args:
        arrivals: when it came.
        gaps: times that the sequence number jumped ahead.
        lost: packets missing because of these.
    """
    times = np.array(arrivals.packets_ns, dtype=np.int64)
    intervals_s = np.diff(times) / 1e9
    span_s = float(intervals_s.sum())
    first_ns = int(times[0]) if len(times) else arrivals.ended_ns
    last_ns = int(times[-1]) if len(times) else arrivals.opened_ns
    silences_s = [(first_ns - arrivals.opened_ns) / 1e9, (arrivals.ended_ns - last_ns) / 1e9]
    return Figures(
        packets=len(times),
        bytes=arrivals.packet_bytes,
        first_packet_seconds=(first_ns - arrivals.connecting_ns) / 1e9 if len(times) else None,
        span_seconds=span_s,
        rate_hz=(len(times) - 1) / span_s if span_s > 0 else None,
        intervals=_intervals(intervals_s * 1e3) if len(intervals_s) else None,
        gaps=gaps,
        lost=lost,
        longest_silence_seconds=max(*silences_s, *intervals_s.tolist()),
    )


def _intervals(milliseconds: NDArray[np.float64]) -> Intervals:
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return Intervals(
        mean=float(milliseconds.mean()),
        std=float(milliseconds.std()),
        p50=float(p50),
        p99=float(p99),
        max=float(milliseconds.max()),
    )
