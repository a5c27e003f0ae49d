"""What a mirror plays is what the owner plays, packet by packet, however late it hears of it."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomlink.cluster.course import (
    AHEAD_NS,
    SURE_NS,
    Course,
    UnsureError,
    main_anchor,
    packet_after,
    plays,
    with_anchor,
)
from phantomlink.engine.anchors import Anchor
from tests.fake_directory import record

MS = 1_000_000
PERIOD_NS = 25 * MS
N_BINS = 70
START = with_anchor(record("s", due_ns=0), Anchor(3, 10, 0, 0))


def position(kept, number):
    at = packet_after(main_anchor(kept), number, kept, N_BINS)
    return at.position, at.loop, kept.seed


@dataclass
class Written:
    """A record, and when it was in the directory."""

    at_ns: int
    record: object


class Owner:
    """A session whose owner keeps its promise, and how late each step of it is."""

    def __init__(self):
        self.log = [Written(-1000 * MS, START)]
        # From which packet on which record holds.
        self.course = [(10, START)]
        self.now_ns = 0

    @property
    def record(self):
        return self.log[-1].record

    def write(self, kept, at_ns):
        """Some time later: the anchor is that of the packet that is next by then."""
        at_ns = max(at_ns, self.log[-1].at_ns)
        if plays(kept):
            kept = with_anchor(kept, main_anchor(kept).at(at_ns, 40, N_BINS, loop=True))
        self.log.append(Written(at_ns, replace(kept, revision=self.record.revision + 1)))
        self.now_ns = at_ns

    def changed(self, kept, at):
        """What it is now, from a packet on."""
        kept = with_anchor(
            replace(kept, course=self.record.course + 1, holds_from=at.sequence_number), at
        )
        self.course.append((at.sequence_number, kept))
        return kept

    def command(self, kind, value, *, after_ms, late_packets, slow_ms):
        asked_ns = self.now_ns + after_ms * MS
        old = self.record
        if not plays(old):
            at = replace(main_anchor(old), due_ns=asked_ns + 11 * MS)
            new = self.changed(replace(old, is_paused=False), at)
            self.write(new, asked_ns + slow_ms * MS)
            return
        first = main_anchor(old).at(asked_ns + AHEAD_NS, 40, N_BINS, loop=True).sequence_number
        # In the directory with enough to spare.
        self.write(replace(old, changes_at=first), asked_ns + 15 * MS)
        at = packet_after(main_anchor(old), first + late_packets, old, N_BINS)
        effect_ns = at.due_ns - 20 * MS
        new = {
            "seek": lambda: self.changed(old, replace(at, position=value % N_BINS)),
            "perturb": lambda: self.changed(replace(old, seed=value), at),
            "pause": lambda: self.changed(replace(old, is_paused=True), replace(at, due_ns=None)),
            "nothing": lambda: old,
        }[kind]()
        # The command is carried out behind the packet before it.
        self.write(new, effect_ns + slow_ms * MS)

    def sent(self, number):
        kept = next(kept for first, kept in reversed(self.course) if first <= number)
        return position(kept, number) if plays(kept) else None


class Mirror:
    def __init__(self):
        self.course = Course(START, N_BINS)
        self.next = 10
        self.sent = {}

    def play(self, now_ns):
        """Send all that is due by now and certain, and change where it is time to."""
        while True:
            if kept := self.course.changed(self.next, now_ns):
                first = main_anchor(kept)
                self.next = first.sequence_number
                continue
            kept = self.course.record
            if not plays(kept):
                return
            due_ns = packet_after(main_anchor(kept), self.next, kept, N_BINS).due_ns
            if due_ns > min(now_ns, self.course.plays_until_ns):
                return
            self.sent[self.next] = position(kept, self.next)
            self.next += 1


commands = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["seek", "perturb", "pause", "nothing"]),
            "value": st.integers(0, 100),
            "after_ms": st.integers(0, 400),
            "late_packets": st.integers(0, 3),
            "slow_ms": st.integers(0, 80),
        }
    ),
    max_size=6,
)
polls = st.lists(st.tuples(st.integers(1, 90), st.integers(0, 60)), min_size=1, max_size=200)


@settings(max_examples=300, deadline=None)
@given(commands, polls)
def test_no_packet_is_another_than_the_owners(commands, polls):
    owner, mirror = Owner(), Mirror()
    for each in commands:
        owner.command(**each)
    now_ns, told = 0, -1
    for wait_ms, answer_ms in polls:
        asked_ns = now_ns + wait_ms * MS
        mirror.play(asked_ns)
        now_ns = asked_ns + answer_ms * MS
        mirror.play(now_ns)
        # Read at the moment it was asked: nothing that came later helps.
        newest = max(n for n, each in enumerate(owner.log) if each.at_ns <= asked_ns)
        if newest > told:
            told = newest
            mirror.course.told(owner.log[newest].record)
        mirror.course.asked(asked_ns)
        mirror.play(now_ns)
    assert mirror.sent == {number: owner.sent(number) for number in mirror.sent}


def test_a_mirror_that_asks_often_misses_nothing_and_switches_where_the_owner_does():
    owner, mirror = Owner(), Mirror()
    owner.command("seek", 40, after_ms=310, late_packets=0, slow_ms=0)
    owner.command("perturb", 9, after_ms=200, late_packets=1, slow_ms=5)
    told = -1
    for now_ms in range(0, 1500, 5):
        newest = max(n for n, each in enumerate(owner.log) if each.at_ns <= now_ms * MS)
        if newest > told:
            told = newest
            mirror.course.told(owner.log[newest].record)
        mirror.course.asked(now_ms * MS)
        mirror.play(now_ms * MS)
    assert list(mirror.sent) == list(range(10, 10 + 1500 // 25))
    assert mirror.sent == {number: owner.sent(number) for number in mirror.sent}
    assert {seed for _, _, seed in mirror.sent.values()} == {3, 9}


def test_who_does_not_hear_plays_no_longer_than_what_is_certain():
    course = Course(START, N_BINS)
    assert course.plays_until_ns == -1
    course.asked(100 * MS)
    assert course.plays_until_ns == 100 * MS + SURE_NS
    course.told(replace(START, changes_at=12, revision=2))
    course.asked(10**6 * MS)
    assert 0 < 2 * PERIOD_NS - course.plays_until_ns < MS


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"speed": "2"},
        {"is_paused": True},
        {"created_at": "2026-01-02T00:00:00+00:00"},
        {"perturbation": None},
    ],
)
def test_a_change_that_was_not_announced_is_a_reason_not_to_be_sure(change):
    with pytest.raises(UnsureError):
        Course(START, N_BINS).told(replace(START, revision=2, **change))


def test_a_record_of_later_says_the_same_and_one_of_another_grid_does_not():
    course = Course(START, N_BINS)
    later = packet_after(main_anchor(START), 10 + 3 * N_BINS, START, N_BINS)
    course.told(with_anchor(replace(START, revision=2), later))
    assert main_anchor(course.record) == main_anchor(START)
    # Of a clock that has drifted by 2 ms: the grid follows.
    drifted = replace(later, due_ns=later.due_ns + 2 * MS)
    course.told(with_anchor(replace(START, revision=3), drifted))
    assert main_anchor(course.record) == replace(main_anchor(START), due_ns=2 * MS)
    with pytest.raises(UnsureError):
        course.told(with_anchor(START, replace(later, due_ns=later.due_ns + PERIOD_NS)))
    with pytest.raises(UnsureError):
        course.told(with_anchor(START, replace(later, position=later.position + 1)))
