"""`phantomlink fit`: fit a built-in decoder to a recording and keep it as a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phantomlink import __version__
from phantomlink.decoding import FitOptions, Model, fit_and_validate, save_model
from phantomlink.decoding.fitting import check_size
from phantomlink.evaluation.training import chosen_trials, training_data, trials_in_short
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.identity import sha256_of
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.recording import open_recording


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What to fit to what.

    Attributes:
        kind: of `DECODERS`.
        options: of the decoder.
        perturbation: as `parse_perturbation` takes it.
        seed: of the perturbation and the split.
        train: as `chosen_trials` takes it.
        window: `trials` or `movement`.
    """

    kind: str
    options: FitOptions
    perturbation: Any = None
    seed: int = 0
    train: str = "0.75"
    window: str = "trials"


def fit_recording(bins: Bins, request: FitRequest, about: dict[str, Any]) -> Model:
    """Fit a decoder to bins of a recording, and judge it by cross-validation.

    Args:
        bins: of the recording.
        request: what to fit.
        about: provenance that only the caller knows.

    Raises:
        PhantomLinkError: the recording, the perturbation or the options cannot be used.
    """
    check_size(request.kind, len(bins.unit_ids), request.options)
    perturbation = parse_perturbation(request.perturbation)
    trials = chosen_trials(request.train, len(bins.trials), request.seed)
    data = training_data(bins, perturbation, request.seed, trials, request.window)
    parameters, validation = fit_and_validate(request.kind, data, request.options)
    provenance = about | {
        "perturbation": perturbation.as_json() if perturbation.steps else None,
        "seed": request.seed,
        "window": request.window,
        "phantomlink": __version__,
        "numpy": np.__version__,
    }
    return Model(
        request.kind,
        parameters,
        bins.unit_ids,
        bins.grid.bin_size_ms,
        provenance,
        tuple(int(trial) for trial in trials),
        validation.as_json(),
    )


def run_fit(
    path: Path,
    series: SeriesOptions,
    rate_hz: Any,
    request: FitRequest,
    out: Path,
    *,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Fit, write and tell; answers the exit code.

    Raises:
        PhantomLinkError: see `fit_recording`; the file exists, or cannot be written.
    """
    with open_recording(path, options=series) as recording:
        about = {"dataset": recording.dataset, "sha256": sha256_of(path)}
        model = fit_recording(recording.at_rate(rate_hz), request, about)
    save_model(out, model, overwrite=overwrite)
    told = {
        "model": str(out),
        "kind": model.kind,
        "training_trials": trials_in_short(model.training_trials),
        **model.validation,
    }
    if as_json:
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        sys.stdout.write(_in_words(told, model.training_trials))
    return 0


def _in_words(told: dict[str, Any], trials: Sequence[int]) -> str:
    folds = ", ".join(_number(value) for value in told["r2_folds"])
    return (
        f"{told['model']}: {told['kind']}, fitted to {len(trials)} trials "
        f"({told['training_trials']})\n"
        f"cross-validated R2 of velocity {_number(told['r2'])} ({told['folds']} folds over trials: "
        f"{folds}; n {told['n']})\n"
        f"chance {_number(told['chance_r2'])}\n"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
