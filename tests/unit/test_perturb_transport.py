"""Faults of transport happen as often, and last as long, as their formulas say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.perturbing import make_perturber, runs

N = 200_000


def plan_of(kind: str, n: int = N, seed: int = 1, **parameters: float):
    perturber = make_perturber([{"kind": kind, **parameters}], seed=seed, n_bins=n)
    plan = perturber.transport(0, n, 0)
    assert plan is not None
    return plan


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "packet_loss", "probability": 0},
        {"kind": "packet_duplicate", "probability": 0},
        {"kind": "packet_reorder", "probability": 0},
        {"kind": "jitter", "std_ms": 0},
        {"kind": "stall", "rate_hz": 0, "seconds": 1},
    ],
    ids=lambda asked: asked["kind"],
)
def test_zero_amplitude_is_no_fault(asked) -> None:
    assert make_perturber([asked]).transport(0, 10, 0) is None


def test_transforms_of_counts_are_no_fault_of_transport_nor_the_other_way_round() -> None:
    assert make_perturber("extreme").transport(0, 10, 0) is None
    counts = np.ones((4, 142), dtype=np.uint16)
    assert make_perturber("weak_link").counts(counts, 0, 0) is counts


@pytest.mark.parametrize("probability", [0.001, 0.05, 0.5])
@pytest.mark.parametrize(
    ("kind", "array"), [("packet_loss", "lost"), ("packet_duplicate", "duplicated")]
)
def test_packets_are_hit_with_their_probability_each_for_itself(kind, array, probability) -> None:
    plan = plan_of(kind, probability=probability)
    hit = getattr(plan, array)
    sigma = math.sqrt(probability * (1 - probability) / N)
    assert hit.mean() == pytest.approx(probability, abs=4 * sigma)
    both = (hit[1:] & hit[:-1]).mean()
    assert both == pytest.approx(probability**2, abs=4 * probability / math.sqrt(N))
    for other in {"lost", "duplicated", "swapped"} - {array}:
        assert not getattr(plan, other).any()
    assert not plan.delay_ns.any()


def test_every_packet_is_lost_with_probability_one() -> None:
    assert plan_of("packet_loss", probability=1).lost.all()


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.25])
def test_packets_are_overtaken_with_their_probability_and_never_two_in_a_row(probability) -> None:
    swapped = plan_of("packet_reorder", probability=probability).swapped
    assert swapped.mean() == pytest.approx(probability, abs=5 * math.sqrt(probability / N))
    assert not (swapped[1:] & swapped[:-1]).any()


@pytest.mark.parametrize("std_ms", [0.5, 20.0])
def test_jitter_has_its_standard_deviation_and_the_form_of_half_a_normal(std_ms) -> None:
    plan = plan_of("jitter", std_ms=std_ms)
    delay_ms = plan.delay_ns / 1e6
    assert delay_ms.std() == pytest.approx(std_ms, rel=0.01)
    assert delay_ms.mean() == pytest.approx(1.3236 * std_ms, rel=0.01)
    assert delay_ms.min() >= 0
    assert (delay_ms > 2 * 1.6589 * std_ms).mean() == pytest.approx(0.0455, rel=0.05)
    assert abs(np.corrcoef(delay_ms[1:], delay_ms[:-1])[0, 1]) < 0.01
    assert not (plan.lost | plan.duplicated | plan.swapped).any()


def test_stalls_hold_all_packets_until_they_are_over() -> None:
    delay_ns = plan_of("stall", rate_hz=0.2, seconds=0.31).delay_ns
    stalled = delay_ns > 0
    starts = np.flatnonzero(delay_ns == 310_000_000)
    # 200000 packets at 40 Hz are 5000 s.
    assert len(starts) / 5000 == pytest.approx(0.2, rel=0.07)
    for start in starts[:-1].tolist():
        later = delay_ns[start : start + 13]
        if (later[1:] < 310_000_000).all():  # no other one began meanwhile
            assert later.tolist() == [310_000_000 - 25_000_000 * k for k in range(13)]
    # 310 ms are 12.4 packets: the last that waits is due 300 ms after the first.
    assert min(runs(stalled)) == 13
    leaves = np.arange(N) * 25_000_000 + delay_ns
    assert (np.diff(leaves) >= 0).all()


def test_a_stall_shorter_than_a_packet_delays_one() -> None:
    delay_ns = plan_of("stall", rate_hz=2, seconds=0.01).delay_ns
    assert set(np.unique(delay_ns).tolist()) == {0, 10_000_000}
    assert (delay_ns > 0).mean() == pytest.approx(2 / 40, rel=0.05)


def test_faults_add_up() -> None:
    perturber = make_perturber(
        [
            {"kind": "jitter", "std_ms": 1},
            {"kind": "jitter", "std_ms": 1},
            {"kind": "packet_loss", "probability": 0.5},
            {"kind": "packet_loss", "probability": 0.5},
            {"kind": "stall", "rate_hz": 1, "seconds": 1},
        ],
        n_bins=N,
    )
    plan = perturber.transport(0, N, 0)
    assert plan is not None
    assert plan.lost.mean() == pytest.approx(0.75, abs=0.01)
    quiet = plan.delay_ns[plan.delay_ns < 12_000_000] / 1e6
    assert quiet.mean() == pytest.approx(2 * 1.3236, rel=0.1)
    assert plan.delay_ns.max() > 900_000_000


def test_faults_begin_with_their_step() -> None:
    lossy = [{"kind": "packet_loss", "probability": 1}]
    steps = [{"at_seconds": 1, "transforms": lossy}, {"at_seconds": 2, "transforms": []}]
    perturber = make_perturber({"steps": steps}, n_bins=60)
    assert perturber.transport(0, 40, 0) is None
    plan = perturber.transport(30, 30, 0)
    assert plan is not None
    assert plan.lost.tolist() == [False] * 10 + [True] * 20
    plan = perturber.transport(0, 60, 1)  # stream time goes on: 1.5 s to 3 s
    assert plan is not None
    assert plan.lost.tolist() == [True] * 20 + [False] * 40
