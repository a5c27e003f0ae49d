"""Helpers for tests of scores: packets of made-up trials, and decoders that answer them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from phantomlink.scoring import Prediction, Scoreboard, ScoringRules, SentPacket

PERIOD_NS = 25_000_000
RULES = ScoringRules(period_ns=PERIOD_NS, bin_size_ms=25.0, min_speed=0.5)
TRIAL_BINS = 40
NAN = math.nan

Answer = Callable[[SentPacket], tuple[float, ...] | None]


def reaches(n_trials: int, seed: int = 0, offset: float = 0.0) -> NDArray[np.float64]:
    """(n, 4) smooth kinematics of trials that follow each other without a gap."""
    rng = np.random.default_rng(seed)
    n = n_trials * TRIAL_BINS
    smooth = np.apply_along_axis(
        lambda column: np.convolve(column, np.ones(7) / 7, "same"), 0, rng.normal(size=(n, 4))
    )
    return smooth * 10 + offset


def packets_of(truth: NDArray[np.float64], *, loop: int = 0) -> list[SentPacket]:
    """Packets of trials of `TRIAL_BINS` bins; movement is bins 10 to 29 of each."""
    return [
        SentPacket(
            packet_id=k,
            loop=loop,
            sequence_number=k,
            sent_ns=k * PERIOD_NS,
            truth=tuple(row),
            trial_id=k // TRIAL_BINS,
            reach_id=k // TRIAL_BINS % 4,
            in_movement=10 <= k % TRIAL_BINS < 30,
        )
        for k, row in enumerate(truth.tolist())
    ]


def say(board: Scoreboard, name: str, packet: SentPacket, values: tuple[float, ...]) -> object:
    """One answer, a millisecond after the packet; two values are a velocity."""
    full = values if len(values) == 4 else (*values, NAN, NAN)
    prediction = Prediction(packet.packet_id, full, packet.loop, packet.sequence_number)
    return board.answer(name, name, "all", prediction, packet.sent_ns + 1_000_000)


def played(
    packets: Iterable[SentPacket], rules: ScoringRules = RULES, **decoders: Answer
) -> Scoreboard:
    """A scoreboard after decoders have answered all packets as they were sent."""
    board = Scoreboard(rules)
    for packet in packets:
        board.sent("all", packet)
        if not packet.is_lost:
            for name, answer in decoders.items():
                values = answer(packet)
                if values is not None:
                    say(board, name, packet, values)
        board.close(packet.sent_ns)
    board.close_all("all")
    board.settle()
    return board
