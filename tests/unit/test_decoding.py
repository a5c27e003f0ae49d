"""Built-in decoders against scikit-learn and textbook implementations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict

from phantomlink.decoding import (
    DECODERS,
    FitOptions,
    LearningDecoder,
    ModelError,
    TrainingData,
    cross_validate,
    fit_and_validate,
    fit_model,
    run_decoder,
    split_trials,
)
from phantomlink.decoding.kalman import fit_kalman, shrunk_covariance, with_observations
from phantomlink.decoding.ridge import fit_ridge
from phantomlink.decoding.rls import fit_rls
from phantomlink.decoding.training import SummedWindow, summed_counts

N_UNITS, TRIAL_BINS, N_TRIALS = 7, 40, 20
CLOSE = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Units that follow velocity and, a little, position; every fourth trial is not fitted to."""
    rng = np.random.default_rng(0)
    n = N_TRIALS * TRIAL_BINS
    velocity = np.zeros((n, 2))
    for t in range(1, n):
        velocity[t] = 0.9 * velocity[t - 1] + rng.normal(size=2)
    position = np.cumsum(velocity, axis=0) * 0.025
    tuning = rng.normal(size=(4, N_UNITS)) * [[0.8], [0.8], [0.3], [0.3]]
    kinematics = np.column_stack((velocity, position))
    ahead = np.roll(kinematics, -2, axis=0)
    counts = rng.poisson(np.clip(4 + ahead @ tuning, 0, None)).astype(np.uint16)
    trial_ids = np.arange(n) // TRIAL_BINS
    kinematics[13] = np.nan
    return TrainingData(counts, kinematics, trial_ids, trial_ids % 4 != 3)


def lagged(counts, n_bins):
    """(n, n_bins * units), newest bin first, written the slow way."""
    n, units = counts.shape
    inputs = np.zeros((n, n_bins, units))
    for t in range(n):
        for back in range(min(n_bins, t + 1)):
            inputs[t, back] = counts[t - back]
    return inputs.reshape(n, -1)


def test_wiener_filter_is_scikit_learns_ridge(data):
    parameters = fit_ridge(data, 3, [50.0])
    inputs = lagged(data.counts, 3)
    rows = data.used & np.isfinite(data.kinematics[:, 0])
    oracle = Ridge(alpha=50.0).fit(inputs[rows], data.kinematics[rows, :2])
    np.testing.assert_allclose(parameters.weights.reshape(-1, 2), oracle.coef_.T, **CLOSE)
    np.testing.assert_allclose(parameters.offsets, oracle.intercept_, **CLOSE)
    decoded = run_decoder(parameters.decoder(), data.counts)
    np.testing.assert_allclose(decoded[:, :2], oracle.predict(inputs), **CLOSE)
    assert np.isnan(decoded[:, 2:]).all()


def test_strength_is_the_one_that_scikit_learn_would_choose(data):
    strengths = [0.1, 1e2, 1e3, 1e4, 1e5]
    chosen = fit_ridge(data, 2, strengths, folds=5).strength
    inputs = lagged(data.counts, 2)
    rows = data.used & np.isfinite(data.kinematics[:, 0])
    groups = np.searchsorted(data.trials, data.trial_ids[rows]) % 5
    errors = []
    for strength in strengths:
        left_out = cross_val_predict(
            Ridge(alpha=strength),
            inputs[rows],
            data.kinematics[rows, :2],
            groups=groups,
            cv=GroupKFold(5),
        )
        errors.append(((left_out - data.kinematics[rows, :2]) ** 2).sum())
    assert chosen == strengths[int(np.argmin(errors))]
    assert chosen not in (strengths[0], strengths[-1])


def test_window_sums_are_the_same_bin_by_bin(data):
    for n_bins, lag in ((1, 0), (1, 3), (4, 0), (4, 2), (6, 1)):
        window = SummedWindow(N_UNITS, n_bins, lag)
        slowly = np.array([window.push(counts).copy() for counts in data.counts])
        np.testing.assert_array_equal(slowly, summed_counts(data.counts, n_bins, lag))
        window.reset()
        np.testing.assert_array_equal(
            window.push(data.counts[0]), summed_counts(data.counts[:1], n_bins, lag)[0]
        )


