"""What a journal holds: one record for each packet, control event and prediction.

A record is a MessagePack array whose first member is its kind. Members are only ever added at the
end, and kinds that a reader does not know are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np

from phantomlink.engine.faults import Fault
from phantomlink.wire.packet import Intention, Packet

FORMAT_VERSION = 1

LOST, DUPLICATED, SWAPPED = 1, 2, 4
"""Faults that were played on purpose, as bits of `Sent.faults`."""


def faults_of(fault: Fault) -> tuple[int, int]:
    """`Sent.delivered` and `Sent.faults` of a packet to which this is done."""
    faults = LOST * fault.lost | DUPLICATED * fault.duplicated | SWAPPED * fault.swapped
    return (0 if fault.lost else 1 + fault.duplicated), faults


CONTROL_MARKERS = frozenset({"pause", "resume", "seek", "stop", "end"})
"""Of `Control.what`: those that are markers too."""


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A packet and how it left.

    Attributes:
        packet: what it says.
        deadline_ns: when it was due, monotonic ns.
        left_at_ns: when it left the scheduler, Unix ns; None when it was lost on purpose.
        delivered: 0 lost on purpose, 1, or 2 when it was sent twice.
        delay_ns: by how much it was held back on purpose, at the speed of the recording.
        faults: `LOST`, `DUPLICATED`, `SWAPPED`.
    """

    kind: ClassVar[str] = "P"

    packet: Packet
    deadline_ns: int
    left_at_ns: int | None
    delivered: int = 1
    delay_ns: int = 0
    faults: int = 0

    def body(self) -> list[Any]:
        """As it lies in the journal."""
        packet, aim = self.packet, self.packet.intention
        return [
            self.kind,
            packet.packet_id,
            packet.sequence_number,
            packet.loop,
            packet.spike_counts.astype("<u2", copy=False).tobytes(),
            packet.vx,
            packet.vy,
            packet.x,
            packet.y,
            [aim.target_id, aim.target_x, aim.target_y, aim.distance_to_target, aim.reach_id],
            packet.trial_id,
            packet.trial_time_ms,
            packet.perturbation_id,
            packet.observed,
            self.deadline_ns,
            self.left_at_ns,
            self.delivered,
            self.delay_ns,
            self.faults,
        ]

    @classmethod
    def of(cls, body: list[Any]) -> Self:
        """From the journal."""
        _, packet_id, number, loop, counts, vx, vy, x, y, aim, trial_id, trial_ms = body[:12]
        perturbation_id, observed, deadline_ns, left_ns, delivered, delay_ns, faults = body[12:19]
        packet = Packet(
            packet_id,
            number,
            loop,
            np.frombuffer(counts, "<u2"),
            vx,
            vy,
            x,
            y,
            Intention(*aim),
            trial_id,
            trial_ms,
            perturbation_id,
            observed,
        )
        return cls(packet, deadline_ns, left_ns, delivered, delay_ns, faults)


