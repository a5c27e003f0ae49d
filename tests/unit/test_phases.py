import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.scheduling.phases import APART_NS, SEVERAL_APART_NS, PhaseAllocator

FORTY = Fraction(40)
PERIOD = 25_000_000


def gaps_of(firsts):
    offsets = sorted(first % PERIOD for first in firsts)
    return [b - a for a, b in zip(offsets, [*offsets[1:], offsets[0] + PERIOD], strict=True)]


def test_alone_the_first_deadline_is_now():
    assert PhaseAllocator().choose("a", FORTY, 1000) == 1000


def test_each_new_one_goes_into_the_middle_of_the_widest_gap():
    book = PhaseAllocator()
    first = book.choose("a", FORTY, 0)
    offsets = [(book.choose(name, FORTY, 0) - first) % PERIOD for name in "bcde"]
    assert offsets == [PERIOD // 2, PERIOD // 4, 3 * PERIOD // 4, PERIOD // 8]


@given(st.integers(1, 8), st.integers(0, 10**15))
def test_gaps_stay_within_a_factor_of_two_of_one_another(n, start):
    book = PhaseAllocator()
    firsts = []
    for k in range(n):
        earliest = start + k * 1_234_567
        first = book.choose(k, FORTY, earliest)
        assert earliest <= first <= earliest + PERIOD
        firsts.append(first)
    gaps = gaps_of(firsts)
    assert max(gaps) <= 2 * min(gaps) + 100


@pytest.mark.parametrize(("apart_ns", "groups"), [(APART_NS, 8), (SEVERAL_APART_NS, 4)])
@given(n=st.integers(9, 160), start=st.integers(0, 10**15))
def test_where_there_are_many_they_follow_each_other_closely_a_few_to_a_wake_up(
    n, start, apart_ns, groups
):
    book = PhaseAllocator(apart_ns)
    gaps = gaps_of([book.choose(k, FORTY, start + k * 1_234_567) for k in range(n)])
    assert min(gaps) >= 65_000 - 100
    # Each begins with a gap that is slept through, and none is long.
    assert sum(gap > 65_000 + 100 for gap in gaps) == groups
    assert max(gaps) <= PERIOD / groups + 5_100
    # The groups fill up evenly: the time left behind each of them is about the same.
    left = [gap for gap in gaps if gap > 65_000 + 100]
    assert max(left) - min(left) <= 65_000 + 100


@given(st.lists(st.integers(0, 120), max_size=300))
def test_coming_and_going_leaves_no_two_too_close_while_there_is_room(changes):
    book, playing = PhaseAllocator(), {}
    for k in changes:
        if playing.pop(k, None) is None:
            playing[k] = book.choose(k, FORTY, 10**12)
        else:
            book.forget(k)
    if len(playing) > 1:
        assert min(gaps_of(playing.values())) >= 65_000 - 100


def steps_of_choosing_anew(n):
    """Steps of the interpreter in which `n` playheads that play all choose anew."""
    book = PhaseAllocator()
    for k in range(n):
        book.choose(k, FORTY, 0)
    steps = 0

    def count(frame, event, arg):
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        for k in range(n):
            book.choose(k, FORTY, 10**9)
    finally:
        sys.settrace(before)
    return steps


def test_a_playhead_takes_as_long_to_choose_however_many_there_are():
    assert steps_of_choosing_anew(2000) < 1.5 * 8 * steps_of_choosing_anew(250)


def test_other_rates_do_not_matter_and_who_left_makes_room():
    book = PhaseAllocator()
    book.choose("a", FORTY, 0)
    assert book.choose("b", Fraction(1000), 7) == 7
    book.choose("c", FORTY, 0)
    book.forget("a")
    book.forget("c")
    assert book.choose("d", FORTY, 3) == 3
    assert book.choose("d", FORTY, 9) == 9  # its own former phase does not count


def test_it_knows_how_many_ticks_a_second_there_are():
    book = PhaseAllocator()
    assert book.ticks_hz == 0
    book.choose("a", FORTY, 0)
    book.choose("b", FORTY, 0)
    book.choose("c", Fraction(1000), 0)
    book.choose("a", FORTY, 5)
    assert book.ticks_hz == 1080
    book.forget("c")
    book.forget("nobody")
    assert book.ticks_hz == 80
