"""Compares what a capture holds with what its source gives.

Every packet is made anew, from source, bin, loop, the perturbation in force and its seed, and its
canonical payload compared; so is what was done to it on its way. Deadlines must lie a whole number
of periods apart unless something steered the playhead in between. Records are taken as they come,
in bounded memory; packets are put in the order of their numbers for the digest.
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from phantomlink.captures.records import (
    SWAPPED,
    Control,
    Gap,
    Header,
    Record,
    Sent,
    faults_of,
)
from phantomlink.captures.source import SourcePackets
from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.engine.selection import Playhead
from phantomlink.errors import BinRangeError
from phantomlink.wire.packet import Packet, packet_data

MOST_SHOWN = 10
# A packet leaves at most one place late.
_OUT_OF_PLACE = 4
# Deadlines are whole ns of exact fractions.
_ROUNDING_NS = 1
# What moves the grid of deadlines, or stops it for a while.
_MOVES_PLAYHEAD = frozenset({"seek", "stop"})
_MOVES_DEADLINES = frozenset({"pause", "resume", "stop", "stall", "speed", "end", "hold"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be.

    Attributes:
        packet_id, sequence_number: of the packet.
        field: what of it.
        got: in the capture.
        expected: by the source.
    """

    packet_id: int
    sequence_number: int
    field: str
    got: Any
    expected: Any


@dataclass(slots=True)
class Verification:
    """What came of it.

    Attributes:
        packets: that were compared.
        digest: SHA-256 over their canonical payloads, as captured, in the order of their numbers.
        differences: the first few.
        by_field: how many there are of each kind.
        gaps: packets that the capture says it does not hold.
        faults: packets lost, duplicated, swapped or delayed on purpose, as scripted.
        lateness_ns: of each packet, from when it was to leave until it left, by the stamps.
        first_ns, last_ns: deadlines of the first and the last packet.
    """

    packets: int = 0
    digest: str = ""
    differences: list[Difference] = field(default_factory=list)
    by_field: Counter[str] = field(default_factory=Counter)
    gaps: int = 0
    faults: int = 0
    lateness_ns: array[int] = field(default_factory=lambda: array("q"))
    first_ns: int | None = None
    last_ns: int | None = None

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.by_field

    def differs(self, sent: Sent, name: str, got: Any, expected: Any) -> None:
        """Note a difference of a packet."""
        packet = sent.packet
        self.note(Difference(packet.packet_id, packet.sequence_number, name, got, expected))

    def note(self, difference: Difference) -> None:
        """Count a difference, and keep the first few."""
        self.by_field[difference.field.partition("[")[0]] += 1
        if len(self.differences) < MOST_SHOWN:
            self.differences.append(difference)


