"""Each transform of counts does what its formula says: large seeded samples, and the edges."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from phantomlink.errors import InvalidParameterError
from phantomlink.perturbation.bits import Bits
from phantomlink.perturbation.noise import noise_table, noisy_counts
from tests.perturbing import N_UNITS, UNIT_IDS, make_perturber, runs, same_counts, seen

IDENTITIES = [
    {"kind": "gaussian_noise", "noise_std": 0},
    {"kind": "drift", "drift_amplitude": 0},
    {"kind": "nonstationary_rates", "rate_std": 0},
    {"kind": "gain_shift", "gain": 1},
    {"kind": "gain_shift", "gain": 0, "fraction": 0},
    {"kind": "dropout", "fraction": 0, "mean_seconds": 1},
    {"kind": "dead_units", "fraction": 0},
    {"kind": "unit_swap", "fraction": 0},
    {"kind": "saturation", "max_count": 65535},
    {"kind": "common_artifact", "rate_hz": 0, "amplitude": 5},
    {"kind": "common_artifact", "rate_hz": 1, "amplitude": 0},
]


@pytest.mark.parametrize("asked", IDENTITIES, ids=lambda asked: asked["kind"])
def test_zero_amplitude_is_the_identity(asked) -> None:
    counts = same_counts(3, 50)
    perturber = make_perturber([asked])
    assert perturber.counts(counts, 100, 2) is counts
    assert perturber.transport(100, 50, 2) is None


def test_amplitudes_that_round_to_nothing_give_back_the_counts_bit_for_bit() -> None:
    # Not skipped, so that the arithmetic itself is shown to add nothing.
    counts = np.random.default_rng(0).poisson(5, (200, N_UNITS)).astype(np.uint16)
    for asked in (
        {"kind": "gaussian_noise", "noise_std": 1e-9},
        {"kind": "drift", "drift_amplitude": 1e-12},
        {"kind": "nonstationary_rates", "rate_std": 1e-12},
        {"kind": "dropout", "fraction": 1e-12, "mean_seconds": 1},
        {"kind": "dead_units", "fraction": 1e-9},
        {"kind": "unit_swap", "fraction": 1e-9},
        {"kind": "gain_shift", "gain": 2, "fraction": 1e-9},
    ):
        assert (make_perturber([asked]).counts(counts, 0, 0) == counts).all(), asked


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("std", [0.2, 0.5, 1.0, 2.0])
def test_gaussian_noise_has_the_distribution_of_its_formula(count: int, std: float) -> None:
    noisy = seen(count, 4000, "gaussian_noise", noise_std=std).ravel()
    spread = NormalDist(count, std * (count + 1))
    for value in range(count + 8):
        low = spread.cdf(value - 0.5) if value else 0.0
        expected = spread.cdf(value + 0.5) - low
        share = float((noisy == value).mean())
        assert share == pytest.approx(expected, abs=5 * math.sqrt(0.25 / noisy.size))


def test_gaussian_noise_grows_with_the_count() -> None:
    for count in (10, 100, 1000):
        noisy = seen(count, 2000, "gaussian_noise", noise_std=0.05)
        assert noisy.mean() == pytest.approx(count, rel=0.002)
        # Rounding to whole numbers adds a twelfth to the variance.
        assert noisy.var() == pytest.approx((0.05 * (count + 1)) ** 2 + 1 / 12, rel=0.02)


def test_gaussian_noise_is_never_negative_and_ends_at_the_most_a_count_holds() -> None:
    assert seen(0, 500, "gaussian_noise", noise_std=100).min() == 0
    assert seen(60_000, 100, "gaussian_noise", noise_std=1).max() == 65_535


@pytest.mark.parametrize("std", [1e-9, 0.2, 2.0, 37.0, 100.0])
@pytest.mark.parametrize("n", [1, 300])
def test_gaussian_noise_is_its_formula_whichever_way_it_is_come_by(std: float, n: int) -> None:
    """A table has most of it; what it has not is done one by one, or all at once."""
    asked = [{"kind": "gaussian_noise", "noise_std": std}]
    values = np.array([0, 0, 0, 1, 0, 2, 3, 7, 8, 254, 255, 256, 65535], dtype=np.uint16)
    bits = Bits(1, 1 << 48, 4 * N_UNITS).halves(0, 600, N_UNITS)
    for counts in (
        same_counts(0, 600),
        np.resize(values, (600, N_UNITS)),
        np.resize(values[:8], (600, N_UNITS)),
    ):
        perturber = make_perturber(asked)
        parts = [perturber.counts(counts[k : k + n], k, 0) for k in range(0, 600, n)]
        assert (np.concatenate(parts) == noisy_counts(counts, bits, std)).all()


@pytest.mark.parametrize("std", [0.2, 2.0, 100.0])
def test_the_table_of_noise_says_what_is_so_for_all_bits_that_begin_so(std: float) -> None:
    table = noise_table(std)
    assert table[-1] == 255, "what is behind it is not known"
    keys = np.arange(table.size - 1)
    counts = (keys >> 14).astype(np.uint16)
    others = np.random.default_rng(3).integers(0, 2**18, (20, keys.size))
    bits = ((keys & 0x3FFF) * 2**18 + others).astype(np.uint32)
    known = np.flatnonzero(table[:-1] < 255)
    expected = noisy_counts(np.broadcast_to(counts[known], (20, known.size)), bits[:, known], std)
    assert (expected == table[known]).all()
    if std <= 2:
        assert known.size > 0.99 * keys.size


def test_gaussian_noise_of_units_and_bins_has_nothing_in_common() -> None:
    noise = seen(50, 3000, "gaussian_noise", noise_std=0.2).astype(float) - 50
    between_units = np.corrcoef(noise.T)[~np.eye(N_UNITS, dtype=bool)]
    assert np.abs(between_units).max() < 0.1
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.02 * noise.var()


def expected_drift(n: int, amplitude: float, period: float, rate_hz: float) -> np.ndarray:
    t = np.arange(n) / rate_hz
    slow, fast = 2 * np.pi * t / period, 20 * np.pi * t / period
    return amplitude * (np.sin(slow) + 0.1 * np.sin(fast))


def test_drift_is_a_sine_and_a_tenth_of_it_ten_times_as_fast() -> None:
    n = 4800  # two periods of 60 s
    gains = seen(10_000, n, "drift", drift_amplitude=0.3) / 10_000
    form = expected_drift(n, 0.3, 60, 40)
    factors = ((gains - 1) * form[:, None]).sum(axis=0) / (form @ form)
    assert np.abs(gains - 1 - form[:, None] * factors).max() < 2e-4
    # The factors of the units are uniform in 0.5 to 1.5.
    assert factors.min() > 0.499
    assert factors.max() < 1.501
    assert factors.mean() == pytest.approx(1, abs=0.1)
    assert factors.std() == pytest.approx(1 / math.sqrt(12), rel=0.15)


def test_drift_of_small_counts_is_right_in_the_mean() -> None:
    perturber = make_perturber([{"kind": "drift", "drift_amplitude": 0.5}], n_bins=2400)
    loops = [perturber.counts(same_counts(1, 2400), 0, loop) for loop in range(20)]
    means = np.mean(loops, axis=(0, 2))
    form = 1 + expected_drift(2400, 0.5, 60, 40) * make_factor_mean()
    assert np.abs(means - form).max() < 0.06
    assert abs(np.mean(means - form)) < 0.002


def make_factor_mean() -> float:
    gains = seen(60_000, 600, "drift", drift_amplitude=0.05)[-1] / 60_000 - 1
    return float(gains.mean() / expected_drift(600, 0.05, 60, 40)[-1])


def test_drift_goes_on_over_loops_and_never_below_nothing() -> None:
    perturber = make_perturber([{"kind": "drift", "drift_amplitude": 1}], n_bins=1200)
    first = perturber.counts(same_counts(1000, 1200), 0, 0)
    second = perturber.counts(same_counts(1000, 1200), 0, 1)  # the second half of the period
    assert first.mean() > 1000
    assert second.mean() < 1000
    assert second.min() == 0


def test_nonstationary_rates_have_the_stated_spread_at_all_times() -> None:
    gains = seen(10_000, 40_000, "nonstationary_rates", rate_std=0.2, timescale_seconds=0.5) / 1e4
    assert gains.mean() == pytest.approx(1, abs=0.005)
    assert gains.std() == pytest.approx(0.2, rel=0.01)
    by_place = gains.reshape(-1, 20, N_UNITS).std(axis=(0, 2))
    assert by_place == pytest.approx(np.full(20, 0.2), rel=0.05)


def test_nonstationary_rates_change_slowly_and_are_forgotten() -> None:
    gains = seen(10_000, 40_000, "nonstationary_rates", rate_std=0.2, timescale_seconds=0.5) / 1e4
    x = (gains - 1) / 0.2
    # Half way between two edges both weigh sqrt(1/2); two cells apart nothing is in common.
    edges, middles = x[:-20:20], x[10::20]
    assert np.mean(edges * middles[: len(edges)]) == pytest.approx(math.sqrt(0.5), abs=0.01)
    assert abs(np.mean(x[:-40] * x[40:])) < 0.01
    assert np.abs(np.diff(x, axis=0)).max() < 1
    between_units = np.corrcoef(x[::20].T)[~np.eye(N_UNITS, dtype=bool)]
    assert np.abs(between_units).max() < 0.12


def test_gain_shift_has_its_gain_from_its_time_on() -> None:
    shifted = seen(3, 4000, "gain_shift", gain=0.55, at_seconds=25)
    assert (shifted[:1000] == 3).all()
    assert set(np.unique(shifted[1000:]).tolist()) == {1, 2}
    assert shifted[1000:].mean() == pytest.approx(1.65, abs=0.003)
    assert (seen(40_000, 10, "gain_shift", gain=2) == 65_535).all()


def test_gain_shift_takes_a_fraction_of_the_units() -> None:
    shifted = seen(4, 10, "gain_shift", gain=2, fraction=0.25)
    assert ((shifted == 8).all(axis=0)).sum() == round(0.25 * N_UNITS)
    assert ((shifted == 4).all(axis=0)).sum() == N_UNITS - round(0.25 * N_UNITS)


@pytest.mark.parametrize(("fraction", "mean_seconds"), [(0.1, 2), (0.5, 1), (0.9, 3), (0.3, 0.1)])
def test_dropout_has_the_stated_fraction_and_mean_silence(fraction, mean_seconds) -> None:
    silent = seen(7, 100_000, "dropout", fraction=fraction, mean_seconds=mean_seconds) == 0
    assert silent.mean() == pytest.approx(fraction, rel=0.02)
    lengths = [length for unit in silent.T for length in runs(unit)]
    cell = round(40 * mean_seconds * (1 - fraction))
    assert np.mean(lengths) / 40 == pytest.approx(cell / (1 - fraction) / 40, rel=0.02)
    # Cells are whole bins: what is asked for is right to half of one.
    assert abs(cell / (1 - fraction) - 40 * mean_seconds) <= 0.5 / (1 - fraction)


def test_dropout_has_its_fraction_at_every_moment_and_units_of_their_own() -> None:
    n_seeds, n = 300, 60
    silent = np.array(
        [seen(7, n, "dropout", seed, fraction=0.3, mean_seconds=1) == 0 for seed in range(n_seeds)]
    )
    assert silent.mean(axis=(0, 2)) == pytest.approx(np.full(n, 0.3), abs=0.012)
    assert silent.mean(axis=(0, 1)) == pytest.approx(np.full(N_UNITS, 0.3), abs=0.12)
    assert silent.any(axis=2).mean() > 0.99
    assert not silent.all(axis=2).any()


def test_silences_of_dropout_begin_at_any_moment() -> None:
    n = 40 * 500
    silent = seen(7, n, "dropout", fraction=0.5, mean_seconds=1) == 0  # cells of 20 bins
    begins = (silent[1:] & ~silent[:-1]).nonzero()[0]
    by_place = np.bincount(begins % 20, minlength=20)
    assert by_place.sum() > 30_000
    assert by_place / by_place.mean() == pytest.approx(np.ones(20), abs=0.12)


def test_dropout_changes_no_count_of_a_unit_that_is_not_silent() -> None:
    assert set(np.unique(seen(7, 1000, "dropout", fraction=0.5, mean_seconds=1))) == {0, 7}
    assert (seen(7, 100, "dropout", fraction=1, mean_seconds=1) == 0).all()


def test_dropout_shorter_than_a_bin_lasts_a_bin() -> None:
    silent = seen(7, 20_000, "dropout", fraction=0.2, mean_seconds=0.001) == 0
    assert silent.mean() == pytest.approx(0.2, rel=0.02)
    lengths = [length for unit in silent.T for length in runs(unit)]
    assert np.mean(lengths) == pytest.approx(1 / 0.8, rel=0.01)


def test_dead_units_die_at_their_time_and_stay_dead() -> None:
    counts = seen(7, 200, "dead_units", fraction=0.25, at_seconds=2.5)
    assert (counts[:100] == 7).all()
    assert (counts[100:] == 0).all(axis=0).sum() == round(0.25 * N_UNITS)
    assert (counts[100:] == 7).all(axis=0).sum() == N_UNITS - round(0.25 * N_UNITS)
    perturber = make_perturber(
        [{"kind": "dead_units", "fraction": 0.25, "at_seconds": 2.5}], n_bins=200
    )
    assert (perturber.counts(same_counts(7, 200), 0, 1) == counts[150]).all()


def test_a_time_on_an_edge_is_the_bin_that_begins_there() -> None:
    for seconds, first in ((3.3, 132), (3.1, 124), (0.025, 1), (0.03, 2)):
        counts = seen(7, 140, "dead_units", fraction=1, at_seconds=seconds)
        assert int((counts > 0).all(axis=1).sum()) == first


def test_more_dead_units_are_those_before_and_others() -> None:
    dead = [seen(7, 1, "dead_units", fraction=f)[0] == 0 for f in (0.1, 0.2, 0.5, 1)]
    for fewer, more in pairwise(dead):
        assert (more | ~fewer).all()
        assert more.sum() > fewer.sum()
    assert dead[-1].all()
    others = seen(7, 1, "dead_units", 2, fraction=0.1)[0] == 0
    assert (others != dead[0]).any()


def test_dead_units_by_id() -> None:
    counts = seen(7, 3, "dead_units", unit_ids=[UNIT_IDS[5], UNIT_IDS[141]])
    assert np.flatnonzero((counts == 0).all(axis=0)).tolist() == [5, 141]
    with pytest.raises(InvalidParameterError) as caught:
        seen(7, 3, "dead_units", unit_ids=[UNIT_IDS[5], 3])
    assert str(caught.value) == (
        "perturbation.transforms[0].unit_ids: got 3, takes ids of units of this recording: "
        "1011, 1021, 1031, 1041, 1051, 1061, 1071, 1081, ..."
    )


def test_unit_swap_exchanges_pairs_and_nothing_else() -> None:
    counts = np.tile(np.arange(N_UNITS, dtype=np.uint16), (100, 1))
    perturber = make_perturber([{"kind": "unit_swap", "fraction": 0.3, "at_seconds": 1}])
    swapped = perturber.counts(counts, 0, 0)
    assert (swapped[:40] == counts[:40]).all()
    order = swapped[40].astype(int)
    assert (swapped[40:] == order).all()
    assert (order[order] == np.arange(N_UNITS)).all()
    assert (order != np.arange(N_UNITS)).sum() == 2 * round(0.3 * N_UNITS / 2)


def test_unit_swap_of_all_leaves_nobody_in_place() -> None:
    counts = np.arange(N_UNITS, dtype=np.uint16)[None]
    swapped = make_perturber([{"kind": "unit_swap", "fraction": 1}]).counts(counts, 0, 0)
    assert (swapped != counts).all()
    assert sorted(swapped[0].tolist()) == list(range(N_UNITS))


def test_saturation_limits_counts() -> None:
    counts = np.tile(np.arange(N_UNITS, dtype=np.uint16), (2, 1))
    limited = make_perturber([{"kind": "saturation", "max_count": 5}]).counts(counts, 0, 0)
    assert limited.tolist() == np.minimum(counts, 5).tolist()
    # 100 spikes/s are 2.5 in 25 ms.
    limited = make_perturber([{"kind": "saturation", "max_rate_hz": 100}]).counts(counts, 0, 0)
    assert limited.tolist() == np.minimum(counts, 2).tolist()
    limited = make_perturber([{"kind": "saturation", "max_rate_hz": 3}]).counts(counts, 0, 0)
    assert limited.tolist() == np.minimum(counts, 1).tolist()
    assert (seen(3, 1, "saturation", max_count=0) == 0).all()


def test_artifacts_begin_at_their_rate_and_last_their_time() -> None:
    counts = seen(2, 400_000, "common_artifact", rate_hz=0.5, amplitude=5, duration_seconds=0.1)
    on = counts[:, 0] == 7
    assert set(np.unique(counts).tolist()) == {2, 7}
    assert (counts == counts[:, :1]).all()  # all units at once
    lengths = runs(on)
    # Bursts of four bins; two may touch or overlap, so that none is shorter.
    assert min(lengths) == 4
    assert sum(length == 4 for length in lengths) > 0.9 * len(lengths)
    share = 0.5 / 40  # of bins in which one begins
    expected = np.mean([1 - (1 - share * (3 - o)) * (1 - share * (o + 1)) for o in range(4)])
    assert on.mean() == pytest.approx(expected, rel=0.04)
    assert len(lengths) / 10_000 == pytest.approx(0.5, rel=0.06)


def test_artifacts_add_their_amplitude_in_the_mean_to_the_units_of_an_array() -> None:
    array = UNIT_IDS[:70]
    counts = seen(
        0, 20_000, "common_artifact", rate_hz=1, amplitude=2.3, duration_seconds=1, unit_ids=array
    )
    assert (counts[:, 70:] == 0).all()
    bursts = counts[(counts > 0).any(axis=1), :70]
    assert set(np.unique(bursts).tolist()) == {2, 3}
    assert bursts.mean() == pytest.approx(2.3, abs=0.005)
    assert 0.6 < len(bursts) / 20_000 < 0.95


def test_transforms_apply_in_order() -> None:
    limit, louder = {"kind": "saturation", "max_count": 5}, {"kind": "gain_shift", "gain": 3}
    counts = same_counts(4, 3)
    assert (make_perturber([limit, louder]).counts(counts, 0, 0) == 12).all()
    assert (make_perturber([louder, limit]).counts(counts, 0, 0) == 5).all()


def test_steps_replace_those_before_at_their_stream_time() -> None:
    steps = [
        {"at_seconds": 1, "transforms": [{"kind": "gain_shift", "gain": 2}]},
        {"at_seconds": 2, "transforms": [{"kind": "gain_shift", "gain": 5}]},
        {"at_seconds": 4, "transforms": []},
    ]
    perturber = make_perturber({"steps": steps}, n_bins=120)
    loops = [perturber.counts(same_counts(1, 120), 0, loop)[:, 0].tolist() for loop in range(2)]
    assert loops[0] == [1] * 40 + [2] * 40 + [5] * 40
    assert loops[1] == [5] * 40 + [1] * 80
    counts = same_counts(1, 30)
    assert perturber.counts(counts, 5, 0) is counts  # before the first step
    assert perturber.counts(counts, 60, 1) is counts  # the last one is empty


def test_what_died_in_one_step_is_dead_in_the_next_whatever_else_is_there() -> None:
    dead = {"kind": "dead_units", "fraction": 0.3}
    louder = {"kind": "gain_shift", "gain": 1, "fraction": 0.5}
    steps = [
        {"at_seconds": 0, "transforms": [dead]},
        {"at_seconds": 1, "transforms": [{"kind": "gain_shift", "gain": 2}, louder, dead]},
    ]
    counts = make_perturber({"steps": steps}).counts(same_counts(1, 80), 0, 0)
    assert ((counts[:40] == 0) == (counts[40:] == 0)).all()


def test_two_of_a_kind_draw_other_bits() -> None:
    once = make_perturber([{"kind": "dead_units", "fraction": 0.3}])
    twice = make_perturber([{"kind": "dead_units", "fraction": 0.3}] * 2)
    counts = same_counts(1, 1)
    assert (once.counts(counts, 0, 0) == 0).sum() < (twice.counts(counts, 0, 0) == 0).sum()


def test_no_bins_give_no_bins() -> None:
    assert make_perturber("extreme").counts(same_counts(1, 0), 5, 0).shape == (0, N_UNITS)
    assert make_perturber("weak_link").transport(5, 0, 0) is None
