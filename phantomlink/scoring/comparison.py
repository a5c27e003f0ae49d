"""Which of several decoders is better, over the packets that each two of them answered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from phantomlink.scoring.packets import PAIRS
from phantomlink.scoring.paired import PairedTrial, PairedTrials
from phantomlink.scoring.run_score import WINDOWS
from phantomlink.scoring.scoreboard import Scoreboard
from phantomlink.scoring.statistics import Difference, holm, paired_difference

FIGURES = ("rmse", "r2")
"""What is compared: for RMSE less is better, for R2 more."""


def compare(board: Scoreboard, names: Sequence[str], seed: int) -> dict[str, Any]:
    """Compare each two of these decoders, as JSON.

    Args:
        board: that has scored them.
        names: of decoders on it.
        seed: of the resampling, 0 to 2**63 - 1.

    Returns:
        `method`, `seed`, and one entry of `pairs` for each pair of decoders, window, quantity and
        figure that both have, with p adjusted by Holm over pairs and windows.
    """
    order = [name for name in board.names if name in set(names)]
    pairs = [
        entry
        for first, second in combinations(order, 2)
        for entry in _compare_two(first, second, board.paired(first, second), seed)
    ]
    for quantity in PAIRS:
        for figure in FIGURES:
            family = [e for e in pairs if (e["quantity"], e["figure"]) == (quantity, figure)]
            adjusted = holm([entry["p"] for entry in family])
            for entry, p in zip(family, adjusted, strict=True):
                entry["p_holm"] = p
    return {
        "method": "first minus second of each trial, packets that both answered; mean, 95 % "
        "percentile bootstrap over trials, sign-flip p, Holm over pairs and windows",
        "seed": seed,
        "pairs": pairs,
    }


def _compare_two(first: str, second: str, paired: PairedTrials, seed: int) -> list[dict[str, Any]]:
    entries = []
    for window in WINDOWS:
        for quantity in PAIRS:
            trials = paired.trials(window, quantity)
            for figure in FIGURES:
                used = [trial for trial in trials if figure == "rmse" or trial.r2 is not None]
                differences = [_difference(trial, figure) for trial in used]
                judged = paired_difference(differences, seed)
                if judged is not None:
                    entry = _entry(judged, figure, used, differences)
                    named = {"first": first, "second": second, "window": window}
                    entries.append(named | {"quantity": quantity, "figure": figure} | entry)
    return entries


def _difference(trial: PairedTrial, figure: str) -> float:
    values = trial.rmse if figure == "rmse" else trial.r2
    assert values is not None
    return values[0] - values[1]


def _entry(
    judged: Difference, figure: str, used: Sequence[PairedTrial], differences: Sequence[float]
) -> dict[str, Any]:
    first_larger, second_larger = judged.n_positive, judged.n_negative
    first_better = second_larger if figure == "rmse" else first_larger
    second_better = first_larger if figure == "rmse" else second_larger
    return {
        "n_trials": judged.n,
        "n_packets": sum(trial.n for trial in used),
        "mean_difference": judged.mean,
        "ci95": [judged.low, judged.high],
        "p": judged.p,
        "first_better_in": first_better,
        "second_better_in": second_better,
        "trials": [
            {
                "trial_id": trial.trial.trial_id,
                "loop": trial.trial.loop,
                "n": trial.n,
                "difference": difference,
            }
            for trial, difference in zip(used, differences, strict=True)
        ],
    }
