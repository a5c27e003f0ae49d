"""What an anchor says is due is what a playhead that plays would send."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.engine.anchors import Anchor
from phantomlink.engine.selection import Playhead, Selection
from phantomlink.scheduling.timeline import Timeline

rates = st.fractions(1, 1000, max_denominator=1000)


@given(rates, st.integers(1, 50), st.data())
def test_an_anchor_is_where_a_playhead_that_played_is(rate, length, data):
    head = Playhead(Selection(((3, 3 + length),)))
    head.position = data.draw(st.integers(0, length - 1))
    timeline = Timeline(rate)
    timeline.anchor(data.draw(st.integers(0, 10**18)))
    anchor = Anchor(head.position, 0, 0, timeline.deadline_ns)
    now_ns = timeline.deadline_ns + data.draw(st.integers(-(10**9), 2 * 10**9))
    while timeline.deadline_ns < now_ns:
        head.advance()
        timeline.advance()
    found = anchor.at(now_ns, rate, length, loop=True)
    assert (found.position, found.sequence_number, found.loop) == (
        *(head.position, head.sequence_number, head.loop),
    )
    assert found.due_ns == timeline.deadline_ns


@given(rates, st.integers(0, 10**18), st.integers(0, 10**10), st.integers(0, 10**10))
def test_an_anchor_of_an_anchor_is_the_same_packet(rate, start_ns, first_ns, second_ns):
    anchor = Anchor(5, 7, 1, start_ns)
    directly = anchor.at(start_ns + first_ns + second_ns, rate, 40, loop=True)
    between = anchor.at(start_ns + first_ns, rate, 40, loop=True)
    by_way = between.at(start_ns + first_ns + second_ns, rate, 40, loop=True)
    # Deadlines are whole ns, so a border may be 1 ns away.
    assert abs(by_way.sequence_number - directly.sequence_number) <= 1


@given(rates, st.integers(0, 10**18), st.integers(0, 10**12))
def test_skipping_leads_to_the_first_deadline_that_is_not_past(rate, anchor_ns, late_ns):
    timeline = Timeline(rate)
    timeline.anchor(anchor_ns)
    now_ns = anchor_ns + late_ns
    passed = timeline.skip(now_ns)
    assert now_ns - 1 <= timeline.deadline_ns <= now_ns + timeline.period_ns + 1
    assert timeline.deadline_ns - anchor_ns == passed * Fraction(10**9) // rate
    assert timeline.skip(now_ns) == 0


def test_a_playhead_that_holds_stays():
    anchor = Anchor(3, 10, 0, None)
    assert anchor.at(10**15, Fraction(40), 10, loop=True) == anchor
    assert Anchor(3, 10, 0, 5).held() == anchor


@pytest.mark.parametrize(("late_ms", "expected"), [
    (25, Anchor(9, 11, 0, 25_000_000)),
    (26, Anchor(0, 12, 1, None)),
    (9999, Anchor(0, 12, 1, None)),
])  # fmt: skip
def test_without_a_loop_it_ends_behind_the_last_packet(late_ms, expected):
    assert Anchor(8, 10, 0, 0).at(late_ms * 10**6, Fraction(40), 10, loop=False) == expected