@pytest.mark.parametrize("kind", ["kalman", "kalman-pv"])
def test_kalman_matrices_are_least_squares(data, kind):
    columns = [0, 1] if kind == "kalman" else [0, 1, 2, 3]
    p = fit_kalman(data, kind, 4, 2)
    states = data.kinematics[:, columns]
    rows = data.used & np.isfinite(states).all(axis=1)
    pairs = [
        t
        for t in range(1, len(states))
        if rows[t] and rows[t - 1] and data.trial_ids[t] == data.trial_ids[t - 1]
    ]
    before, after = states[[t - 1 for t in pairs]], states[pairs]
    a = LinearRegression(fit_intercept=False).fit(before, after).coef_
    np.testing.assert_allclose(p.transition, a, **CLOSE)
    np.testing.assert_allclose(
        p.transition_noise, np.cov((after - before @ a.T).T, bias=True), **CLOSE
    )
    seen = LinearRegression().fit(states[rows], summed_counts(data.counts, 4, 2)[rows])
    np.testing.assert_allclose(p.observation, seen.coef_, **CLOSE)
    np.testing.assert_allclose(p.observation_mean, seen.intercept_, **CLOSE)


@pytest.mark.parametrize("kind", ["kalman", "kalman-pv"])
def test_steady_gain_is_where_a_full_filter_settles(data, kind):
    """The textbook filter in covariance form, its gain computed anew in each bin."""
    p = fit_kalman(data, kind, 4, 2)
    states = data.kinematics[:, : len(p.start)]
    rows = data.used & np.isfinite(states).all(axis=1)
    sums = summed_counts(data.counts, 4, 2)
    residuals = sums[rows] - states[rows] @ p.observation.T - p.observation_mean
    q = residuals.T @ residuals / rows.sum()
    q += 1e-6 * np.diag(q).mean() * np.eye(N_UNITS)
    a, w, h = p.transition, p.transition_noise, p.observation
    uncertainty = w
    for _ in range(3000):
        ahead = a @ uncertainty @ a.T + w
        gain = ahead @ h.T @ np.linalg.inv(h @ ahead @ h.T + q)
        uncertainty = (np.eye(len(a)) - gain @ h) @ ahead
    np.testing.assert_allclose(p.gain, gain, **CLOSE)
    # And with it, bin by bin, the decoder says what the textbook says.
    state = p.start
    expected = []
    for z in sums[:200]:
        ahead = a @ state
        state = ahead + gain @ (z - h @ ahead - p.observation_mean)
        expected.append(state)
    decoded = run_decoder(p.decoder(), data.counts[:200])[:, : len(p.start)]
    np.testing.assert_allclose(decoded, expected, **CLOSE)


def test_kalman_starts_at_rest(data):
    p = fit_kalman(data, "kalman-pv", 4, 2)
    mean = data.kinematics[data.rows_with(slice(0, 4)), 2:].mean(axis=0)
    np.testing.assert_allclose(p.start, [0, 0, *mean], **CLOSE)


def test_a_unit_that_never_fires_does_no_harm(data):
    silent = data.counts.copy()
    silent[:, 2] = 0
    without = TrainingData(np.delete(silent, 2, axis=1), data.kinematics, data.trial_ids, data.used)
    with_it = TrainingData(silent, data.kinematics, data.trial_ids, data.used)
    for kind in DECODERS:
        ours = run_decoder(fit_model(kind, with_it, FitOptions(strength=10.0)).decoder(), silent)
        others = run_decoder(
            fit_model(kind, without, FitOptions(strength=10.0)).decoder(), without.counts
        )
        np.testing.assert_allclose(ours[:, :2], others[:, :2], rtol=0, atol=1e-4)
        assert np.isfinite(ours[:, :2]).all()


@pytest.mark.parametrize("forgetting", [1.0, 0.99])
def test_rls_holds_the_weighted_least_squares_of_all_bins_so_far(data, forgetting):
    p = fit_rls(data.within([0, 1, 2]), 2, 1, forgetting)
    decoder = p.decoder()
    sums = summed_counts(data.counts, 2, 1)
    inputs = np.column_stack((sums, np.ones(len(sums))))
    moments = np.linalg.inv(p.inverse)
    products = moments @ p.weights
    learnt = range(200, 300)
    for t in range(300):
        said = decoder.step(data.counts[t])
        np.testing.assert_allclose(said, inputs[t] @ decoder.weights, **CLOSE)
        if t in learnt:
            decoder.learn(data.kinematics[t], int(data.trial_ids[t]))
            moments = forgetting * moments + np.outer(inputs[t], inputs[t])
            products = forgetting * products + np.outer(inputs[t], data.kinematics[t, :2])
    np.testing.assert_allclose(decoder.weights, np.linalg.solve(moments, products), atol=1e-8)


