from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.scheduling.timeline import Timeline

rates = st.fractions(1, 1000, max_denominator=1000)


@given(rates, st.integers(0, 10**18), st.integers(1, 10**7))
def test_a_deadline_is_computed_from_its_tick_and_not_accumulated(rate, anchor, ticks):
    timeline = Timeline(rate)
    timeline.anchor(anchor)
    timeline._tick = ticks - 1
    timeline.advance()
    exact = anchor + ticks * Fraction(10**9) / rate
    assert 0 <= exact - timeline.deadline_ns < 1


@given(rates, st.integers(0, 10**18))
def test_deadlines_increase_by_a_period(rate, anchor):
    timeline = Timeline(rate)
    timeline.anchor(anchor)
    assert timeline.deadline_ns == anchor
    previous = anchor
    for _ in range(50):
        timeline.advance()
        assert timeline.deadline_ns - previous in (timeline.period_ns, timeline.period_ns + 1)
        previous = timeline.deadline_ns


@pytest.mark.parametrize(("rate", "stall_ms"), [(40, 100), (20, 200), (1000, 100), (1, 4000)])
def test_only_a_tick_later_than_four_periods_and_100_ms_is_a_stall(rate, stall_ms):
    timeline = Timeline(Fraction(rate))
    timeline.anchor(0)
    assert not timeline.is_stalled(stall_ms * 1_000_000)
    assert timeline.is_stalled(stall_ms * 1_000_000 + 1)


def test_without_an_anchor_there_are_no_deadlines():
    timeline = Timeline(Fraction(40))
    assert not timeline.is_anchored
    with pytest.raises(RuntimeError, match="anchor"):
        _ = timeline.deadline_ns
    timeline.anchor(5)
    assert timeline.is_anchored
    timeline.release()
    assert not timeline.is_anchored
