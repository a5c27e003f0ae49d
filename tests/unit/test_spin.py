import random

from phantomlink.engine.spin import MAX_LEAD_NS, SpinGovernor, WakeMargin


def test_the_margin_settles_where_most_wake_ups_lie_below_it():
    rng = random.Random(1)
    margin = WakeMargin()
    for _ in range(20_000):
        margin.observe(int(rng.uniform(40_000, 60_000)))
    assert 55_000 < margin.margin_ns < 75_000


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
