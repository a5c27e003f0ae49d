"""What a receiver has received, as its parent reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .children import Message

Ns = NDArray[np.int64]

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """What one connection received within a slice. All (n,), in order of arrival.

    Attributes:
        arrival_ns: right after receive, CLOCK_MONOTONIC.
        waited_ns: how long the receiver was awake before it got to this packet.
        sequence: `sequence_number`.
        packet_id: bin index in the recording.
        stamp_ns: when the sender says the packet left, CLOCK_MONOTONIC.
    """

    arrival_ns: Ns
    waited_ns: Ns
    sequence: Ns
    packet_id: Ns
    stamp_ns: Ns

    def within(self, start_ns: int, end_ns: int) -> Arrivals:
        """Those that arrived in [start, end)."""
        part = slice(*np.searchsorted(self.arrival_ns, (start_ns, end_ns)))
        columns = (self.waited_ns, self.sequence, self.packet_id, self.stamp_ns)
        return Arrivals(self.arrival_ns[part], *(column[part] for column in columns))


def arrivals(told: Message, *, wall_clock: bool = True) -> list[Arrivals]:
    """What a receiver told of a slice, connection by connection.

    Args:
        told: by it.
        wall_clock: whether the sender's stamps are Unix time.
    """
    found = []
    for *columns, stamps in told["columns"]:
        arrival_ns, *others = (np.array(column, dtype=np.int64) for column in columns)
        stamp_ns = np.rint(np.array(stamps) * _NS).astype(np.int64)
        if wall_clock:
            stamp_ns -= wall_offset_ns(arrival_ns, told["wall_offsets"])
        found.append(Arrivals(arrival_ns, *others, stamp_ns))
    return found


def wall_offset_ns(
    times_ns: NDArray[np.int64], offsets: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC at times: a line through what was read, as time
    services turn the wall clock's rate, not its hands.

    Args:
        times_ns: (n,) CLOCK_MONOTONIC.
        offsets: [time, offset] at two moments.
    """
    (t0, first), (t1, last) = offsets
    # Differences first: whole offsets do not fit a float.
    turned = np.rint((times_ns - t0) * ((last - first) / max(t1 - t0, 1))).astype(np.int64)
    offset: NDArray[np.int64] = turned + first
    return offset