def test_rls_learns_nothing_outside_trials_or_without_truth(data):
    decoder = fit_rls(data, 2, 1, 0.99).decoder()
    before = decoder.weights.copy()
    decoder.step(data.counts[0])
    decoder.learn(data.kinematics[0], -1)
    decoder.learn(np.full(4, np.nan), 3)
    np.testing.assert_array_equal(decoder.weights, before)


def test_refit_is_the_fit_to_its_last_trials(data):
    parameters = fit_model("refit", data.within(range(10)), FitOptions(every=4, last=6))
    decoder = parameters.decoder()
    assert isinstance(decoder, LearningDecoder)
    static = fit_model("kalman", data.within(range(10))).decoder()
    said, unlearned = [], []
    for t in range(N_TRIALS * TRIAL_BINS):
        said.append(decoder.step(data.counts[t]))
        unlearned.append(static.step(data.counts[t]))
        decoder.learn(data.kinematics[t], int(data.trial_ids[t]))
        if decoder.is_due:
            decoder.refit()
    # It predicts before it learns: the first bin of trial 4 is the first that may differ.
    same = np.equal(said, unlearned).all(axis=1)
    assert same[: 4 * TRIAL_BINS + 1].all()
    assert not same[4 * TRIAL_BINS + 1 :].any()
    # After trials 0 to 15 its H and Q are a fit to trials 10 to 15.
    decoder = parameters.decoder()
    for t in range(16 * TRIAL_BINS):
        decoder.step(data.counts[t])
        decoder.learn(data.kinematics[t], int(data.trial_ids[t]))
        if decoder.is_due:
            decoder.refit()
    decoder.reset()
    assert decoder.is_due
    decoder.refit()
    expected = with_observations(
        parameters.transition,
        parameters.transition_noise,
        parameters.start,
        data.kinematics[10 * TRIAL_BINS : 16 * TRIAL_BINS, :2],
        summed_counts(data.counts, 4, 2)[10 * TRIAL_BINS : 16 * TRIAL_BINS],
        4,
        2,
        shrink=True,
    )
    np.testing.assert_allclose(
        run_decoder(decoder, data.counts), run_decoder(expected.decoder(), data.counts), **CLOSE
    )


def test_refit_leaves_out_bins_whose_counts_it_has_not_all_seen(data):
    parameters = fit_model("refit", data.within(range(10)), FitOptions(every=6, last=6))
    decoder = parameters.decoder()
    seen = []
    for trial in range(6):
        decoder.reset()
        for n, t in enumerate(range(trial * TRIAL_BINS, (trial + 1) * TRIAL_BINS)):
            decoder.step(data.counts[t])
            decoder.learn(data.kinematics[t], trial)
            # Counts of 4 bins, 2 bins ago: the sixth bin is the first that has them.
            if n >= 5 and np.isfinite(data.kinematics[t]).all():
                seen.append(t)
    decoder.reset()
    assert decoder.is_due
    decoder.refit()
    p = parameters
    expected = with_observations(
        p.transition,
        p.transition_noise,
        p.start,
        data.kinematics[seen, :2],
        summed_counts(data.counts, 4, 2)[seen],
        4,
        2,
        shrink=True,
    )
    np.testing.assert_allclose(
        run_decoder(decoder, data.counts), run_decoder(expected.decoder(), data.counts), **CLOSE
    )


def test_refit_to_fewer_bins_than_its_units_need_is_still_a_decoder():
    """150 units, 400 bins: Q of windows of 4 bins has fewer independent samples than rows."""
    rng = np.random.default_rng(6)
    n, n_units, n_again = 6000, 150, 400
    velocity = np.zeros((n, 2))
    for t in range(1, n):
        velocity[t] = 0.95 * velocity[t - 1] + rng.normal(size=2)
    tuning = rng.normal(size=(2, n_units)) * 0.05
    counts = rng.poisson(np.clip(0.6 + np.roll(velocity, -2, axis=0) @ tuning, 0, None))
    kinematics = np.column_stack((velocity, np.full((n, 2), np.nan)))
    trial_ids = np.arange(n) // 40
    known = TrainingData(counts.astype(np.uint16), kinematics, trial_ids, trial_ids < 100)
    decoder = fit_model("refit", known, FitOptions(every=10, last=10)).decoder()
    for t in range(n_again):
        decoder.step(known.counts[t])
        decoder.learn(kinematics[t], int(trial_ids[t]))
    decoder.reset()
    decoder.refit()
    static = fit_model("kalman", known).decoder()
    held_out = slice(4000, None)
    errors = [
        ((run_decoder(each, known.counts[held_out])[:, :2] - velocity[held_out]) ** 2).sum()
        for each in (decoder, static)
    ]
    assert errors[0] < 1.1 * errors[1]


