"""A report as a document, from which its other forms are made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phantomlink.scoring.comparison import compare
from phantomlink.scoring.run_score import WINDOWS
from phantomlink.scoring.scoreboard import Scoreboard
from phantomlink.scoring.traces import Trace

FORM = "phantomlink scores 1"
"""Names the form of the document."""


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """One scoreboard, written down.

    Attributes:
        about: what was played: recording, perturbation, seed, split, ...; JSON.
        decoders: of each, counters and the scores of each window; JSON.
        comparison: see `compare`; None where it was not asked for.
        traces: trajectories, for plots only.
        marks: `(first sequence number, label)` of what changed while it was played, for plots.
    """

    about: Mapping[str, Any]
    decoders: Sequence[Mapping[str, Any]]
    comparison: Mapping[str, Any] | None = None
    traces: Sequence[Trace] = ()
    marks: Sequence[tuple[int, str]] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """What a report in JSON has of it."""
        return {
            "about": self.about,
            "decoders": self.decoders,
            "comparison": self.comparison,
        }


def run_of(
    board: Scoreboard,
    about: Mapping[str, Any],
    *,
    names: Sequence[str] | None = None,
    compare_seed: int | None = None,
    with_timing: bool = False,
    marks: Sequence[tuple[int, str]] = (),
) -> ScoredRun:
    """What a scoreboard has to say.

    Args:
        board: the scoreboard.
        about: what was played.
        names: of the decoders that are told; None: all.
        compare_seed: of the comparison; None for no comparison.
        with_timing: whether to tell latencies, which differ from run to run.
        marks: of what changed, for plots.
    """
    told = [name for name in board.names if names is None or name in names]
    comparison = None if compare_seed is None else compare(board, told, compare_seed)
    decoders = [_decoder(board, name, with_timing) for name in told]
    return ScoredRun(about, decoders, comparison, board.traces.all(), tuple(marks))


def json_report(runs: Sequence[ScoredRun], about: Mapping[str, Any]) -> str:
    """The report as JSON.

    Args:
        runs: in the order in which they are told.
        about: what is true of all of them.
    """
    document = {"form": FORM, "about": about, "runs": [run.as_json() for run in runs]}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _decoder(board: Scoreboard, name: str, with_timing: bool) -> dict[str, Any]:
    summary = board.summary(name)
    # What depends on when answers came differs from run to run.
    timed = () if with_timing else ("latency_ms", "late", "connected")
    counters = {key: value for key, value in summary.items() if key not in (*timed, "last_10_s")}
    scores = {}
    for window in WINDOWS:
        figures = board.figures(name, window)
        scores[window] = {variant: figures[variant] for variant in ("answered", "held")}
    return {**counters, "scores": scores}
