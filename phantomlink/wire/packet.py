"""What a packet says: frozen records, and the message that a client receives.

Each tick makes a packet and its intention: they are msgspec's structs, which are made in a fifth of
a dataclass's time, and which the garbage collector need not look at, since they hold no cycles.

The names and shapes of the message are the contract with clients that already exist.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray


class Intention(Struct, frozen=True, gc=False):
    """What the subject was asked to reach for. None where nothing was, or it is not known.

    Attributes:
        target_id: the trial's active target, an index into that trial's own target list.
        target_x: place of the target, in the units of the cursor.
        target_y: as `target_x`.
        distance_to_target: from the cursor of this bin to the target, same units.
        reach_id: which of the recording's distinct reached places this is.
    """

    target_id: int | None = None
    target_x: float | None = None
    target_y: float | None = None
    distance_to_target: float | None = None
    reach_id: int | None = None


NO_INTENTION = Intention()

Velocity = tuple[float | None, float | None]
"""vx, vy in the recording's own units; None where a decoder has said nothing."""


class Packet(Struct, frozen=True, eq=False, gc=False):
    """One bin of the recording, as one tick sends it.

    Attributes:
        packet_id: bin index in the recording.
        sequence_number: +1 for every packet of this playback.
        loop: times the recording has wrapped.
        spike_counts: (n_units,) spikes in the bin.
        vx, vy: velocity, the recording's own units; None where it has none.
        x, y: position, likewise.
        intention: the target of the trial; all None outside trials.
        trial_id: row in the trial table; None outside trials.
        trial_time_ms: from the start of the trial to the start of the bin.
        perturbation_id: what has been done to the counts; None when they are the recording's own.
        observed: False when nothing of the bin's time was observed: its counts are not known.
        decoded: what built-in decoders say, by name; None where that was not asked for.
    """

    packet_id: int
    sequence_number: int
    loop: int
    spike_counts: NDArray[np.uint16]
    vx: float | None
    vy: float | None
    x: float | None
    y: float | None
    intention: Intention
    trial_id: int | None
    trial_time_ms: float | None
    perturbation_id: str | None = None
    observed: bool = True
    decoded: Mapping[str, Velocity] | None = None


HIDEABLE = ("kinematics", "intention", "trial")
"""What a client may ask to be hidden from it: the truth, and what tells of it."""


def without(packet: Packet, hidden: frozenset[str]) -> Packet:
    """The packet with None in the place of what is hidden.

    The distance to the target tells where the cursor is: it goes with either of the two.
    """
    intention = packet.intention
    changes: dict[str, Any] = {}
    if "kinematics" in hidden:
        changes |= {"vx": None, "vy": None, "x": None, "y": None}
        intention = replace(intention, distance_to_target=None)
    if "intention" in hidden:
        intention = NO_INTENTION
    if "trial" in hidden:
        changes |= {"trial_id": None, "trial_time_ms": None}
    return replace(packet, intention=intention, **changes)


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What is the same for every packet of a stream.

    Attributes:
        n_channels: columns of `spike_counts`.
        bin_size_ms: width of a bin.
        channel_ids: the columns by number, 0 .. n_channels - 1; not to be changed. The labels of
            the units behind them are the metadata's `unit_ids`.
    """

    n_channels: int
    bin_size_ms: float
    channel_ids: list[int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Made once: it is part of every packet.
        object.__setattr__(self, "channel_ids", list(range(self.n_channels)))


def distance(
    x: float | None, y: float | None, target_x: float | None, target_y: float | None
) -> float | None:
    """Euclidean distance, None when any coordinate is missing."""
    if x is None or y is None or target_x is None or target_y is None:
        return None
    return math.hypot(target_x - x, target_y - y)


def packet_data(
    packet: Packet, header: StreamHeader, timestamp: float, *, compact: bool = False
) -> dict[str, Any]:
    """The `data` of a packet's message.

    Args:
        packet: the packet.
        header: of its stream.
        timestamp: when it left the scheduler, Unix s.
        compact: whether the counts are bytes, which JSON does not have.
    """
    intention = packet.intention
    if compact:
        spikes = compact_spikes(packet.spike_counts, header.bin_size_ms)
    else:
        spikes = {
            "channel_ids": header.channel_ids,
            "spike_counts": packet.spike_counts.tolist(),
            "bin_size_ms": header.bin_size_ms,
        }
    data: dict[str, Any] = {
        "packet_id": packet.packet_id,
        "sequence_number": packet.sequence_number,
        "timestamp": timestamp,
        "spikes": spikes,
        "kinematics": {"vx": packet.vx, "vy": packet.vy, "x": packet.x, "y": packet.y},
        "intention": {
            "target_id": intention.target_id,
            "target_x": intention.target_x,
            "target_y": intention.target_y,
            "distance_to_target": intention.distance_to_target,
            "reach_id": intention.reach_id,
        },
        "trial_id": packet.trial_id,
        "trial_time_ms": packet.trial_time_ms,
        "loop": packet.loop,
    }
    if not packet.observed:
        data["observed"] = False
    if packet.perturbation_id is not None:
        data["perturbation_id"] = packet.perturbation_id
    if packet.decoded is not None:
        data["decoded"] = decoded_data(packet.decoded)
    return data


def decoded_data(decoded: Mapping[str, Velocity]) -> dict[str, dict[str, float | None]]:
    """The `decoded` of a packet."""
    return {name: {"vx": vx, "vy": vy} for name, (vx, vy) in decoded.items()}


def compact_spikes(counts: NDArray[np.uint16], bin_size_ms: float) -> dict[str, Any]:
    """The `spikes` of a compact packet: one byte a unit, or two where one has more than 255.

    Args:
        counts: (n_units,) spikes in the bin.
        bin_size_ms: width of the bin.
    """
    dtype = "<u2" if counts.size and int(counts.max()) > 255 else "u1"
    return {
        "counts": counts.astype(dtype).tobytes(),
        "dtype": dtype,
        "bin_size_ms": bin_size_ms,
    }
