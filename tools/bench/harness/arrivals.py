"""What a receiver has received, as its parent reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
        return Arrivals(
            self.arrival_ns[part],
            self.waited_ns[part],
            self.sequence[part],
            self.packet_id[part],
            self.stamp_ns[part],
        )


def read_columns(file: Path, message: Message, *, wall_clock: bool) -> list[Arrivals]:
    """What a receiver wrote, connection by connection; the file goes.

    Args:
        file: of its columns.
        message: in which it told of them.
        wall_clock: whether the sender's stamps are Unix time.
    """
    data = np.fromfile(file, dtype=np.int64)
    file.unlink()
    found, at = [], 0
    for n in message["rows"]:
        columns = data[at : at + 5 * n].reshape(5, n)
        at += 5 * n
        stamp_ns = np.rint(columns[4].view(np.float64) * _NS).astype(np.int64)
        if wall_clock:
            stamp_ns -= wall_offset_ns(columns[0], message["wall_offsets"])
        found.append(Arrivals(columns[0], columns[1], columns[2], columns[3], stamp_ns))
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
