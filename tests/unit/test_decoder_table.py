"""The built-in decoders on the default synthetic recording: the figures that are documented."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from phantomlink.decoding import FitOptions, cross_validate, fit_model
from phantomlink.evaluation.closed_loop import Task, figures, run_closed_loop
from phantomlink.evaluation.feed import DecoderFeed
from phantomlink.evaluation.simulated_user import SimulatedNeurons
from phantomlink.evaluation.stream import score_decoders
from phantomlink.evaluation.training import training_data
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import PRESETS
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import synthesize

TRAIN = [trial for trial in range(100) if trial % 4 != 2]
RIDGE_8 = FitOptions(strength=10**2.5)

DOCUMENTED = {
    "ridge-1": ("ridge", FitOptions(n_bins=1, strength=10**2.5), 0.027, 0.034),
    "ridge-8": ("ridge", RIDGE_8, 0.613, 0.735),
    "kalman-1": ("kalman", FitOptions(n_bins=1, lag=3), 0.529, 0.652),
    "kalman-4": ("kalman", FitOptions(), 0.535, 0.744),
    "kalman-pv": ("kalman-pv", FitOptions(), 0.516, 0.746),
}


@pytest.fixture(scope="module")
def bins(tmp_path_factory):
    path = tmp_path_factory.mktemp("default") / "default.nwb"
    synthesize(path)
    with open_recording(path) as recording:
        yield recording.at_rate(Fraction(40))


@pytest.fixture(scope="module")
def data(bins):
    return training_data(bins, NO_PERTURBATION, 0, TRAIN)


def test_documented_r2(bins, data):
    feeds = {
        name: DecoderFeed(name, fit_model(kind, data, options).decoder())
        for name, (kind, options, _, _) in DOCUMENTED.items()
    }
    board = score_decoders(bins, feeds, NO_PERTURBATION, 0, unscored=TRAIN)
    for name, (_, _, in_trials, in_movement) in DOCUMENTED.items():
        for window, n, documented in (("trials", 2958, in_trials), ("movement", 700, in_movement)):
            whole = board.figures(name, window)["answered"]["whole"]
            assert whole["n"] == n
            assert whole["velocity"]["r2"]["both"] == pytest.approx(documented, abs=0.01), name
    assert board.figures("ridge-1", "trials")["answered"]["whole"]["velocity"]["r2"]["both"] < 0.06


def test_the_strength_of_the_penalty_is_found(data):
    assert 100 <= fit_model("ridge", data, FitOptions(n_bins=2)).strength <= 1000


def test_chance_is_below_zero(data):
    judged = cross_validate(data, lambda part: fit_model("kalman", part), folds=2)
    assert judged.r2 > 0.45
    assert judged.chance_r2 < 0


def test_to_fit_again_helps_on_the_next_day(bins):
    """Fitted to the day before, on trials 50 to 99, around movements; mean of three seeds."""
    data = training_data(bins, NO_PERTURBATION, 0, range(50))
    static, refit = fit_model("kalman", data), fit_model("refit", data)
    gained = []
    for seed in (1, 2, 3):
        feeds = {
            "static": DecoderFeed("static", static.decoder()),
            "refit": DecoderFeed("refit", refit.decoder()),
        }
        board = score_decoders(bins, feeds, PRESETS["next_day"], seed, unscored=range(50))
        r2 = {
            name: board.figures(name, "movement")["answered"]["whole"]["velocity"]["r2"]["both"]
            for name in feeds
        }
        gained.append(r2["refit"] - r2["static"])
    assert np.mean(gained) >= 0.10
    assert min(gained) > 0


def test_to_fit_again_in_closed_loop_makes_a_steadier_cursor(bins):
    data = training_data(bins, NO_PERTURBATION, 0, range(50))
    task = Task(bins.trials, bins.grid)
    neurons = SimulatedNeurons.of(data, task.bin_seconds)
    found = {}
    for kind in ("kalman", "refit"):
        model = fit_model(kind, data)
        reaches = [
            reach
            for seed in (0, 1)
            for reach in run_closed_loop(
                task, neurons, DecoderFeed(kind, model.decoder()), None, n_trials=80, seed=seed
            )
        ]
        found[kind] = figures(reaches, task.radius)
    assert found["refit"]["reached"] >= 0.95 * 160
    assert found["refit"]["dial_in_s"] < 0.7 * found["kalman"]["dial_in_s"]
    assert found["refit"]["path_efficiency"] > found["kalman"]["path_efficiency"] + 0.05
