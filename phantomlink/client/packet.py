"""What a stream says, as records with numpy arrays. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from phantomlink.client.errors import MessageError

_COUNT_DTYPES = {name: np.dtype(name) for name in ("u1", "<u2")}
_NUMBERS = itemgetter(
    "packet_id", "sequence_number", "timestamp", "trial_id", "trial_time_ms", "loop"
)
_KINEMATICS = itemgetter("vx", "vy", "x", "y")
_INTENTION = itemgetter("target_id", "target_x", "target_y", "reach_id")


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a stream is: its first message, sent again when the session's speed or perturbation
    changes.

    Attributes:
        dataset: name of the recording.
        session_code: of the session.
        unit_ids: labels of the sorted neurons, in the order of `Packet.counts`.
        frequency_hz: packets a second.
        bin_size_ms: width of a bin, by the recording's clock.
        total_packets: bins of the recording.
        duration_seconds: of the recording.
        num_trials: of the recording.
        data: everything that the message says, under the contract's names.
    """

    dataset: str
    session_code: str
    unit_ids: tuple[int | str, ...]
    frequency_hz: float
    bin_size_ms: float
    total_packets: int
    duration_seconds: float
    num_trials: int
    data: Mapping[str, Any]

    @property
    def n_units(self) -> int:
        """How many sorted neurons the recording has."""
        return len(self.unit_ids)


# Read-only to type checkers, not frozen: making a frozen one took as long as reading its message.
@dataclass(slots=True, eq=False)
class Packet:
    """One bin of the recording.

    Attributes:
        packet_id: index of the bin in the recording, from 0.
        sequence_number: +1 for every packet of this playback.
        timestamp: when the packet left the server's scheduler, Unix seconds.
        counts: (n_units,) int32, spikes of each unit in this bin.
        target_id: active target of the trial, an index into that trial's own list; None between
            trials.
        reach_id: the place reached for, numbered over the whole recording; None between trials.
        trial_id: row of the trial in the trial table; None between trials.
        trial_time_ms: since the trial's start; None between trials.
        loop: how often the recording has begun again.
        received_at: when this client had it, Unix seconds by the client's clock.
        is_next_bin: whether it is the bin after the packet before it. Where it is not, a filter
            with memory (smoothing, Kalman) starts afresh.
        lost_before: packets lost by this client just before this one.
        data: everything that the message says, under the contract's names.
    """

    packet_id: Final[int]
    sequence_number: Final[int]
    timestamp: Final[float]
    counts: Final[NDArray[np.int32]]
    target_id: Final[int | None]
    reach_id: Final[int | None]
    trial_id: Final[int | None]
    trial_time_ms: Final[float | None]
    loop: Final[int]
    received_at: Final[float]
    is_next_bin: Final[bool]
    lost_before: Final[int]
    data: Final[Mapping[str, Any]]

    @property
    def kinematics(self) -> NDArray[np.float64]:
        """(4,) vx, vy, x, y in the recording's own units; NaN where it has none."""
        return np.array(_KINEMATICS(self.data["kinematics"]), dtype=np.float64)

    @property
    def target(self) -> NDArray[np.float64]:
        """(2,) where the active target is; NaN between trials."""
        _, x, y, _ = _INTENTION(self.data["intention"])
        return np.array((x, y), dtype=np.float64)

    @property
    def velocity(self) -> NDArray[np.float64]:
        """(2,) vx, vy in the recording's own units; NaN where it has none."""
        return self.kinematics[:2]

    @property
    def position(self) -> NDArray[np.float64]:
        """(2,) x, y in the recording's own units; NaN where it has none."""
        return self.kinematics[2:]

    @property
    def decoded(self) -> Mapping[str, NDArray[np.float64]]:
        """(2,) vx, vy that each of the server's own decoders predicts, by its name.

        NaN where a decoder has said nothing yet; empty without `connect(..., decoded=True)`.
        """
        return {
            name: np.array([said["vx"], said["vy"]], dtype=np.float64)
            for name, said in self.data.get("decoded", {}).items()
        }


def decode(raw: bytes | str) -> tuple[str, Mapping[str, Any]]:
    """A message and its type. MessagePack came as binary, JSON as text.

    Raises:
        MessageError: it cannot be read.
    """
    try:
        message = json.loads(raw) if isinstance(raw, str) else msgpack.unpackb(raw)
    except (ValueError, msgpack.UnpackException) as error:
        raise MessageError(f"a message of {len(raw)} bytes cannot be read: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise MessageError(f"a message of {len(raw)} bytes has no type")
    return message["type"], message


def read_info(message: Mapping[str, Any]) -> StreamInfo:
    """The first message.

    Raises:
        MessageError: it lacks something.
    """
    try:
        data = message["data"]
        return StreamInfo(
            dataset=data["dataset"],
            session_code=message["session"]["code"],
            unit_ids=tuple(data.get("unit_ids") or data["channel_ids"]),
            frequency_hz=data["frequency_hz"],
            bin_size_ms=data["bin_size_ms"],
            total_packets=data["total_packets"],
            duration_seconds=data["duration_seconds"],
            num_trials=data["num_trials"],
            data=data,
        )
    except (KeyError, TypeError) as error:
        raise MessageError(f"the first message lacks something: {error!r}") from error


def read_packet(
    message: Mapping[str, Any], *, received_at: float, is_next_bin: bool, lost_before: int
) -> Packet:
    """A packet.

    Args:
        message: as decoded.
        received_at: Unix seconds.
        is_next_bin: whether it follows the packet before it.
        lost_before: packets lost just before it.

    Raises:
        MessageError: it lacks something.
    """
    try:
        data = message["data"]
        target_id, _, _, reach_id = _INTENTION(data["intention"])
        # Arrays of what many never look at are made when they do.
        _KINEMATICS(data["kinematics"])
        packet_id, sequence_number, timestamp, trial_id, trial_time_ms, loop = _NUMBERS(data)
        return Packet(
            packet_id=packet_id,
            sequence_number=sequence_number,
            timestamp=timestamp,
            counts=_counts(data["spikes"]),
            target_id=target_id,
            reach_id=reach_id,
            trial_id=trial_id,
            trial_time_ms=trial_time_ms,
            loop=loop,
            received_at=received_at,
            is_next_bin=is_next_bin,
            lost_before=lost_before,
            data=data,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"a packet lacks something: {error!r}") from error


def _counts(spikes: Mapping[str, Any]) -> NDArray[np.int32]:
    if "counts" in spikes:  # compact packets
        return np.frombuffer(spikes["counts"], _COUNT_DTYPES[spikes["dtype"]]).astype(np.int32)
    return np.array(spikes["spike_counts"], dtype=np.int32)
