"""The playheads of a session as its scoreboard knows them.

A filtered playhead goes with its last listener and begins anew with the next one, its packets
numbered from 0 again: for the scoreboard that is another playhead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.session import Session
from phantomlink.evaluation.truth import HiddenTruth, Truth
from phantomlink.outputs.decoders.tap import PacketTap, TappedPacket
from phantomlink.recordings.trials import Filter
from phantomlink.scoring import SentPacket


@dataclass(frozen=True, slots=True, eq=False)
class PlayheadKey:
    """Names a playhead on the scoreboard; each has one, which equals itself alone.

    Attributes:
        filter: that it plays.
        generation: how many there have been of this filter before.
    """

    filter: Filter
    generation: int


@dataclass(slots=True, eq=False)
class _Followed:
    key: PlayheadKey
    tap: PacketTap = field(default_factory=PacketTap)
    last_ns: int = 0


class FollowedPlayheads:
    """Taps on all playheads of a session.

    Args:
        session: whose.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._followed: dict[Filter, _Followed] = {}
        self._generations: dict[Filter, int] = {}
        self._keeps_all = False
        self._taken_ns = session.parts.clock.now_ns()
        self.follow(NO_FILTER)

    def follow(self, wanted: Filter) -> PlayheadKey:
        """The playhead of a filter, followed from now on."""
        followed = self._followed.get(wanted)
        if followed is None:
            generation = self._generations[wanted] = self._generations.get(wanted, -1) + 1
            followed = self._followed[wanted] = _Followed(PlayheadKey(wanted, generation))
            followed.tap.keep_all(self._keeps_all)
            self._session.observe(wanted, followed.tap)
        return followed.key

    def keep_all(self, wanted: bool) -> None:
        """Whether every packet is wanted, or the latest ones only, in case."""
        self._keeps_all = wanted
        for followed in self._followed.values():
            followed.tap.keep_all(wanted)

    def gone(self) -> Iterator[PlayheadKey]:
        """Playheads that have gone; they are followed no more. Take their packets first."""
        playing = self._session.playbacks()
        for wanted, followed in list(self._followed.items()):
            if wanted not in playing:
                self._session.unobserve(followed.tap)
                del self._followed[wanted]
                yield followed.key

    def take(
        self, truth: Truth, hidden: HiddenTruth
    ) -> Iterator[tuple[PlayheadKey, SentPacket, NDArray[np.uint16]]]:
        """The packets that have left since the last time, with their counts.

        When each left is told by the wall clock. One that was set since then moves none of them out
        of the time between two looks.
        """
        clock = self._session.parts.clock
        now_ns, now_seconds = clock.now_ns(), clock.wall_seconds()
        for followed in self._followed.values():
            for tapped in followed.tap.take():
                if tapped.left_at is not None:
                    left_ns = now_ns - round((now_seconds - tapped.left_at) * 1e9)
                    followed.last_ns = min(max(left_ns, self._taken_ns), now_ns)
                packet = _sent(tapped, followed.last_ns, truth, hidden)
                yield followed.key, packet, tapped.packet.spike_counts
        self._taken_ns = now_ns


def _sent(tapped: TappedPacket, sent_ns: int, truth: Truth, hidden: HiddenTruth) -> SentPacket:
    packet = tapped.packet
    trial_row = -1 if packet.trial_id is None else packet.trial_id
    vx, vy, x, y = packet.vx, packet.vy, packet.x, packet.y
    kinematics = (
        math.nan if vx is None else vx,
        math.nan if vy is None else vy,
        math.nan if x is None else x,
        math.nan if y is None else y,
    )
    if packet.packet_id in hidden:
        kinematics, trial_row = hidden[packet.packet_id]
    return truth.packet(
        packet.packet_id,
        packet.sequence_number,
        packet.loop,
        sent_ns,
        kinematics,
        trial_row,
        is_observed=packet.observed,
        is_lost=tapped.left_at is None,
    )