def test_a_covariance_of_few_samples_is_shrunk_and_one_of_many_is_not():
    rng = np.random.default_rng(7)
    mixing = np.eye(30) + 0.1 * rng.normal(size=(30, 30))
    truth = mixing @ mixing.T
    for n, least, most in ((20, 0.0, 0.6), (300, 0.5, 0.97), (100_000, 0.995, 1.0)):
        samples = rng.normal(size=(n, 30)) @ mixing.T
        sampled = samples.T @ samples / n
        shrunk = shrunk_covariance(sampled, n)
        np.testing.assert_array_equal(np.diag(shrunk), np.diag(sampled))
        kept = shrunk[np.triu_indices(30, 1)] / sampled[np.triu_indices(30, 1)]
        np.testing.assert_allclose(kept, kept[0])
        assert least <= kept[0] <= most
        assert ((shrunk - truth) ** 2).sum() <= ((sampled - truth) ** 2).sum() * 1.001
    # Nothing off the diagonal is certain, or there is nothing.
    np.testing.assert_array_equal(shrunk_covariance(np.eye(3), 10.0), np.eye(3))
    np.testing.assert_array_equal(shrunk_covariance(np.array([[2.0]]), 10.0), [[2.0]])


def test_cross_validation_is_scikit_learns(data):
    judged = cross_validate(
        data, lambda part: fit_model("ridge", part, FitOptions(n_bins=2, strength=30.0)), folds=5
    )
    inputs = lagged(data.counts, 2)
    rows = data.used & np.isfinite(data.kinematics[:, 0])
    groups = np.searchsorted(data.trials, data.trial_ids[rows]) % 5
    truth = data.kinematics[rows, :2]
    left_out = cross_val_predict(
        Ridge(alpha=30.0), inputs[rows], truth, groups=groups, cv=GroupKFold(5)
    )
    spread = ((truth - truth.mean(axis=0)) ** 2).sum()
    assert judged.r2 == pytest.approx(1 - ((truth - left_out) ** 2).sum() / spread, abs=1e-9)
    assert judged.n == rows.sum()
    assert len(judged.r2_folds) == judged.folds == 5
    assert judged.chance_r2 < 0.05 < judged.r2


def test_fit_and_validate_takes_the_strength_that_was_chosen(data):
    parameters, judged = fit_and_validate("ridge", data, FitOptions(n_bins=2))
    again = cross_validate(
        data,
        lambda part: fit_model("ridge", part, FitOptions(n_bins=2, strength=parameters.strength)),
    )
    assert judged == again


def test_split_follows_from_seed_and_ids():
    train, test = split_trials(range(100), 0.75, 1)
    assert (len(train), len(test)) == (75, 25)
    assert sorted(train + test) == list(range(100))
    assert (train, test) == split_trials(reversed(range(100)), 0.75, 1)
    assert train != split_trials(range(100), 0.75, 2)[0]
    # One trial more moves at most one other to the other side.
    more, _ = split_trials(range(101), 0.75, 1)
    assert len(set(train) - set(more)) <= 1


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("svm", FitOptions(), "decoder: got 'svm', takes ridge, kalman"),
        ("ridge", FitOptions(n_bins=0), "takes 1 to 64 bins"),
        ("ridge", FitOptions(lag=2), "lag: got 2, ridge takes 0"),
        ("kalman", FitOptions(lag=65), "a lag of 0 to 64"),
        ("refit", FitOptions(every=0), "takes 1 to 1000"),
        ("rls", FitOptions(forgetting=0.5), "a forgetting of 0.9 to 1"),
    ],
)
def test_what_cannot_be_fitted_is_told(data, kind, options, said):
    with pytest.raises(ModelError, match=said):
        fit_model(kind, data, options)


def test_too_much_and_too_little_is_told(data):
    with pytest.raises(ModelError, match="got 1 trials to fit to, takes 2 or more"):
        fit_model("kalman", data.within([3, 4]))
    n = 30
    wide = TrainingData(
        np.zeros((n, 600), np.uint16), np.zeros((n, 4)), np.arange(n) // 5, np.ones(n, bool)
    )
    with pytest.raises(ModelError, match="4800 weights an axis, takes at most 4096"):
        fit_model("ridge", wide)
    with pytest.raises(ModelError, match="got 600 units, takes at most 256"):
        fit_model("rls", wide)
