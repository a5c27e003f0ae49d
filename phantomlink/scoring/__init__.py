"""Scores predictions of decoders against what was recorded: numpy only, no clock, no event loop.

One `Scoreboard` serves a live session, `phantomlink score` and the tests: packets go in with
`sent`, predictions with `answer`, and scores come out, the same wherever and however late they
are asked for. `compare` says which of several decoders is better, `report` writes it down.
"""

from phantomlink.scoring.comparison import compare
from phantomlink.scoring.packets import (
    MAX_OPEN_PACKETS,
    MIN_OPEN_PACKETS,
    OPEN_SECONDS,
    PAIRS,
    Prediction,
    SentPacket,
)
from phantomlink.scoring.rules import (
    MAX_DECODERS,
    ScoringRules,
    angular_speed_threshold,
    is_decoder_name,
    movement_bins,
)
from phantomlink.scoring.run_score import VARIANTS, WINDOWS
from phantomlink.scoring.scoreboard import Outcome, Scoreboard

__all__ = [
    "MAX_DECODERS",
    "MAX_OPEN_PACKETS",
    "MIN_OPEN_PACKETS",
    "OPEN_SECONDS",
    "PAIRS",
    "VARIANTS",
    "WINDOWS",
    "Outcome",
    "Prediction",
    "Scoreboard",
    "ScoringRules",
    "SentPacket",
    "angular_speed_threshold",
    "compare",
    "is_decoder_name",
    "movement_bins",
]
