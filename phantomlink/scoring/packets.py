"""Packets that were sent, until they are closed, and the predictions that answer them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import NamedTuple

OPEN_SECONDS = 2.0
"""How long after it left a packet can be answered."""
MIN_OPEN_PACKETS = 16
"""So many of the latest packets can be answered however long ago they left."""
MAX_OPEN_PACKETS = 4096
"""And never more than these."""

PAIRS = {"velocity": slice(0, 2), "position": slice(2, 4)}
"""Where each quantity lies in vx, vy, x, y."""

Kinematics = tuple[float, float, float, float]
"""vx, vy, x, y in the recording's own units; NaN where there is none."""


class Prediction(NamedTuple):
    """What a decoder says about one packet.

    Attributes:
        packet_id: of the packet that is answered.
        values: vx, vy, x, y; NaN in both of a pair that is not predicted.
        loop: of the packet; None: the latest packet of this id.
        sequence_number: of the packet; None: the latest packet of this id (and loop).
    """

    packet_id: int
    values: Kinematics
    loop: int | None = None
    sequence_number: int | None = None

    @property
    def is_finite(self) -> bool:
        """Whether at least one pair is there, and each pair is wholly finite or wholly absent."""
        vx, vy, x, y = self.values
        has_position = isfinite(x) and isfinite(y)
        if isfinite(vx) and isfinite(vy):
            return has_position or (isnan(x) and isnan(y))
        return has_position and isnan(vx) and isnan(vy)


@dataclass(slots=True, eq=False)
class SentPacket:
    """One packet of a playhead, with the truth that predictions are held against.

    Attributes:
        packet_id: bin index in the recording.
        loop: times the playhead has wrapped.
        sequence_number: +1 for every packet of the playhead.
        sent_ns: when it left the scheduler, monotonic clock.
        truth: what was recorded.
        trial_id: -1 outside trials.
        reach_id: of the trial's target; None where there is none.
        is_scored: whether it lies in a trial and was observed.
        in_movement: whether it lies in the movement window of its trial.
        is_lost: lost on its way on purpose: nobody can answer it, all count it as not answered.
        answers: what each decoder said first.
    """

    packet_id: int
    loop: int
    sequence_number: int
    sent_ns: int
    truth: Kinematics
    trial_id: int = -1
    reach_id: int | None = None
    is_scored: bool = True
    in_movement: bool = False
    is_lost: bool = False
    answers: dict[str, Kinematics] = field(default_factory=dict)


class OpenPackets:
    """The packets of one playhead that can still be answered, in the order of their numbers."""

    def __init__(self) -> None:
        self._open: deque[SentPacket] = deque()
        self._by_sequence: dict[int, SentPacket] = {}
        self._by_packet: dict[int, list[SentPacket]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, packet: SentPacket) -> None:
        """A packet has left, or is lost; one that was overtaken goes back to its place."""
        place = len(self._open)
        while place and self._open[place - 1].sequence_number > packet.sequence_number:
            place -= 1
        self._open.insert(place, packet)
        self._by_sequence[packet.sequence_number] = packet
        self._by_packet.setdefault(packet.packet_id, []).append(packet)

    def find(self, prediction: Prediction) -> SentPacket | None:
        """The packet that a prediction answers; None when it is closed or was never sent."""
        if prediction.sequence_number is not None:
            packet = self._by_sequence.get(prediction.sequence_number)
            candidates = [] if packet is None else [packet]
        else:
            candidates = self._by_packet.get(prediction.packet_id, [])
        for packet in reversed(candidates):
            is_meant = packet.packet_id == prediction.packet_id
            if is_meant and prediction.loop in (None, packet.loop):
                return None if packet.is_lost else packet
        return None

    @property
    def newest(self) -> SentPacket | None:
        """The latest packet that was sent and is open."""
        return self._open[-1] if self._open else None

    def forget(self, name: str) -> None:
        """Drop what a decoder has answered so far."""
        for packet in self._open:
            packet.answers.pop(name, None)

    def close(self, now_ns: int) -> list[SentPacket]:
        """Take out the packets that can no longer be answered, in the order of their numbers."""
        latest = now_ns - round(OPEN_SECONDS * 1e9)
        closed = []
        while len(self._open) > MAX_OPEN_PACKETS or (
            len(self._open) > MIN_OPEN_PACKETS and self._open[0].sent_ns <= latest
        ):
            closed.append(self._take())
        return closed

    def close_all(self) -> list[SentPacket]:
        """Take out every packet: no more answers are coming."""
        return [self._take() for _ in range(len(self._open))]

    def _take(self) -> SentPacket:
        packet = self._open.popleft()
        del self._by_sequence[packet.sequence_number]
        same = self._by_packet[packet.packet_id]
        same.remove(packet)
        if not same:
            del self._by_packet[packet.packet_id]
        return packet
