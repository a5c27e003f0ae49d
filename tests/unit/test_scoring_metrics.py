"""Figures of a score against scikit-learn, numpy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import r2_score, root_mean_squared_error

from phantomlink.scoring import VARIANTS, WINDOWS, ScoringRules, movement_bins
from phantomlink.scoring.angles import KEPT_ANGLES, AngularErrors
from phantomlink.scoring.rules import angular_speed_threshold, is_decoder_name
from phantomlink.scoring.sums import PairSums
from tests.scoring import NAN, RULES, TRIAL_BINS, packets_of, played, reaches

NEAR = {"rel": 1e-9, "abs": 1e-9}


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6])
def test_sums_equal_scikit_learn(offset):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(1000, 2)) * (3, 1) + offset
    predicted = truth + rng.normal(size=(1000, 2))
    sums = PairSums()
    for start in range(0, 1000, 37):
        rows = slice(start, start + 37)
        sums = sums.joined(PairSums.of(truth[rows], predicted[rows]))
    assert sums.n == 1000
    for axis, k in ((sums.first, 0), (sums.second, 1)):
        assert axis.r2 == pytest.approx(r2_score(truth[:, k], predicted[:, k]), **NEAR)
        r = np.corrcoef(truth[:, k] - offset, predicted[:, k] - offset)[0, 1]
        assert axis.r == pytest.approx(r, **NEAR)
    weighted = r2_score(truth, predicted, multioutput="variance_weighted")
    assert sums.r2 == pytest.approx(weighted, **NEAR)
    by_axis = root_mean_squared_error(truth, predicted, multioutput="raw_values")
    assert sums.rmse == pytest.approx(math.hypot(*by_axis), **NEAR)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1])
def test_a_constant_axis_has_no_r2(value):
    truth = np.column_stack((np.full(100, value), np.arange(100.0)))
    sums = PairSums()
    for rows in (slice(0, 33), slice(33, 100)):
        sums = sums.joined(PairSums.of(truth[rows], truth[rows] + 1.0))
    assert sums.first.r2 is None
    assert sums.first.r is None
    # The other axis alone decides.
    assert sums.r2 == sums.second.r2
    assert PairSums().r2 is None
    assert PairSums().rmse is None


def test_a_track_of_one_axis_is_scored_on_it():
    truth = np.column_stack((np.arange(10.0), np.full(10, NAN)))
    sums = PairSums.of(truth, np.column_stack((np.arange(10.0) + 2, np.zeros(10))))
    assert (sums.n, sums.first.n, sums.second.n) == (10, 10, 0)
    assert sums.rmse == 2.0
    assert sums.second.r2 is None


def test_echo_mean_and_rolled():
    truth = reaches(20)
    rolled = np.roll(truth, 300, axis=0)
    mean = tuple(truth.mean(axis=0))
    board = played(
        packets_of(truth),
        echo=lambda packet: packet.truth,
        mean=lambda packet: mean,
        rolled=lambda packet: tuple(rolled[packet.packet_id]),
    )
    for window in WINDOWS:
        for quantity in ("velocity", "position"):
            whole = {
                name: board.figures(name, window)["answered"]["whole"][quantity]
                for name in board.names
            }
            assert whole["echo"]["r2"]["both"] == 1.0
            assert whole["echo"]["rmse"] == 0.0
            assert whole["rolled"]["r2"]["both"] < 0
    trials = board.figures("mean", "trials")["answered"]["whole"]
    assert trials["velocity"]["r2"]["both"] == pytest.approx(0.0, abs=1e-9)
    assert trials["position"]["r2"]["both"] == pytest.approx(0.0, abs=1e-9)


def test_windows_parts_and_variants():
    """Every third packet is not answered; figures are those of the rows that are meant."""
    truth = reaches(12, seed=2)
    said = truth + np.random.default_rng(3).normal(size=truth.shape)

    def answer(packet):
        return None if packet.packet_id % 3 == 2 else tuple(said[packet.packet_id])

    board = played(packets_of(truth), some=answer)
    index = np.arange(len(truth))
    heard = index % 3 != 2
    held = said[index - (index % 3 == 2)]
    moving = (index % TRIAL_BINS >= 10) & (index % TRIAL_BINS < 30)
    rows = {"trials": np.ones(len(truth), bool), "movement": moving}
    for window, inside in rows.items():
        figures = board.figures("some", window)
        for variant in VARIANTS:
            used, values = (inside & heard, said) if variant == "answered" else (inside, held)
            whole = figures[variant]["whole"]
            assert whole["n"] == inside.sum()
            assert whole["coverage"] == pytest.approx((inside & heard).sum() / inside.sum())
            expected = r2_score(truth[used, :2], values[used, :2], multioutput="variance_weighted")
            assert whole["velocity"]["n"] == used.sum()
            assert whole["velocity"]["r2"]["both"] == pytest.approx(expected, **NEAR)
            of_trial = used & (index // TRIAL_BINS == 5)
            trial = figures[variant]["trials"][5]
            assert trial["trial_id"] == 5
            assert trial["velocity"]["r2"]["both"] == pytest.approx(
                r2_score(
                    truth[of_trial, :2], values[of_trial, :2], multioutput="variance_weighted"
                ),
                **NEAR,
            )
            of_reach = used & (index // TRIAL_BINS % 4 == 2)
            reach = figures[variant]["reaches"][2]
            assert reach["reach_id"] == 2
            assert reach["position"]["rmse"] == pytest.approx(
                math.sqrt(((truth - values)[of_reach, 2:] ** 2).sum(axis=1).mean()), **NEAR
            )
            last = used & (index >= len(truth) - 400)
            assert figures[variant]["last_10_s"]["velocity"]["r2"]["both"] == pytest.approx(
                r2_score(truth[last, :2], values[last, :2], multioutput="variance_weighted"),
                **NEAR,
            )


def test_angles_count_where_the_truth_is_fast():
    truth = np.array([[1.0, 0.0], [0.0, 2.0], [0.1, 0.0], [3.0, 0.0], [0.0, 1.0]])
    said = np.array([[0.0, 1.0], [0.0, 5.0], [0.0, 1.0], [0.0, 0.0], [0.0, -1.0]])
    errors = AngularErrors.of(truth, said, min_speed=0.5)
    # 90 and 0 and 180 degrees; the slow one and the one that stands still are left out.
    assert (errors.n, errors.mean, errors.median) == (3, 90.0, 90.0)


def test_angles_are_kept_within_bounds():
    rng = np.random.default_rng(0)
    errors, everything = AngularErrors(), []
    for _ in range(300):
        truth, said = rng.normal(size=(2, 997, 2))
        block = AngularErrors.of(truth, said, 0.0)
        everything.append(block.latest[0])
        errors = errors.joined(block)
    values = np.concatenate(everything)
    assert errors.n == values.size
    assert errors.mean == pytest.approx(values.mean(), **NEAR)
    kept = sum(chunk.size for chunk in errors.latest)
    assert KEPT_ANGLES <= kept <= 3 * KEPT_ANGLES
    assert errors.median == pytest.approx(np.median(values[-kept:]), **NEAR)


@pytest.mark.parametrize("lag", [-20, -3, 0, 4, 20])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_lag_is_where_the_prediction_looks_most_like_the_truth(lag, offset):
    truth = reaches(30, seed=5, offset=offset)
    said = np.roll(truth, lag, axis=0)
    board = played(packets_of(truth), late=lambda packet: tuple(said[packet.packet_id]))
    whole = board.figures("late", "trials")["answered"]["whole"]
    assert whole["velocity"]["lag_bins"] == lag
    assert whole["velocity"]["lag_ms"] == lag * 25.0
    assert whole["position"]["lag_bins"] == lag


def test_a_decoder_that_never_changes_has_no_lag():
    board = played(packets_of(reaches(3)), still=lambda packet: (1.0, 1.0))
    velocity = board.figures("still", "trials")["answered"]["whole"]["velocity"]
    assert velocity["lag_bins"] is None
    assert velocity["r"] == {"vx": None, "vy": None}
    assert velocity["n"] == 120


def test_packets_outside_trials_or_without_truth_are_not_scored():
    truth = reaches(2)
    truth[5] = NAN
    packets = packets_of(truth)
    for packet in packets[TRIAL_BINS:]:
        packet.trial_id, packet.is_scored = -1, False
    board = played(packets, echo=lambda packet: (1.0, 2.0, 3.0, 4.0))
    figures = board.figures("echo", "trials")
    assert figures["closed"] == 80  # what it was sent is counted all the same
    assert figures["answered"]["whole"]["n"] == TRIAL_BINS - 1


def test_movement_window_is_700_ms():
    assert movement_bins(1.0, 0.0, 40) == (30, 58)
    assert movement_bins(1.001, 0.0, 40) == (31, 59)
    assert movement_bins(1001.0, 1000.0, 40) == (30, 58)
    assert movement_bins(NAN, 0.0, 40) is None


def test_speed_threshold_is_a_fifth_of_p99():
    velocity = np.column_stack((np.arange(101.0), np.zeros(101)))
    velocity[0] = NAN
    assert angular_speed_threshold(velocity) == pytest.approx(
        0.2 * np.percentile(range(1, 101), 99)
    )
    assert math.isnan(angular_speed_threshold(np.full((3, 2), NAN)))


def test_names():
    assert all(is_decoder_name(name) for name in ("a", "kf-a_2", "x" * 64))
    assert not any(is_decoder_name(name) for name in ("", "x" * 65, "a b", "ä", "a\n", 3, None))


def test_last_10_s_at_other_rates():
    assert RULES.last_packets == 400
    assert ScoringRules(1_000_000, 1.0, 0.0).last_packets == 10_000
