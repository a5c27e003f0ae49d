"""What a journal says of its capture: read once when it is finished, or after a crash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.journal_writer import segment_paths
from phantomlink.captures.recipe import make_recipe
from phantomlink.captures.records import Gap, Record, Sent
from phantomlink.captures.verify import in_order
from phantomlink.wire.canonical import PayloadEncoder
from phantomlink.wire.packet import StreamHeader


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What is known of a capture by its journal alone.

    Attributes:
        state: `complete`, `torn` or `recovered`.
        reason: why it ended, or is not whole.
        seconds: from its first deadline to its last.
        packets, lost_packets: that it holds, and does not.
        bytes: of its file.
        first_packet_id, last_packet_id: of those that it holds; None where it holds none.
        sha256: of the source; None where the capture does not know it.
        digest: SHA-256 over the canonical payloads, in order of sequence numbers; None of nothing.
        recipe: JSON of it; None: it has none.
        no_recipe: why it has none; "" where it has one.
    """

    state: str
    reason: str
    seconds: float
    packets: int
    lost_packets: int
    bytes: int
    first_packet_id: int | None
    last_packet_id: int | None
    sha256: str | None
    digest: str | None
    recipe: dict[str, Any] | None
    no_recipe: str


def read_facts(path: Path) -> CaptureFacts:
    """Read a journal to its end.

    Raises:
        CaptureError: it is no journal.
    """
    journal = Journal(path)
    header = journal.header
    payloads = PayloadEncoder(StreamHeader(len(header.unit_ids), float(1000 / header.rate_hz)))
    digest, counted = hashlib.sha256(), _Counted()
    for sent in in_order(counted.packets(journal.records())):
        counted.add(sent)
        digest.update(payloads.encode(sent.packet))
    said = digest.hexdigest()
    recipe = make_recipe(journal.header, Journal(path).records(), said)
    return CaptureFacts(
        state=journal.state,
        reason="; ".join(filter(None, (_reason(journal), journal.damage))),
        seconds=counted.seconds,
        packets=counted.n_packets,
        lost_packets=counted.lost,
        bytes=sum(part.stat().st_size for part in (*segment_paths(path), path)),
        first_packet_id=counted.first_packet_id,
        last_packet_id=counted.last_packet_id,
        sha256=journal.header.sha256,
        digest=said if counted.n_packets else None,
        recipe=None if isinstance(recipe, str) else dict(recipe.said),
        no_recipe=recipe if isinstance(recipe, str) else "",
    )


@dataclass(slots=True)
class _Counted:
    n_packets: int = 0
    lost: int = 0
    first_packet_id: int | None = None
    last_packet_id: int | None = None
    first_ns: int = 0
    last_ns: int = 0

    @property
    def seconds(self) -> float:
        return (self.last_ns - self.first_ns) / 1e9

    def packets(self, records: Iterable[Record]) -> Iterator[Sent]:
        for record in records:
            if isinstance(record, Sent):
                yield record
            elif isinstance(record, Gap):
                self.lost += record.packets

    def add(self, sent: Sent) -> None:
        self.n_packets += 1
        self.last_packet_id, self.last_ns = sent.packet.packet_id, sent.deadline_ns
        if self.first_packet_id is None:
            self.first_packet_id, self.first_ns = self.last_packet_id, self.last_ns


def _reason(journal: Journal) -> str:
    return "its process died" if journal.end is None else journal.end.reason
