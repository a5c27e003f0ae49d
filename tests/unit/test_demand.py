"""When a node becomes a mirror of a session, and when it ends."""

from hypothesis import given
from hypothesis import strategies as st

from phantomlink.cluster.demand import Demand


def test_enough_viewers_make_it_and_less_than_half_for_a_while_end_it():
    demand = Demand(50)
    assert not demand.begins(49, 0)
    assert demand.begins(50, 1)
    assert not demand.begins(60, 2)
    assert not demand.ends(25, 100)
    assert not demand.ends(24, 109)
    assert not demand.ends(25, 109.5)
    assert not demand.ends(0, 119)
    assert demand.ends(0, 120)
    assert not demand.ends(0, 200)
    assert demand.begins(50, 200)


def test_after_failures_it_waits_longer_each_time_and_after_a_success_as_at_first():
    demand, now, waits = Demand(2), 0.0, []
    for _ in range(8):
        assert demand.begins(2, now)
        demand.failed(now + 1)
        failed, now = now + 1, now + 1
        while not demand.begins(2, now):
            now += 1
        demand.failed(now)
        waits.append(now - failed)
        now += 1000
    assert waits[0] >= 5
    assert waits == sorted(waits)
    assert waits[-1] <= 301
    assert demand.begins(2, now)
    demand.failed(now + 61)
    assert not demand.begins(2, now + 65)
    assert demand.begins(2, now + 66)


def test_zero_is_never():
    assert not Demand(0).begins(1000, 0)


@given(st.integers(1, 100), st.lists(st.tuples(st.integers(0, 120), st.floats(0, 20)), max_size=60))
def test_it_is_never_met_twice_and_ends_only_with_few(threshold, looks):
    demand, now = Demand(threshold), 0.0
    for n_viewers, passed in looks:
        now += passed
        was = demand.is_met
        if demand.begins(n_viewers, now):
            assert not was
            assert n_viewers >= threshold
        if demand.ends(n_viewers, now):
            assert 2 * n_viewers < threshold
            assert not demand.is_met
