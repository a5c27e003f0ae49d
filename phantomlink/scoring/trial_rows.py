"""The packets of one trial as arrays, and what each decoder said to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from phantomlink.scoring.packets import Kinematics, SentPacket

MAX_TRIAL_PACKETS = 4096
"""A trial that is longer is scored in pieces of this many packets."""

_NOTHING: Kinematics = (math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class PlayedTrial:
    """One time that a trial was played, or a part of it.

    Attributes:
        trial_id: -1 outside trials.
        loop: of the packets.
        reach_id: of the trial; None where there is none.
        first_sequence_number: of the first packet.
    """

    trial_id: int
    loop: int
    reach_id: int | None
    first_sequence_number: int


@dataclass(frozen=True, slots=True, eq=False)
class TrialRows:
    """Packets that follow each other, of one trial, or outside trials.

    Attributes:
        trial: which.
        truth: (n, 4) vx, vy, x, y; NaN where there is none.
        windows: (2, n) whether each row lies in `trials`, in `movement`.
    """

    trial: PlayedTrial
    truth: NDArray[np.float64]
    windows: NDArray[np.bool_]

    @classmethod
    def of(cls, packets: Sequence[SentPacket]) -> Self:
        """The rows of at least one packet."""
        first = packets[0]
        truth = _rows([packet.truth for packet in packets])
        has_truth = np.isfinite(truth).any(axis=1)
        scored = np.array([packet.is_scored for packet in packets]) & has_truth
        moving = np.array([packet.in_movement for packet in packets])
        return cls(
            PlayedTrial(first.trial_id, first.loop, first.reach_id, first.sequence_number),
            truth,
            np.stack((scored, scored & moving)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one decoder said to the rows of a trial.

    Attributes:
        counted: (n,) rows that were sent while the decoder was connected.
        answered: (n, 4) vx, vy, x, y; NaN where it said nothing.
        held: (n, 4) the same, the last answer standing where there is none.
    """

    counted: NDArray[np.bool_]
    answered: NDArray[np.float64]
    held: NDArray[np.float64]


def answers_of(
    name: str, packets: Sequence[SentPacket], counted: Sequence[bool], last: Kinematics | None
) -> tuple[Answers, Kinematics | None]:
    """The answers of a decoder to some packets.

    Args:
        name: of the decoder.
        packets: in the order of sending.
        counted: whether each was sent while it was connected.
        last: its last answer before them; None without one.

    Returns:
        The answers, and the last of them.
    """
    answered, held = [], []
    for packet, is_counted in zip(packets, counted, strict=True):
        said = packet.answers.get(name) if is_counted else None
        if said is not None:
            last = said
        answered.append(_NOTHING if said is None else said)
        held.append(_NOTHING if last is None or not is_counted else last)
    rows = _rows(answered)
    # Where each was answered there is nothing to hold.
    held_rows = rows if held == answered else _rows(held)
    return Answers(np.array(counted, dtype=bool), rows, held_rows), last


def _rows(kinematics: Sequence[Kinematics]) -> NDArray[np.float64]:
    """(n, 4); twice as fast as numpy takes a list of tuples."""
    values = np.fromiter(chain.from_iterable(kinematics), np.float64, 4 * len(kinematics))
    return values.reshape(-1, 4)


def continues(packet: SentPacket, before: SentPacket) -> bool:
    """Whether a packet goes on where the one before it in the same playhead left off."""
    return (
        packet.trial_id == before.trial_id
        and packet.loop == before.loop
        and packet.packet_id == before.packet_id + 1
    )
