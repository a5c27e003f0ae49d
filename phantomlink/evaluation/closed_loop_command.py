"""`phantomlink score --closed-loop`: decoders that a simulated user steers a cursor with."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from phantomlink.engine.perturbed import apply_perturbation
from phantomlink.evaluation.closed_loop import Task, figures, run_closed_loop
from phantomlink.evaluation.runs import (
    DEFAULT_TRAIN,
    RunKey,
    ScoreRequest,
    about_recording,
    fitted_feeds,
    loaded_decoders,
)
from phantomlink.evaluation.simulated_user import SimulatedNeurons
from phantomlink.evaluation.training import chosen_trials, training_data
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.recording import open_recording

_COLUMNS = {
    "reached": "reached",
    "time s": "time_to_target_s",
    "dial-in s": "dial_in_s",
    "efficiency": "path_efficiency",
    "bit/s": "throughput_bits_per_s",
}


def run_closed_loops(
    request: ScoreRequest, keys: Sequence[RunKey], n_trials: int, *, as_json: bool
) -> int:
    """Let each decoder try for each key, and print; answers the exit code.

    Raises:
        PhantomLinkError: the recording, the perturbation, a decoder or a model cannot be used.
    """
    with open_recording(request.path, options=request.series) as recording:
        bins = recording.at_rate(request.rate_hz)
        runs = [_run(request, key, bins, n_trials) for key in keys]
    if as_json:
        said = {"about": about_recording(request), "closed_loop": runs}
        sys.stdout.write(json.dumps(said, indent=1) + "\n")
    else:
        Console().print(_table(runs))
    return 0


def _run(request: ScoreRequest, key: RunKey, bins: Bins, n_trials: int) -> dict[str, Any]:
    perturbation = parse_perturbation(key.perturbation)
    train = chosen_trials(request.train or DEFAULT_TRAIN, len(bins.trials), key.seed)
    task = Task(bins.trials, bins.grid)
    as_recorded = training_data(bins, NO_PERTURBATION, key.seed, train)
    neurons = SimulatedNeurons.of(as_recorded, task.bin_seconds)
    fitted_to = NO_PERTURBATION if request.fit_clean else perturbation
    loaded = loaded_decoders(request, bins)
    found = {}
    for name, feed in fitted_feeds(loaded, bins, fitted_to, key, train).items():
        applied = apply_perturbation(perturbation, key.seed, bins)
        reaches = run_closed_loop(task, neurons, feed, applied, n_trials=n_trials, seed=key.seed)
        found[name] = figures(reaches, task.radius)
    return {
        "perturbation": perturbation.name or (key.perturbation and perturbation.as_json()),
        "seed": key.seed,
        "target_radius": task.radius,
        "decoders": found,
    }


def _table(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("perturbation", "seed", "decoder"):
        table.add_column(name)
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for run in runs:
        for decoder, found in run["decoders"].items():
            shown = [_shown(found[figure]) for figure in _COLUMNS.values()]
            shown[0] = f"{found['reached']}/{found['trials']}"
            what = run["perturbation"] or "none"
            what = what if isinstance(what, str) else json.dumps(what)
            table.add_row(what, str(run["seed"]), decoder, *shown)
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
