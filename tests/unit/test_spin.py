import random

import pytest

from phantomlink.scheduling.spin import MAX_LEAD_NS, SpinGovernor, WakeMargin


def test_the_margin_settles_where_most_wake_ups_lie_below_it():
    rng = random.Random(1)
    margin = WakeMargin()
    for _ in range(20_000):
        margin.observe(int(rng.uniform(40_000, 60_000)))
    assert 55_000 < margin.margin_ns < 75_000


def test_where_much_is_spun_fewer_wake_ups_have_to_lie_below_the_margin():
    rng = random.Random(1)
    settled = []
    for used in (0.0, 0.5, 1.0):
        margin = WakeMargin()
        inside = 0
        for k in range(40_000):
            lateness = rng.expovariate(1 / 30_000)
            inside += k >= 20_000 and lateness <= margin.margin_ns
            margin.observe(int(lateness), used)
        settled.append(inside / 20_000)
    assert settled == pytest.approx([0.998, 0.923, 0.698], abs=0.012)


def test_the_governor_tells_how_much_of_the_share_is_used():
    assert SpinGovernor(0.2).used == 0
    assert SpinGovernor(0.0).used == 1
    for spun_ns, used in ((1_000_000, 0.5), (5_000_000, 1)):
        governor = SpinGovernor(0.2)
        simulate(governor, 100, lambda cap, spun_ns=spun_ns: spun_ns)
        assert governor.used == pytest.approx(used, abs=0.03)


def test_the_margin_is_capped_on_a_busy_machine():
    margin = WakeMargin()
    for _ in range(1000):
        margin.observe(5_000_000)
    assert margin.margin_ns == MAX_LEAD_NS


def simulate(governor, ticks_per_second, early_by):
    """Spin until `early_by(cap)` is used up, for ten simulated seconds."""
    spun = 0
    for tick in range(10 * ticks_per_second):
        duration = early_by(governor.cap_ns)
        governor.spun(duration, (tick + 1) * 1_000_000_000 // ticks_per_second)
        if tick >= 5 * ticks_per_second:
            spun += duration
    return spun / 5_000_000_000


def test_the_governor_holds_the_share_by_feedback():
    governor = SpinGovernor(0.15)
    assert simulate(governor, 4000, lambda cap: cap) < 0.18
    assert simulate(governor, 4000, lambda cap: max(cap - 30_000, 0)) < 0.18


def test_it_leaves_the_lead_alone_where_spinning_is_cheap():
    governor = SpinGovernor(0.15)
    simulate(governor, 40, lambda cap: min(cap, 50_000))
    assert governor.cap_ns == MAX_LEAD_NS
