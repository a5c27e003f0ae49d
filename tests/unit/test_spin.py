import random

import pytest

from phantomlink.scheduling import spin as spin_module
from phantomlink.scheduling.spin import MAX_LEAD_NS, SpinGovernor, WakeMargin, spin


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


def test_without_a_word_a_seventh_of_a_core_may_be_spun():
    assert SpinGovernor().share == 0.15


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


class TestExactly:
    """The numbers of one step each, so that a step in the wrong direction is seen."""

    def test_the_margin_grows_by_a_large_step_and_shrinks_by_a_small_one(self):
        margin = WakeMargin()
        assert margin.margin_ns == 100_000
        margin.observe(100_001)
        assert margin.margin_ns == 107_984
        margin.observe(107_984)  # not beyond it
        assert margin.margin_ns == 107_968
        margin.observe(0)
        assert margin.margin_ns == 107_952

    def test_where_all_is_spun_the_steps_are_those_of_another_quantile(self):
        up, down = WakeMargin(), WakeMargin()
        up.observe(200_000, 1.0)
        assert up.margin_ns == 105_584
        down.observe(0, 1.0)
        assert down.margin_ns == 97_584
        half = WakeMargin()
        half.observe(200_000, 0.5)  # the square of what is used
        assert half.margin_ns == 107_384

    def test_the_margin_is_never_below_zero(self):
        margin = WakeMargin()
        for _ in range(10_000):
            margin.observe(-1)
        assert margin.margin_ns == 0

    def test_a_share_is_that_of_a_whole_interval(self):
        governor = SpinGovernor(0.2)
        governor.spun(10_000_000, 1_000_000_000)
        governor.spun(10_000_000, 1_249_999_999)
        assert (governor.last_share, governor.cap_ns) == (0.0, MAX_LEAD_NS)
        governor.spun(5_000_000, 1_250_000_000)
        assert governor.last_share == 0.1
        assert governor.used == 0.5
        # What is over is not counted again.
        governor.spun(75_000_000, 1_500_000_000)
        assert governor.last_share == 0.3
        assert governor.used == 1.0

    def test_a_longer_interval_is_one_too(self):
        governor = SpinGovernor(0.2)
        governor.spun(0, 0)
        governor.spun(30_000_000, 300_000_000)
        assert governor.last_share == 0.1

    def test_the_longest_lead_is_that_of_the_pages(self):
        assert MAX_LEAD_NS == SpinGovernor().cap_ns == 400_000

    def test_the_cap_goes_down_by_what_is_over_at_most_by_half_and_up_slowly(self):
        governor = SpinGovernor(0.2)
        governor.spun(0, 0)
        governor.spun(62_500_000, 250_000_000)  # 0.25 of a core
        assert governor.cap_ns == 320_000
        governor.spun(250_000_000, 500_000_000)  # all of it
        assert governor.cap_ns == 160_000
        governor.spun(50_000_000, 750_000_000)  # as much as is allowed
        assert governor.cap_ns == 169_000
        for k in range(4, 100):
            governor.spun(0, k * 250_000_000)
        assert governor.cap_ns == MAX_LEAD_NS

    def test_a_lead_of_a_microsecond_is_left(self):
        governor = SpinGovernor(0.01)
        for k in range(100):
            governor.spun(250_000_000, k * 250_000_000)
        assert governor.cap_ns == 1_000

    def test_without_a_share_all_is_used(self):
        assert SpinGovernor(0).used == 1.0


class TestSpinning:
    @pytest.fixture
    def clock(self, monkeypatch):
        times = []
        monkeypatch.setattr(spin_module, "_monotonic_ns", lambda: times.pop(0))
        return times

    def test_it_ends_at_the_first_look_that_is_not_before_the_deadline(self, clock):
        clock += [100, 150, 199, 200, 201]
        governor = NotedGovernor()
        assert spin(200, governor) == 200
        assert clock == [201]
        # Known before the spin: from the first look to the deadline.
        assert governor.noted == [(100, 100)]

    @pytest.mark.parametrize("now", [200, 250])
    def test_what_is_past_is_not_spun_for(self, clock, now):
        clock += [now]
        governor = NotedGovernor()
        assert spin(200, governor) == now
        assert governor.noted == [(0, now)]


class NotedGovernor(SpinGovernor):
    """Notes what is reported to it."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def spun(self, duration_ns, now_ns):
        self.noted.append((duration_ns, now_ns))
