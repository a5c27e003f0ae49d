"""The plots of a report: trajectories, error and R2 over trials, paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from phantomlink.scoring.packets import PAIRS
from phantomlink.scoring.report.document import ScoredRun
from phantomlink.scoring.report.svg import COLOURS, TRUTH_COLOUR, Line, Plot, svg
from phantomlink.scoring.traces import Trace

_SMALL = 210
_LOWEST_R2 = -1.0


def colour_of(run: ScoredRun, name: str) -> str:
    """In which a decoder is drawn."""
    names = [decoder["decoder"] for decoder in run.decoders]
    return COLOURS[names.index(name) % len(COLOURS)]


def trajectory_plots(run: ScoredRun, bin_seconds: float) -> Iterator[str]:
    """The latest trial to each place.

    Decoded velocity is drawn as its integral from the start of the trial: open loop, nobody
    steered by it. A predicted position is drawn as it is.
    """
    for trace in run.traces:
        lines = [Line(_path(trace.truth, bin_seconds, is_truth=True), TRUTH_COLOUR, 3)]
        for name, values in trace.decoded.items():
            if any(name == decoder["decoder"] for decoder in run.decoders):
                path = _path(values, bin_seconds, is_truth=False, start=_start(trace))
                lines.append(Line(path, colour_of(run, name)))
        title = f"reach {trace.trial.reach_id}, trial {trace.trial.trial_id}"
        yield svg(Plot(title, lines, width=_SMALL, height=_SMALL, equal=True))


def over_trials(run: ScoredRun, window: str) -> Iterator[str]:
    """RMSE and R2 of each trial, in the order in which they were played."""
    marks = [(float(at), label) for at, label in run.marks]
    for quantity in PAIRS:
        for figure, title in (("rmse", "RMSE"), ("r2", "R2")):
            lines = []
            for decoder in run.decoders:
                trials = decoder["scores"][window]["answered"]["trials"]
                points = [
                    (float(trial["first_sequence_number"]), _value(trial[quantity], figure))
                    for trial in trials
                    if quantity in trial
                ]
                if points:
                    colour = colour_of(run, decoder["decoder"])
                    lines.append(Line(points, colour, dots=2))
            if lines:
                low = _LOWEST_R2 if figure == "r2" else -math.inf
                yield svg(
                    Plot(
                        f"{title} of {quantity} by trial, window {window}",
                        lines,
                        x_label="packet at which the trial began",
                        verticals=marks,
                        horizontals=(0.0,) if figure == "r2" else (),
                        low=low,
                    )
                )


def difference_plots(run: ScoredRun, window: str) -> Iterator[str]:
    """Paired differences of RMSE of each trial, with the mean and its interval."""
    entries: Sequence[Mapping[str, Any]] = () if run.comparison is None else run.comparison["pairs"]
    for entry in entries:
        if entry["window"] != window or entry["figure"] != "rmse":
            continue
        low, high = entry["ci95"]
        n = len(entry["trials"])
        points = [(float(k), trial["difference"]) for k, trial in enumerate(entry["trials"])]
        mean = entry["mean_difference"]
        first, second = entry["first"], entry["second"]
        yield svg(
            Plot(
                f"RMSE of {entry['quantity']}: {first} minus {second}, below 0 {first} is better",
                [
                    Line(points, colour_of(run, first), 0, dots=2.5),
                    Line([(0.0, mean), (n - 1.0, mean)], "#222222", 1.5),
                    Line([(0.0, low), (n - 1.0, low)], "#222222", 0.5),
                    Line([(0.0, high), (n - 1.0, high)], "#222222", 0.5),
                ],
                x_label="trial, in the order in which they were played",
                horizontals=(0.0,),
            )
        )


def _value(figures: Mapping[str, Any], figure: str) -> float:
    value = figures["rmse"] if figure == "rmse" else figures["r2"]["both"]
    return math.nan if value is None else float(value)


def _start(trace: Trace) -> tuple[float, float]:
    known = trace.truth[np.isfinite(trace.truth[:, 2:]).all(axis=1), 2:]
    return (float(known[0, 0]), float(known[0, 1])) if len(known) else (0.0, 0.0)


def _path(
    values: Any, bin_seconds: float, *, is_truth: bool, start: tuple[float, float] = (0.0, 0.0)
) -> list[tuple[float, float]]:
    velocity, position = values[:, PAIRS["velocity"]], values[:, PAIRS["position"]]
    if np.isfinite(position).any() or (is_truth and not np.isfinite(velocity).any()):
        return [(float(x), float(y)) for x, y in position.tolist()]
    steps = np.nan_to_num(velocity) * bin_seconds
    path = np.cumsum(steps, axis=0) + np.array(start)
    return [(float(x), float(y)) for x, y in path.tolist()]
