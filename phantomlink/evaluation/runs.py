"""One run of `phantomlink score`: decoders over a recording with one perturbation and one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from phantomlink import __version__
from phantomlink.evaluation.feed import DecoderFeed, calling
from phantomlink.evaluation.sources import DecoderSource, LoadedDecoder, load_decoder
from phantomlink.evaluation.stream import score_decoders
from phantomlink.evaluation.training import chosen_trials, training_data, trials_in_short
from phantomlink.perturbation import NO_PERTURBATION, Perturbation
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.identity import sha256_of
from phantomlink.recordings.options import SEARCH, SeriesOptions
from phantomlink.recordings.recording import open_recording
from phantomlink.scoring.report import ScoredRun, run_of

DEFAULT_TRAIN = "0.75"


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What is the same for all runs.

    Attributes:
        path: of the recording.
        series: names that replace the search for behaviour.
        rate_hz: bins a second.
        sources: the decoders.
        train: trials that decoders are fitted to, as `chosen_trials` takes them; None: three
            quarters where a decoder is to be fitted, else none.
        fit_clean: whether decoders are fitted to the counts as they were recorded.
        compare_seed: of the comparison; None for none.
    """

    path: Path
    rate_hz: Fraction
    sources: Sequence[DecoderSource]
    series: SeriesOptions = SEARCH
    train: str | None = None
    fit_clean: bool = False
    compare_seed: int | None = None


@dataclass(frozen=True, slots=True)
class RunKey:
    """What differs between runs.

    Attributes:
        perturbation: JSON, or the name of a preset; None for none.
        seed: of it, and of the split.
    """

    perturbation: Any
    seed: int


def score_run(request: ScoreRequest, key: RunKey) -> ScoredRun:
    """Play the recording once and score the decoders.

    Raises:
        PhantomLinkError: the recording, the perturbation, a decoder or a model cannot be used.
    """
    with open_recording(request.path, options=request.series) as recording:
        return _score(request, key, recording.at_rate(request.rate_hz))


def about_recording(request: ScoreRequest) -> dict[str, Any]:
    """What is true of all runs, for the report; reads the whole file once."""
    with open_recording(request.path, options=request.series) as recording:
        bins = recording.at_rate(request.rate_hz)
        return {
            "dataset": recording.dataset,
            "sha256": sha256_of(request.path),
            "synthetic": recording.info.is_synthetic,
            "units": len(bins.unit_ids),
            "bins": bins.grid.n_bins,
            "bin_size_ms": bins.grid.bin_size_ms,
            "trials": len(bins.trials),
            "decoders": {source.name: source.text for source in request.sources},
            "truth_within_reach": "yes: the decoders ran where the recording is",
            "phantomlink": __version__,
            "numpy": np.__version__,
        }


def _score(request: ScoreRequest, key: RunKey, bins: Bins) -> ScoredRun:
    perturbation = parse_perturbation(key.perturbation)
    loaded = loaded_decoders(request, bins)
    to_fit = any(decoder.fit is not None for decoder in loaded.values())
    wanted = request.train or (DEFAULT_TRAIN if to_fit else None)
    train = () if wanted is None else chosen_trials(wanted, len(bins.trials), key.seed)
    unscored = sorted({*train, *(t for each in loaded.values() for t in each.trained_on)})
    fitted_to = NO_PERTURBATION if request.fit_clean else perturbation
    feeds = fitted_feeds(loaded, bins, fitted_to, key, train)
    board = score_decoders(bins, feeds, perturbation, key.seed, unscored=unscored)
    tested = [t for t in range(len(bins.trials)) if t not in set(unscored)]
    about = {
        "perturbation": perturbation.name or (key.perturbation and perturbation.as_json()),
        "seed": key.seed,
        "fitted_to": _fitted_to(request) if to_fit else None,
        "training_trials": trials_in_short(unscored),
        "test_trials": trials_in_short(tested),
    }
    return run_of(board, about, compare_seed=request.compare_seed, marks=_marks(perturbation, bins))


def loaded_decoders(request: ScoreRequest, bins: Bins) -> dict[str, LoadedDecoder]:
    """The decoders by name, not fitted.

    Raises:
        DecoderError, ModelError: one cannot be loaded, or does not fit the bins.
    """
    loaded = {source.name: load_decoder(source, request.path.stem) for source in request.sources}
    for decoder in loaded.values():
        if decoder.check is not None:
            decoder.check(bins.unit_ids, bins.grid.bin_size_ms)
    return loaded


def fitted_feeds(
    loaded: Mapping[str, LoadedDecoder],
    bins: Bins,
    perturbation: Perturbation,
    key: RunKey,
    train: Sequence[int],
) -> dict[str, DecoderFeed]:
    """The decoders by name, fitted where they are to be, each ready to be run once.

    Args:
        loaded: the decoders.
        bins: of the recording.
        perturbation: what is done to the counts that they are fitted to.
        key: of the run.
        train: trials that are fitted to.

    Raises:
        DecoderError: one cannot be fitted.
        RecordingError: the recording cannot be read.
    """
    data = None
    feeds = {}
    for name, decoder in loaded.items():
        ready = decoder.decoder
        if decoder.fit is not None:
            if data is None:
                data = training_data(bins, perturbation, key.seed, train)
            with calling(name, "fit"):
                ready = decoder.fit(data)
        assert ready is not None
        feeds[name] = DecoderFeed(name, ready)
    return feeds


def _fitted_to(request: ScoreRequest) -> str:
    return "as recorded" if request.fit_clean else "the same perturbation and seed"


def _marks(perturbation: Perturbation, bins: Bins) -> list[tuple[int, str]]:
    """Where another step of the perturbation begins."""
    rate = float(bins.grid.rate_hz)
    return [
        (round(step.at_seconds * rate), f"{step.at_seconds:g} s")
        for step in perturbation.steps
        if step.at_seconds > 0
    ]