@dataclass(frozen=True, slots=True)
class Control:
    """What steered the playhead, from a packet on.

    Attributes:
        what: `pause`, `resume`, `seek`, `speed`, `perturbation`, `stop`, `stall`, `end`.
        packet_id, sequence_number, loop: the first packet that it affects.
        at_ns: when, monotonic ns.
        detail: of a speed, [numerator, denominator]; of a perturbation, an object with
            `perturbation` (JSON or null), `seed` and `perturbation_id`.
    """

    kind: ClassVar[str] = "C"

    what: str
    packet_id: int
    sequence_number: int
    loop: int
    at_ns: int
    detail: Any = None

    def body(self) -> list[Any]:
        """As it lies in the journal."""
        number = self.sequence_number
        return [self.kind, self.what, self.packet_id, number, self.loop, self.at_ns, self.detail]

    @classmethod
    def of(cls, body: list[Any]) -> Self:
        """From the journal."""
        return cls(*body[1:7])


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction that a client made.

    Attributes:
        client: which connection it came over.
        decoder: its name.
        packet_id, loop, sequence_number: of the packet that it answers; None where not said.
        vx, vy, x, y: what it says; None where it does not.
        arrived_ns: when, monotonic ns.
        outcome: what scoring made of it: `scored`, `duplicate`, `unknown` and so on.
        received_at, sent_at: Unix s by the client's clock; None where it does not say.
    """

    kind: ClassVar[str] = "A"

    client: int
    decoder: str
    packet_id: int
    loop: int | None
    sequence_number: int | None
    vx: float | None
    vy: float | None
    x: float | None
    y: float | None
    arrived_ns: int
    outcome: str = ""
    received_at: float | None = None
    sent_at: float | None = None

    def body(self) -> list[Any]:
        """As it lies in the journal."""
        answered = [self.packet_id, self.loop, self.sequence_number]
        said = [self.vx, self.vy, self.x, self.y]
        told = [self.outcome, self.received_at, self.sent_at]
        return [self.kind, self.client, self.decoder, *answered, *said, self.arrived_ns, *told]

    @classmethod
    def of(cls, body: list[Any]) -> Self:
        """From the journal."""
        return cls(*body[1:14])


@dataclass(frozen=True, slots=True)
class Marker:
    """An event of the source that came with a packet: what the marker stream of LSL says.

    Attributes:
        text: `trial_start`, `target_on`, `go_cue`, `move_onset`, `trial_end` or `loop`.
        packet_id, sequence_number: of the packet.
        at_ns: its deadline, monotonic ns.
    """

    kind: ClassVar[str] = "M"

    text: str
    packet_id: int
    sequence_number: int
    at_ns: int

    def body(self) -> list[Any]:
        """As it lies in the journal."""
        return [self.kind, self.text, self.packet_id, self.sequence_number, self.at_ns]

    @classmethod
    def of(cls, body: list[Any]) -> Self:
        """From the journal."""
        return cls(*body[1:5])


@dataclass(frozen=True, slots=True)
class Gap:
    """Packets that are missing because the writer could not keep up.

    Attributes:
        first, last: sequence numbers, both missing.
        packets: how many in between, those two included.
    """

    kind: ClassVar[str] = "G"

    first: int
    last: int
    packets: int

    def body(self) -> list[Any]:
        """As it lies in the journal."""
        return [self.kind, self.first, self.last, self.packets]

    @classmethod
    def of(cls, body: list[Any]) -> Self:
        """From the journal."""
        return cls(*body[1:4])


@dataclass(frozen=True, slots=True)
class End:
    """The capture was finished.

    Attributes:
        state: `complete` or `torn`.
        reason: why it ended, or why it is torn.
        packets: that it holds.
        lost_packets: that it does not hold.
    """

    kind: ClassVar[str] = "E"

    state: str
    reason: str
    packets: int
    lost_packets: int

    def body(self) -> list[Any]:
        """As it lies in the journal."""
        return [self.kind, self.state, self.reason, self.packets, self.lost_packets]

    @classmethod
    def of(cls, body: list[Any]) -> Self:
        """From the journal."""
        return cls(*body[1:5])


@dataclass(frozen=True, slots=True)
class Header:
    """What is the same for a whole capture, first in each segment.

    Attributes:
        capture_id: of it.
        session: its code; "" of a private one.
        title: that it was given.
        version: of PhantomLink.
        dataset: name of the source.
        sha256: of the source's file; None: not known yet, a later header has it.
        unit_ids: in the order of the counts.
        rate_hz: bins a second of the recording; a bin is its inverse, exactly.
        speed: how many times faster than recorded it played when the capture began.
        filter: which bins, by `trial_id, target_id, reach_id`.
        perturbation: JSON of it; None for none.
        perturbation_id: as in packets.
        seed: of whatever perturbation it has.
        clock: [Unix ns, monotonic ns] at one moment.
        trials: rows of the source's trial table, as in REST.
        about: of the source: units of position and velocity, identifier, subject and more.
        streams: what the LSL outlets of the session say of themselves, see `xdf_file`.
        segment: number of this one.
        blind: trials whose truth the session hid; nothing in the capture tells it.
    """

    kind: ClassVar[str] = "H"

    capture_id: str
    session: str
    title: str
    version: str
    dataset: str
    sha256: str | None
    unit_ids: tuple[int, ...]
    rate_hz: Fraction
    speed: Fraction
    filter: Mapping[str, int]
    perturbation: Mapping[str, Any] | None
    perturbation_id: str | None
    seed: int
    clock: tuple[int, int]
    trials: list[Mapping[str, Any]] = field(default_factory=list)
    about: Mapping[str, Any] = field(default_factory=dict)
    streams: list[Mapping[str, Any]] = field(default_factory=list)
    segment: int = 0
    blind: tuple[int, ...] = ()

    @property
    def period_ns(self) -> Fraction:
        """Between packets when the capture began."""
        return 1_000_000_000 / (self.rate_hz * self.speed)

    def unix_ns(self, monotonic_ns: int) -> int:
        """The same moment on the wall clock."""
        return monotonic_ns - self.clock[1] + self.clock[0]

    def body(self) -> list[Any]:
        """As it lies in the journal."""
        said = {name: getattr(self, name) for name in _PLAIN}
        said |= {name: _pair(getattr(self, name)) for name in ("rate_hz", "speed")}
        return [self.kind, FORMAT_VERSION, said]

    @classmethod
    def of(cls, body: list[Any]) -> Self:
        """From the journal.

        Raises:
            ValueError: it is of a version that this one does not know.
        """
        if body[1] != FORMAT_VERSION:
            raise ValueError(f"format {body[1]}: this version reads {FORMAT_VERSION}")
        said = {name: body[2][name] for name in _PLAIN if name in body[2]}
        said |= {name: tuple(said[name]) for name in _TUPLES if name in said}
        return cls(**said, rate_hz=Fraction(*body[2]["rate_hz"]), speed=Fraction(*body[2]["speed"]))


_PLAIN = (
    *("capture_id", "session", "title", "version", "dataset", "sha256", "unit_ids", "filter"),
    *("perturbation", "perturbation_id", "seed", "clock", "trials", "about", "streams"),
    *("segment", "blind"),
)
_TUPLES = ("unit_ids", "clock", "blind")

Record = Sent | Control | Answer | Marker | Gap | End | Header
_KINDS: dict[str, type[Record]] = {
    each.kind: each for each in (Sent, Control, Answer, Marker, Gap, End, Header)
}


def record_of(body: list[Any]) -> Record | None:
    """The record of a body; None of a kind that is not known.

    Raises:
        ValueError: it is of a known kind and not what that is made of.
    """
    kind = _KINDS.get(body[0])
    if kind is None:
        return None
    try:
        return kind.of(body)
    except (TypeError, KeyError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"a record {body[0]!r} is not what it should be: {error}") from error


def _pair(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]
