"""Decoders in closed loop: a simulated user steers a cursor with them."""

import json
from fractions import Fraction

import numpy as np
import pytest

from phantomlink.cli import main
from phantomlink.errors import InvalidParameterError
from phantomlink.evaluation.closed_loop import HOLD_SECONDS, Reach, Task, figures, run_closed_loop
from phantomlink.evaluation.feed import DecoderFeed
from phantomlink.evaluation.simulated_user import Intention, SimulatedNeurons
from phantomlink.evaluation.training import training_data
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.trials import TrialTable

N_TRIALS = 12
# One "neuron" for each direction of each axis, so many spikes for what is meant that none is lost.
EXACT = SimulatedNeurons(
    np.zeros(4), np.array([[1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0]]) * 100, 100.0
)


@pytest.fixture(scope="module")
def bins(synthetic_recording):
    with open_recording(synthetic_recording) as recording:
        yield recording.at_rate(Fraction(40))


@pytest.fixture(scope="module")
def task(bins):
    return Task(bins.trials, bins.grid)


class Exact:
    """Says what was meant."""

    def __init__(self):
        self.learned = []

    def reset(self):
        pass

    def step(self, counts):
        right, left, up, down = np.asarray(counts, dtype=float) / 100
        return right - left, up - down

    def learn(self, kinematics, trial_id):
        self.learned.append((kinematics, trial_id))


class RandomWalk(Exact):
    """Listens to nothing."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(5)

    def step(self, counts):
        return self.rng.normal(size=2) * 100


class Nowhere(Exact):
    """Has no answer."""

    def step(self, counts):
        return None


def tried(task, decoder, seed=3):
    feed = DecoderFeed("x", decoder)
    return run_closed_loop(task, EXACT, feed, None, n_trials=N_TRIALS, seed=seed)


def test_who_says_what_is_meant_reaches_every_target_at_once(task):
    reaches = tried(task, Exact())
    found = figures(reaches, task.radius)
    assert (found["trials"], found["reached"], found["success_rate"]) == (N_TRIALS, N_TRIALS, 1.0)
    assert found["dial_in_s"] == 0.0
    assert 0.85 < found["path_efficiency"] <= 1.0
    for each in reaches:
        # The first step is seen 100 ms late, and nobody is faster than what can be meant.
        assert each.reached_s >= (each.distance - task.radius) / EXACT.top_speed
    assert found["throughput_bits_per_s"] > 0.5
    assert tried(task, Exact()) == reaches
    assert tried(task, Exact(), seed=4) != reaches


def test_who_does_not_listen_gets_nowhere(task):
    found = figures(tried(task, Nowhere()), task.radius)
    assert (found["reached"], found["throughput_bits_per_s"]) == (0, 0.0)
    assert found["time_to_target_s"] is None
    found = figures(tried(task, RandomWalk()), task.radius)
    assert found["success_rate"] < 0.3


def test_what_is_learned_points_at_the_target_and_stands_still_on_it(task):
    decoder = Exact()
    tried(task, decoder)
    by_trial = {}
    for kinematics, trial in decoder.learned:
        by_trial.setdefault(trial, []).append(kinematics)
    assert sorted(by_trial) == list(range(N_TRIALS))
    for rows in by_trial.values():
        *_, last = rows
        assert last[:2].tolist() == [0.0, 0.0]
        first = next(row for row in rows if row[:2].any())
        way = last[2:] - first[2:]  # the cursor ends on the target
        cosine = first[:2] @ way / np.hypot(*first[:2]) / np.hypot(*way)
        assert cosine > 0.9
        still = sum(not row[:2].any() for row in rows)
        assert still >= round(HOLD_SECONDS * 40)


def test_a_user_sees_the_cursor_late(task):
    user = Intention(100.0, 0.025)
    start, target = np.zeros(2), np.array([50.0, 0.0])
    user.reset(start)
    moved = [user.velocity(np.array([10.0 * (n + 1), 0.0]), target)[0] for n in range(6)]
    # 100 ms are 4 bins: it slows down for what it came to in the second one in the sixth.
    assert moved == [100.0, 100.0, 100.0, 100.0, 100.0, pytest.approx(90.0)]


def test_figures_of_what_was_reached_and_not():
    reaches = [Reach(100.0, 1.0, 1.5, 160.0), Reach(60.0, 0.5, None, 400.0)]
    assert figures(reaches, 20.0) == {
        "trials": 2,
        "reached": 1,
        "success_rate": 0.5,
        "time_to_target_s": 1.5,
        "dial_in_s": 0.5,
        "path_efficiency": 0.5,
        "throughput_bits_per_s": pytest.approx(np.log2(1 + 100 / 40) / 1.5 / 2),
    }


def test_neurons_are_tuned_as_the_units_are(bins):
    data = training_data(bins, NO_PERTURBATION, 0, range(len(bins.trials)))
    neurons = SimulatedNeurons.of(data, 0.025)
    assert neurons.tuning.shape == (len(bins.unit_ids), 2)
    mean = data.counts[data.used].mean(axis=0)
    np.testing.assert_allclose(neurons.baseline, mean, atol=0.05)
    rng = np.random.Generator(np.random.Philox(1))
    fired = np.mean([neurons.fire(np.zeros(2), rng) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(fired, np.maximum(neurons.baseline, 0), atol=0.05)


def test_too_few_bins_or_targets_are_told(bins):
    data = training_data(bins, NO_PERTURBATION, 0, ())
    with pytest.raises(InvalidParameterError, match="needs 100 bins"):
        SimulatedNeurons.of(data, 0.025)
    with pytest.raises(InvalidParameterError, match="targets with a place, needs 2"):
        Task(TrialTable([]), bins.grid)


def test_the_command_compares_decoders(synthetic_recording, capsys):
    command = ["score", str(synthetic_recording), "--train", "0-4", "--closed-loop", "6"]
    command += ["--decoder", "kalman", "--decoder", "refit"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "kalman" in printed
    assert "bit/s" in printed
    command += ["--perturbation", "moderate", "--seed", "2-3", "--json"]
    assert main(command) == 0
    runs = json.loads(capsys.readouterr().out)["closed_loop"]
    assert [(run["perturbation"], run["seed"]) for run in runs] == [
        ("moderate", 2),
        ("moderate", 3),
    ]
    assert {found["trials"] for run in runs for found in run["decoders"].values()} == {6}


@pytest.mark.parametrize("more", [["--ab"], ["--fail-under", "r2=0"], ["--report", "x.json"]])
def test_what_belongs_to_the_open_loop_is_refused(synthetic_recording, more, capsys):
    command = ["score", str(synthetic_recording), "--decoder", "kalman", "--closed-loop"]
    assert main([*command, *more]) == 2
    assert "closed-loop: got" in capsys.readouterr().err