class Verifier:
    """Verifies the records of one journal.

    Args:
        header: of the journal.
        source: that it was made of.
        fields: what the capture says of a packet, where that is not all; the digest is then over
            the payloads that the source gives.
    """

    def __init__(
        self, header: Header, source: SourcePackets, fields: AbstractSet[str] | None = None
    ) -> None:
        self._fields = fields
        self._header = header
        self._source = source
        self._known: dict[str | None, AppliedPerturbation | None] = {None: None}
        self._in_force = self._learn(header.perturbation, header.seed)
        self._speed = header.speed
        # What holds from a number on; records are read a little ahead of the packets compared.
        self._next_force: list[tuple[int, str | None]] = []
        self._next_speed: list[tuple[int, Fraction]] = []
        self._moved_at: set[int] = set()
        self._sought_at: set[int] = set()
        self._stalled_at: set[int] = set()
        self._head: Playhead | None = None
        self._selection = source.selection(header.filter)
        self._latest: tuple[int, int] | None = None
        self.found = Verification()

    def verify(self, records: Iterable[Record]) -> Verification:
        """Compare all of them."""
        found, digest = self.found, hashlib.sha256()
        for sent in in_order(self._steered(records)):
            if found.first_ns is None:
                found.first_ns = sent.deadline_ns
            found.last_ns = sent.deadline_ns
            expected = self._compare(sent)
            hashed = sent.packet if self._fields is None or expected is None else expected
            digest.update(self._source.payload(hashed))
            found.packets += 1
        found.digest = digest.hexdigest()
        return found

    def _steered(self, records: Iterable[Record]) -> Iterator[Sent]:
        for record in records:
            if isinstance(record, Sent):
                yield record
            elif isinstance(record, Gap):
                self.found.gaps += record.packets
                self._moved_at.add(record.last + 1)
            elif isinstance(record, Control):
                number = record.sequence_number
                if record.what == "perturbation":
                    said = record.detail
                    made = self._learn(said["perturbation"], said["seed"])
                    self._next_force.append((number, made))
                if record.what in _MOVES_PLAYHEAD:
                    self._sought_at.add(number)
                if record.what in _MOVES_DEADLINES:
                    self._moved_at.add(number)
                    if record.what == "stall":
                        self._stalled_at.add(number)
                    if record.what == "speed":
                        self._next_speed.append((number, Fraction(*record.detail)))

    def _learn(self, said: Mapping[str, Any] | None, seed: int) -> str | None:
        """A perturbation that packets may have; what it is called in them."""
        applied = self._source.applied(said, seed)
        made = applied.perturbation_id if applied is not None else None
        self._known[made] = applied
        return made

    def _compare(self, sent: Sent) -> Packet | None:
        """Compare a packet with the one that its source gives, which is the answer."""
        packet, found = sent.packet, self.found
        while self._next_force and self._next_force[0][0] <= packet.sequence_number:
            self._in_force = self._next_force.pop(0)[1]
        if packet.perturbation_id != self._in_force:
            found.differs(sent, "perturbation_id", packet.perturbation_id, self._in_force)
        applied = self._known[self._in_force]
        try:
            expected, fault = self._source.packet(
                packet.packet_id, packet.loop, packet.sequence_number, applied
            )
        except BinRangeError as error:
            found.differs(sent, "packet_id", packet.packet_id, str(error))
            return None
        self._compare_said(sent, expected)
        delivered, scripted = faults_of(fault)
        if (sent.faults, sent.delay_ns) != (scripted, fault.delay_ns):
            found.differs(sent, "faults", (sent.faults, sent.delay_ns), (scripted, fault.delay_ns))
        if sent.delivered != delivered:
            found.differs(sent, "delivered", sent.delivered, delivered)
        found.faults += bool(scripted or fault.delay_ns)
        self._compare_place(sent)
        self._compare_times(sent)
        return expected

    def _compare_said(self, sent: Sent, expected: Packet) -> None:
        """Compare what a packet says, or of an NWB file those fields that it has."""
        packet, fields, header = sent.packet, self._fields, self._source.header
        if fields is None:
            if self._source.payload(packet) == self._source.payload(expected):
                return
        elif _said_in_nwb(packet) == _said_in_nwb(expected):
            return
        got, wanted = (dict(_flat(packet_data(each, header, 0.0))) for each in (packet, expected))
        for name in sorted(got.keys() | wanted.keys()):
            is_said = fields is None or bool(fields & _names(name))
            if is_said and got.get(name) != wanted.get(name):
                self.found.differs(sent, name, got.get(name), wanted.get(name))

    def _compare_place(self, sent: Sent) -> None:
        """See that a packet is of the bin behind the last one, unless the playhead was moved."""
        packet, head = sent.packet, self._head
        number = packet.sequence_number
        was_sought = {n for n in self._sought_at if n <= number}
        self._sought_at -= was_sought
        if head is None or was_sought:
            head = self._head = Playhead(self._selection, packet.packet_id)
            head.loop, head.sequence_number = packet.loop, number
        while head.sequence_number < number:
            head.advance()
        if packet.loop != head.loop:
            self.found.differs(sent, "loop", packet.loop, head.loop)
        if packet.packet_id != head.bin_index:
            self.found.differs(sent, "packet_id", packet.packet_id, head.bin_index)

    def _compare_times(self, sent: Sent) -> None:
        number, deadline_ns = sent.packet.sequence_number, sent.deadline_ns
        while self._next_speed and self._next_speed[0][0] <= number:
            self._speed = self._next_speed.pop(0)[1]
        if sent.left_at_ns is not None and not sent.delay_ns and not sent.faults & SWAPPED:
            self.found.lateness_ns.append(sent.left_at_ns - self._header.unix_ns(deadline_ns))
        if self._latest is not None:
            before, before_ns = self._latest
            has_moved = {n for n in self._moved_at if before < n <= number}
            if number != before + 1 and not has_moved:
                self.found.differs(sent, "sequence_number", number, before + 1)
            elif not has_moved:
                period = 1_000_000_000 / (self._header.rate_hz * self._speed)
                off_ns = deadline_ns - before_ns - period
                if abs(off_ns) > _ROUNDING_NS:
                    self.found.differs(sent, "deadline_ns", deadline_ns, round(before_ns + period))
            if sent.faults & SWAPPED and number in self._stalled_at:
                # It had had its tick when the stall came, and waited for its successor.
                self._moved_at.add(number + 1)
            self._moved_at -= {n for n in self._moved_at if n <= number}
            self._stalled_at -= {n for n in self._stalled_at if n <= number}
        self._latest = (number, deadline_ns)


def in_order(sent: Iterable[Sent]) -> Iterator[Sent]:
    """Packets by their numbers, given in the order in which they left."""
    waiting: list[tuple[int, int, Sent]] = []
    for n, each in enumerate(sent):
        heapq.heappush(waiting, (each.packet.sequence_number, n, each))
        if len(waiting) > _OUT_OF_PLACE:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def percentiles_us(lateness_ns: Sequence[int]) -> dict[str, float] | None:
    """p50, p99 and the most, us; None of nothing."""
    if not lateness_ns:
        return None
    p50, p99 = np.quantile(lateness_ns, (0.5, 0.99), method="inverted_cdf") / 1e3
    return {"p50": float(p50), "p99": float(p99), "max": max(lateness_ns) / 1e3}


def _flat(value: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{within}{name}.")
        elif name == "spike_counts":
            yield from ((f"{within}{name}[{n}]", count) for n, count in enumerate(item))
        elif name not in ("timestamp", "channel_ids"):
            yield f"{within}{name}", item


def _names(name: str) -> set[str]:
    """What a flat name is called by: all of it but an index, or one side of its dot."""
    plain = name.partition("[")[0]
    return {plain, plain.partition(".")[0], plain.rpartition(".")[2]}


def _said_in_nwb(packet: Packet) -> tuple[object, ...]:
    aim = packet.intention
    values = packet.vx, packet.vy, packet.x, packet.y
    return (packet.spike_counts.tobytes(), values, packet.trial_id, aim.target_x, aim.target_y)
