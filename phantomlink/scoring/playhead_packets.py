"""The packets of one playhead: open ones, the trial being played, and the last 10 s."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from phantomlink.scoring.packets import Kinematics, OpenPackets, SentPacket
from phantomlink.scoring.trial_rows import MAX_TRIAL_PACKETS, TrialRows, continues

_Closed = tuple[SentPacket, tuple[str, ...]]
"""A packet, and the decoders that it counts for."""


@dataclass(frozen=True, slots=True, eq=False)
class TakenTrial:
    """A trial that is over, or outside trials what lay between two.

    Attributes:
        rows: its packets as arrays.
        packets: its packets.
        counted: of each decoder, which packets count for it.
    """

    rows: TrialRows
    packets: list[SentPacket]
    counted: dict[str, list[bool]]


class PlayheadPackets:
    """Packets of a playhead on their way through the scoreboard.

    Args:
        last_packets: how many closed ones are kept for the short score.

    Attributes:
        open: those that can be answered.
    """

    def __init__(self, last_packets: int) -> None:
        self.open = OpenPackets()
        self._last_closed = -1
        self._trial: list[_Closed] = []
        self._last_packets = last_packets
        self._latest: deque[_Closed] = deque()
        self._answered_before: dict[str, Kinematics] = {}

    @property
    def last_sequence_number(self) -> int:
        """Of the latest packet that was sent; -1 before the first."""
        newest = self.open.newest
        return self._last_closed if newest is None else newest.sequence_number

    def begins_trial(self, packet: SentPacket) -> bool:
        """Whether a packet that is closed next does not belong to the trial being played."""
        if not self._trial:
            return False
        is_full = len(self._trial) >= MAX_TRIAL_PACKETS
        return is_full or not continues(packet, self._trial[-1][0])

    def add_closed(self, packet: SentPacket, names: tuple[str, ...]) -> None:
        """A packet is closed, and counts for these decoders."""
        self._last_closed = packet.sequence_number
        self._trial.append((packet, names))
        self._latest.append((packet, names))
        if len(self._latest) > self._last_packets:
            oldest, counted = self._latest.popleft()
            for name in counted:
                if name in oldest.answers:
                    self._answered_before[name] = oldest.answers[name]

    def take_trial(self) -> TakenTrial | None:
        """End the trial being played; None when no packet of it counts for anybody."""
        trial, self._trial = self._trial, []
        names = dict.fromkeys(name for _, counted in trial for name in counted)
        if not names:
            return None
        packets = [packet for packet, _ in trial]
        counted = {name: [name in heard for _, heard in trial] for name in names}
        return TakenTrial(TrialRows.of(packets), packets, counted)

    def trial_of(self, name: str) -> tuple[TrialRows | None, list[SentPacket], list[bool]]:
        """What is closed of the trial being played, for one decoder."""
        packets, counted = _of(name, self._trial)
        return (TrialRows.of(packets) if packets else None), packets, counted

    def latest_of(self, name: str) -> tuple[list[SentPacket], list[bool], Kinematics | None]:
        """The last 10 s that are closed, for one decoder, and its last answer before them."""
        return *_of(name, self._latest), self._answered_before.get(name)

    def forget(self, name: str) -> None:
        """Nothing that was sent so far counts for this decoder."""
        for kept in (self._trial, self._latest):
            for index, (packet, names) in enumerate(kept):
                kept[index] = (packet, tuple(other for other in names if other != name))
        self.open.forget(name)
        self._answered_before.pop(name, None)


def _of(name: str, closed: list[_Closed] | deque[_Closed]) -> tuple[list[SentPacket], list[bool]]:
    return [packet for packet, _ in closed], [name in names for _, names in closed]
