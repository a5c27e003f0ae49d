"""What a mirror plays, and until when it can be sure of it. Pure; times are monotonic ns.

Theory of operation. A record says what the unfiltered playhead sends at any time, as long as it
holds. The owner of a session with mirrors announces a change before it happens: `changes_at` is the
number of a packet that is due `AHEAD_NS` from then, and that is written down with `SURE_NS` to
spare. So who has asked at a time t and was told of no change may play what is due up to
t + SURE_NS; who was told of one plays up to that packet, and waits for the record that follows.
That one says from which packet on it holds (`holds_from`): what lies before is still played as it
was, unless there was more than one change meanwhile (`course` tells): then it is not played at all.

A record that changes what was certain already is a reason not to be sure of anything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction

from phantomlink.engine.anchors import Anchor
from phantomlink.engine.directory import SessionRecord

AHEAD_NS = 100_000_000
"""A command takes effect at a packet that is due so long from now."""
SURE_NS = 85_000_000
"""How long what is due is certain after the directory was asked."""
_NS = 1_000_000_000
# By as much the clocks of two nodes may differ, and the sender's estimate from its own last one.
_SAME_NS = 20_000_000
_PULLED_NS = 500_000
# A packet that is later than it is no longer waited for: see `Timeline`.
_LATE_NS = 100_000_000
# The grid of a playhead may begin at another packet, and round otherwise.
_ROUNDING_NS = 1_000


class UnsureError(Exception):
    """What the session plays cannot be known here any more."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What follows.

    Attributes:
        record: with the anchor of the first packet of which it holds.
        old_until_ns: until when packets of the record before may leave; None: up to that packet.
    """

    record: SessionRecord
    old_until_ns: int | None


class Course:
    """That of one session.

    Args:
        record: that it is played by now; its anchors are on the clock of this machine.
        n_bins: of the recording at the session's rate.

    Attributes:
        record: that it is played by now.
    """

    def __init__(self, record: SessionRecord, n_bins: int) -> None:
        self.record = record
        self._n_bins = n_bins
        self._changes: deque[_Change] = deque()
        self._sure_until_ns = -1

    def asked(self, asked_ns: int) -> None:
        """The directory was asked at a time, and all that it knew then has been `told`."""
        self._sure_until_ns = max(self._sure_until_ns, asked_ns + SURE_NS)

    def told(self, record: SessionRecord) -> None:
        """The session's record is another one now.

        Raises:
            UnsureError: it does not follow from the one before.
        """
        last = self._changes[-1].record if self._changes else self.record
        if _identity(record) != _identity(last):
            raise UnsureError("it is another session")
        if record.course == last.course:
            if not is_same(last, record, self._n_bins):
                raise UnsureError("it has changed without saying so")
            self._go_on(last, record)
            return
        first = record.holds_from
        begun = with_anchor(record, self._packet(record, first)) if plays(record) else record
        old_until_ns = None
        if plays(last):
            certain_ns = self._certain_until_ns(last)
            if self._due_ns(last, first) <= certain_ns:
                raise UnsureError("it has changed, which was not announced")
            if record.course != last.course + 1:
                old_until_ns = certain_ns
        self._changes.append(_Change(begun, old_until_ns))

    def _go_on(self, last: SessionRecord, record: SessionRecord) -> None:
        """The newer one of two says the same; its clock may tell other times."""
        first = main_anchor(last)
        if plays(record):
            due_ns = self._due_ns(record, first.sequence_number)
            assert first.due_ns is not None
            if abs(due_ns - first.due_ns) > _PULLED_NS:
                first = replace(first, due_ns=due_ns)
        kept = with_anchor(record, first)
        if self._changes:
            self._changes[-1] = replace(self._changes[-1], record=kept)
        else:
            self.record = kept

    @property
    def plays_until_ns(self) -> int:
        """No packet may leave after it."""
        if not plays(self.record):
            # What is not anchored must not choose its own deadlines.
            return -1
        if not self._changes:
            return self._certain_until_ns(self.record)
        change = self._changes[0]
        first = main_anchor(change.record).sequence_number
        until_ns = min(self._sure_until_ns, self._due_ns(self.record, first) - _ROUNDING_NS)
        return until_ns if change.old_until_ns is None else min(until_ns, change.old_until_ns)

    @property
    def changes(self) -> bool:
        """Whether there is a record to go on with."""
        return bool(self._changes)

    def changed(self, sequence_number: int, now_ns: int) -> SessionRecord | None:
        """The record to go on with now, if it is time for it.

        Args:
            sequence_number: of the packet that is sent next.
            now_ns: the time.
        """
        if not self._changes:
            return None
        change = self._changes[0]
        first = main_anchor(change.record).sequence_number
        if plays(self.record) and sequence_number < first:
            last_ns = change.old_until_ns
            if last_ns is None:
                last_ns = self._due_ns(self.record, first) + _LATE_NS
            if now_ns <= last_ns:
                return None
        self._changes.popleft()
        self.record = change.record
        return self.record

    def packet(self, sequence_number: int) -> Anchor:
        """A packet of what is played by now, and when it is due."""
        return self._packet(self.record, sequence_number)

    def _certain_until_ns(self, record: SessionRecord) -> int:
        if record.changes_at is None:
            return self._sure_until_ns
        return min(self._sure_until_ns, self._due_ns(record, record.changes_at) - _ROUNDING_NS)

    def _packet(self, record: SessionRecord, sequence_number: int) -> Anchor:
        return packet_after(main_anchor(record), sequence_number, record, self._n_bins)

    def _due_ns(self, record: SessionRecord, sequence_number: int) -> int:
        due_ns = self._packet(record, sequence_number).due_ns
        assert due_ns is not None
        return due_ns


def _identity(record: SessionRecord) -> tuple[object, ...]:
    return record.created_at, record.rate_hz, record.sha256, record.test_trials


def main_anchor(record: SessionRecord) -> Anchor:
    """That of the unfiltered playhead."""
    return record.playheads[0].anchor


def with_anchor(record: SessionRecord, anchor: Anchor) -> SessionRecord:
    """The record with another anchor of the unfiltered playhead."""
    main, *others = record.playheads
    return replace(record, playheads=(replace(main, anchor=anchor), *others))


def plays(record: SessionRecord) -> bool:
    """Whether the unfiltered playhead advances, and it is known when."""
    is_held = record.is_paused or record.is_stopped
    return not is_held and main_anchor(record).due_ns is not None


def rate_of(record: SessionRecord) -> Fraction:
    """Packets a second."""
    return Fraction(record.rate_hz) * Fraction(record.speed)


def packet_after(
    anchor: Anchor, sequence_number: int, record: SessionRecord, n_bins: int
) -> Anchor:
    """Where a playhead is at a packet, before or after the anchor's, and when that is due."""
    passed = sequence_number - anchor.sequence_number
    loops, position = divmod(anchor.position + passed, n_bins)
    due_ns, rate_hz = anchor.due_ns, rate_of(record)
    if due_ns is not None:
        due_ns += passed * rate_hz.denominator * _NS // rate_hz.numerator
    return Anchor(position, sequence_number, anchor.loop + loops, due_ns)


def is_same(one: SessionRecord, other: SessionRecord, n_bins: int) -> bool:
    """Whether two records of a session say the same of what the unfiltered playhead sends."""
    if (one.is_paused, one.is_stopped, one.speed, one.seed, one.perturbation) != (
        *(other.is_paused, other.is_stopped, other.speed, other.seed, other.perturbation),
    ):
        return False
    first, second = main_anchor(one), main_anchor(other)
    if plays(one) != plays(other):
        return False
    at = packet_after(first, second.sequence_number, one, n_bins)
    if (at.position, at.loop) != (second.position, second.loop):
        return False
    if at.due_ns is None or second.due_ns is None:
        return first.sequence_number == second.sequence_number
    return abs(at.due_ns - second.due_ns) <= _SAME_NS
