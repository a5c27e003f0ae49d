"""Decoders over a recording: how they get packets, what is scored, what they come from."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from phantomlink.errors import InvalidParameterError
from phantomlink.evaluation.feed import DecoderError, DecoderFeed
from phantomlink.evaluation.limits import parse_limits
from phantomlink.evaluation.onnx import OnnxDecoder
from phantomlink.evaluation.sources import DecoderSource, load_decoder, parse_sources
from phantomlink.evaluation.stream import score_decoders
from phantomlink.evaluation.training import chosen_trials, training_data, trials_in_short
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic.named import TRIAL_BINS, TRIAL_GAP_BINS, synthesize_named


class Noting:
    """Notes what it is called with; answers velocity 1, 2."""

    def __init__(self):
        self.calls = []

    def reset(self):
        self.calls.append("reset")

    def step(self, counts):
        self.calls.append(int(counts[0]))
        return 1.0, 2.0

    def learn(self, kinematics, trial_id):
        self.calls.append(("learn", trial_id))


class Plain:
    """A decoder that answers what it is told to."""

    def __init__(self, answer=(0.0, 0.0)):
        self.answer = answer

    def reset(self):
        pass

    def step(self, counts):
        return self.answer


@pytest.fixture(scope="module")
def bins(tmp_path_factory):
    """200 bins; bin i has the velocity 2 i, -2 i and its digits in the first counts."""
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    layout = synthesize_named(path, units=8, seconds=5.0)
    with open_recording(path) as recording:
        yield recording.at_rate(Fraction(40)), layout


def test_feed_resets_after_a_gap_and_decodes_each_packet_once():
    noting = Noting()
    feed = DecoderFeed("noting", noting)
    answers = [
        feed.packet(sequence, packet, np.array([packet]))
        for sequence, packet in ((0, 5), (1, 6), (1, 6), (3, 8), (2, 7), (4, 9), (5, 0))
    ]
    # Twice the same, and one that was overtaken, are not decoded.
    assert [answer is not None for answer in answers] == [
        True,
        True,
        False,
        True,
        False,
        True,
        True,
    ]
    assert answers[0][:2] == (1.0, 2.0)
    assert math.isnan(answers[0][2])
    assert noting.calls == ["reset", 5, 6, "reset", 8, 9, "reset", 0]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("nothing", "step answered 'nothing', takes"),
        ((1.0,), "step answered 1 numbers, takes"),
        ((1.0, 2.0, 3.0), "step answered 3 numbers"),
        (7, "step answered 7, takes"),
        ((1.0, None), "takes"),
    ],
)
def test_what_is_no_prediction_is_told(said, message):
    with pytest.raises(DecoderError, match=message):
        DecoderFeed("x", Plain(said)).packet(0, 0, np.zeros(3))


def test_a_failure_of_a_decoder_is_told_with_its_traceback():
    class Failing(Plain):
        def step(self, counts):
            raise KeyError("weights")

    with pytest.raises(DecoderError, match="x: reset or step raised KeyError: 'weights'") as raised:
        DecoderFeed("x", Failing()).packet(0, 0, np.zeros(3))
    assert 'raise KeyError("weights")' in raised.value.__notes__[0]


def test_an_echo_of_the_counts_is_scored_as_perfect(bins):
    bins, layout = bins

    class Echo(Plain):
        def step(self, counts):
            return tuple(layout.kinematics(np.array([layout.bin_of(counts)]))[0])

    board = score_decoders(bins, {"echo": DecoderFeed("echo", Echo())}, NO_PERTURBATION, 0)
    figures = board.figures("echo", "trials")
    assert (figures["closed"], figures["coverage"]) == (200, 1.0)
    whole = figures["answered"]["whole"]
    assert whole["n"] == 5 * (TRIAL_BINS - TRIAL_GAP_BINS)
    assert whole["velocity"]["r2"]["both"] == whole["position"]["r2"]["both"] == 1.0
    assert [reach["n"] for reach in figures["answered"]["reaches"]] == [72, 36, 36, 36]
    # 26 bins around the onset in each trial.
    assert board.figures("echo", "movement")["answered"]["whole"]["n"] == 5 * 26


def test_trials_that_decoders_were_fitted_to_are_not_scored(bins):
    feeds = {"a": DecoderFeed("a", Plain())}
    board = score_decoders(bins[0], feeds, NO_PERTURBATION, 0, unscored=[0, 3])
    trials = board.figures("a", "trials")["answered"]["trials"]
    assert [trial["trial_id"] for trial in trials if trial["n"]] == [1, 2, 4]
    assert board.summary("a")["answered"] == 200


def test_what_was_not_observed_is_neither_scored_nor_fitted_to(bins):
    class Unobserved:
        """The same bins, of which the second half was not observed."""

        def __init__(self, bins):
            self._bins = bins
            self.grid, self.unit_ids, self.trials = bins.grid, bins.unit_ids, bins.trials
            self.in_memory = bins.in_memory

        def read(self, start, stop):
            return replace(self._bins.read(start, stop), observed=np.arange(start, stop) < 100)

    half = Unobserved(bins[0])
    board = score_decoders(half, {"a": DecoderFeed("a", Plain())}, NO_PERTURBATION, 0)
    assert board.figures("a", "trials")["answered"]["whole"]["n"] == 36 + 36 + 20
    assert training_data(half, NO_PERTURBATION, 0, range(5)).used.sum() == 36 + 36 + 20


def test_faults_on_the_way_reach_the_decoder(bins):
    perturbation = parse_perturbation(
        {
            "transforms": [
                {"kind": "packet_loss", "probability": 0.1},
                {"kind": "packet_duplicate", "probability": 0.1},
                {"kind": "packet_reorder", "probability": 0.1},
            ]
        }
    )
    noting = Noting()
    board = score_decoders(bins[0], {"a": DecoderFeed("a", noting)}, perturbation, 3)
    summary = board.summary("a")
    decoded = [call for call in noting.calls if isinstance(call, int)]
    assert summary["closed"] == 200
    assert summary["answered"] == len(decoded) < 190
    assert summary["duplicate"] == summary["unknown"] == summary["out_of_order"] == 0
    # A trial is still one trial, whatever was lost or overtaken within it.
    assert len(board.figures("a", "trials")["answered"]["trials"]) == 5


def test_training_data_are_the_perturbed_counts(bins):
    bins, layout = bins
    dead = parse_perturbation({"transforms": [{"kind": "dead_units", "unit_ids": [102]}]})
    data = training_data(bins, dead, 0, [1, 2])
    expected = layout.counts(np.arange(200))
    expected[:, 1] = 0
    np.testing.assert_array_equal(data.counts, expected)
    assert data.trials.tolist() == [1, 2]
    assert data.used.sum() == 2 * (TRIAL_BINS - TRIAL_GAP_BINS)
    assert training_data(bins, dead, 0, [1, 2], "movement").used.sum() == 2 * 26


def test_trials_to_train_on():
    assert chosen_trials("0-2,7", 10, 0) == (0, 1, 2, 7)
    assert len(chosen_trials("0.3", 10, 0)) == 3
    assert trials_in_short((0, 1, 2, 7)) == "0-2,7"
    for text in ("", "a", "3-1", "1.5", "0.", "8-10", "-1"):
        with pytest.raises(InvalidParameterError, match="train: got"):
            chosen_trials(text, 10, 0)


def test_decoders_by_name():
    sources = parse_sources(["a.b:Kalman", "m/my model.npz", "kf=ridge", "x:Kalman"], {})
    assert [source.name for source in sources] == ["Kalman", "my-model", "kf", "Kalman-2"]
    for texts, message in (
        (["x"], "takes package:Class"),
        (["a=ridge", "a=kalman"], "two are named 'a'"),
        (["a b=ridge"], "got the name 'a b'"),
    ):
        with pytest.raises(InvalidParameterError, match=message):
            parse_sources(texts, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_such_module:A", "cannot be imported"),
        ("tests.unit.test_evaluation:A", "has no 'A'"),
        ("tests.unit.test_evaluation:Plain", "cannot be made"),
        ("fractions:Fraction", "has no reset and no step"),
        ("falcon:fractions:Fraction", "a FALCON-style decoder has reset, predict"),
        ("none.npz", "cannot be read"),
    ],
)
def test_what_cannot_be_loaded_is_told(text, message):
    options = {"wrong": 1} if text.endswith("Plain") else {}
    with pytest.raises(InvalidParameterError if "npz" in text else DecoderError, match=message):
        load_decoder(DecoderSource("x", text, options), "named")


class Falcon:
    """In the form of the FALCON benchmark: velocity is twice the first counts."""

    calls: list[object] = []  # noqa: RUF012

    def reset(self, dataset_tags):
        self.calls.append(("reset", dataset_tags))

    def predict(self, neural_observations):
        assert neural_observations.shape == (1, 8)
        return neural_observations[:, :2] * 2.0

    def observe(self, neural_observations):
        raise AssertionError

    def on_done(self, dones):
        self.calls.append(("done", dones.tolist()))


def test_falcon_decoders_are_told_of_trials(bins):
    Falcon.calls.clear()
    source = DecoderSource("f", "falcon:tests.unit.test_evaluation:Falcon", {})
    loaded = load_decoder(source, "named")
    score_decoders(bins[0], {"f": DecoderFeed("f", loaded.decoder)}, NO_PERTURBATION, 0)
    assert Falcon.calls == [("reset", ["named"])] + [("done", [True])] * 5


def network(path, shape, weights):
    """A network that multiplies its (flattened) input by weights."""
    nodes = [
        helper.make_node("Flatten", ["counts"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["velocity"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("counts", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("velocity", TensorProto.FLOAT, [1, weights.shape[1]])],
        [helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


def test_networks_see_one_bin_or_the_latest_bins(tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, (10, 3))
    one = rng.normal(size=(3, 2)).astype(np.float32)
    network(tmp_path / "one.onnx", [1, 3], one)
    decoder = OnnxDecoder(tmp_path / "one.onnx")
    np.testing.assert_allclose([decoder.step(row) for row in counts], counts @ one, rtol=1e-5)
    window = rng.normal(size=(4 * 3, 4)).astype(np.float32)
    network(tmp_path / "window.onnx", [1, 4, 3], window)
    decoder = OnnxDecoder(tmp_path / "window.onnx")
    for _ in range(2):  # after a reset as at first
        decoder.reset()
        padded = np.concatenate((np.zeros((3, 3)), counts))
        expected = [padded[t : t + 4].ravel() @ window for t in range(10)]
        np.testing.assert_allclose([decoder.step(row) for row in counts], expected, rtol=1e-4)


def test_a_network_of_another_form_is_told(tmp_path):
    network(tmp_path / "n.onnx", [3], np.zeros((1, 2), np.float32))
    with pytest.raises(DecoderError, match="takes one of float32"):
        OnnxDecoder(tmp_path / "n.onnx")
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(DecoderError, match="cannot be loaded"):
        OnnxDecoder(tmp_path / "x.onnx")


def test_limits():
    limit, moving = parse_limits(["r2=0.5", "movement.coverage=1"])
    assert (limit.figure, limit.window, limit.bound) == ("r2", "trials", 0.5)
    assert (moving.figure, moving.window, moving.bound) == ("coverage", "movement", 1.0)
    for text in ("r2", "r2=a", "rmse=3", "all.r2=1", "r2=nan", "r=1", "r2.z=1", "held.trials.r2=1"):
        with pytest.raises(InvalidParameterError, match="fail-under: got"):
            parse_limits([text])


def test_every_figure_of_a_score_can_be_limited():
    """From below or above, of the other window or variant; what is not defined does not keep it."""
    scores = {
        "trials": {
            "answered": {
                "whole": {
                    "n": 9,
                    "coverage": 0.5,
                    "velocity": {
                        "r2": {"vx": 0.1, "vy": 0.3, "both": 0.2},
                        "r": {"vx": 0.4, "vy": None},
                        "rmse": 40.0,
                        "angular_error_degrees": {"n": 3, "mean": 30.0, "median": 20.0},
                        "lag_ms": 50.0,
                    },
                }
            },
            "held": {"whole": {"n": 9, "coverage": 0.5, "position": {"r2": {"both": 0.7}}}},
        }
    }
    kept = ["n=9", "coverage=0.5", "r2=0.2", "r2.vx=0.1", "velocity.r.vx=0.4", "r2_held=0.7"]
    for text in [*kept, "trials.held.position.r2=0.7", "lag_ms=50"]:
        assert parse_limits([text])[0].failure(scores) is None
    for text in ["rmse=40", "angular_error_degrees=20", "angular_error_degrees.mean=30"]:
        assert parse_limits([text], is_most=True)[0].failure(scores) is None
    for text in ["n=10", "r2.vy=0.31", "r.vy=0", "position.r2=0", "held.velocity.r2=0"]:
        assert "below" in parse_limits([text])[0].failure(scores)
    for text in ["rmse=39", "lag_ms=49", "angular_error_degrees=19.5", "rmse=39"]:
        assert "above" in parse_limits([text], is_most=True)[0].failure(scores)
    assert parse_limits(["held.rmse=1"], is_most=True)[0].failure(scores) == (
        "rmse (held) in trials is undefined, above 1"
    )
