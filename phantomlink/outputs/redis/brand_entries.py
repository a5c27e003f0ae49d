"""Packets as entries of the Redis streams that BRAND nodes read: pure.

An entry has the fields that nodes of that graph write: `ts`, the deadline of its tick, monotonic
ns; `sync`, JSON by which nodes match entries of several streams; `samples`, the values; `i`, the
number of the entry. Numbers are little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from phantomlink.wire.packet import Packet

NEURAL, KINEMATICS, INTENTION, STATE = "neural", "kinematics", "intention", "state"
STREAMS = (NEURAL, KINEMATICS, INTENTION)

_VALUE = np.dtype("<f8")

Entry = dict[str, bytes]
"""Fields of one entry of a stream."""


def stream_names(code: str) -> dict[str, str]:
    """The keys of a session's streams, by kind; `state` is that of the node."""
    return {kind: f"phantomlink_{code}_{kind}" for kind in (*STREAMS, STATE)}


@dataclass(slots=True)
class EntryWriter:
    """Makes entries, and counts what their type cannot hold.

    Attributes:
        count_type: numpy's name of the type of spike counts.
        saturated: counts that were too large for it and became its largest value.
    """

    count_type: str
    saturated: int = 0
    _dtype: np.dtype[np.generic] = field(init=False)
    _largest: int | None = field(init=False)

    def __post_init__(self) -> None:
        self._dtype = np.dtype(self.count_type).newbyteorder("<")
        is_whole = self._dtype.kind in "iu"
        self._largest = int(np.iinfo(self.count_type).max) if is_whole else None

    def entries(self, packet: Packet, deadline_ns: int) -> dict[str, Entry]:
        """The entries of one packet, by kind of stream.

        Args:
            packet: that has left.
            deadline_ns: of its tick, monotonic ns.
        """
        shared = {
            "ts": deadline_ns.to_bytes(8, "little"),
            "sync": msgspec.json.encode({"i": packet.sequence_number, "bin": packet.packet_id}),
            "i": packet.sequence_number.to_bytes(8, "little"),
        }
        aim = packet.intention
        rows = {
            NEURAL: self._counts(packet.spike_counts),
            KINEMATICS: _values(packet.vx, packet.vy, packet.x, packet.y),
            INTENTION: _values(aim.target_id, aim.target_x, aim.target_y, packet.trial_id),
        }
        return {kind: shared | {"samples": samples} for kind, samples in rows.items()}

    def _counts(self, counts: NDArray[np.uint16]) -> bytes:
        if self._largest is not None and (too_large := int(np.sum(counts > self._largest))):
            self.saturated += too_large
            counts = np.minimum(counts, self._largest)
        return counts.astype(self._dtype).tobytes()


def state_entry(status: str) -> Entry:
    """What a node says of itself when this happens to it."""
    return {"code": b"0", "status": status.encode()}


def _values(*values: float | None) -> bytes:
    """Numbers as float64; NaN for those that there are not."""
    return np.array(values, dtype=_VALUE).tobytes()
