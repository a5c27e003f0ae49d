"""Comparisons: exact small cases, what chance does, and the same bytes in another process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from phantomlink.scoring import compare
from phantomlink.scoring.statistics import holm, paired_difference
from tests.scoring import packets_of, played, reaches


def noisy(seed, size):
    errors = np.random.default_rng(seed).normal(size=(4000, 4)) * size
    return lambda packet: tuple(np.array(packet.truth) + errors[packet.packet_id])


def test_a_against_itself_is_no_difference():
    board = played(packets_of(reaches(25)), a=noisy(1, 2.0), b=noisy(1, 2.0))
    pairs = compare(board, board.names, seed=7)["pairs"]
    assert len(pairs) == 8  # windows, quantities, figures
    for entry in pairs:
        assert (entry["mean_difference"], entry["p"], entry["p_holm"]) == (0.0, 1.0, 1.0)
        assert entry["ci95"] == [0.0, 0.0]


def test_the_better_decoder_is_told():
    board = played(packets_of(reaches(25)), bad=noisy(1, 3.0), good=noisy(2, 1.0))
    entry = compare(board, board.names, seed=7)["pairs"][0]
    assert (entry["first"], entry["second"], entry["figure"]) == ("bad", "good", "rmse")
    # RMSE of a distance is sqrt(2) times that of each axis.
    assert entry["mean_difference"] == pytest.approx(2 * np.sqrt(2), rel=0.05)
    low, high = entry["ci95"]
    assert low < entry["mean_difference"] < high
    assert (entry["second_better_in"], entry["n_trials"], entry["n_packets"]) == (25, 25, 1000)
    assert entry["p_holm"] < 0.001


def test_only_packets_that_both_answered_are_compared():
    truth = packets_of(reaches(10))
    half = noisy(1, 1.0)
    board = played(
        truth,
        a=noisy(1, 1.0),
        b=lambda packet: half(packet) if packet.packet_id % 2 else None,
    )
    entry = compare(board, board.names, seed=0)["pairs"][0]
    assert (entry["mean_difference"], entry["n_packets"]) == (0.0, 200)


def test_few_trials_have_an_exact_p():
    # Of the 8 signs of three equal differences, two are as extreme.
    assert paired_difference([1.0, 1.0, 1.0], 0).p == 0.25
    # Sums of +-1, +-2, +-4 are at least 5 in size in four of eight cases.
    assert paired_difference([-1.0, 2.0, 4.0], 0).p == 0.5
    assert paired_difference([1.0], 0) is None


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(5).normal(size=400)
    judged = paired_difference(values.tolist(), 3)
    half = 1.96 * values.std() / 20
    assert judged.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert judged.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_noise_against_noise_is_seldom_significant():
    rng = np.random.default_rng(11)
    significant = sum(
        paired_difference(rng.normal(size=25).tolist(), seed).p < 0.05 for seed in range(200)
    )
    assert 4 <= significant <= 18  # 2 to 9 %


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_a_comparison_is_the_same_bytes_in_another_process():
    program = (
        "import json; from tests.unit.test_scoring_statistics import compared; "
        "print(json.dumps(compared()))"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    mine = json.dumps(compared())
    assert hashlib.sha256(other.stdout.strip().encode()).digest() == (
        hashlib.sha256(mine.encode()).digest()
    )


def compared():
    board = played(packets_of(reaches(20)), a=noisy(1, 2.0), b=noisy(2, 2.0))
    return compare(board, board.names, seed=7)
