"""A recipe: what has to be known to compute the packets of a capture anew, in about a kilobyte.

It says which source, how wide its bins are, what was done to them, and what steered the playhead.
It holds no times of sending and no predictions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from phantomlink.captures.records import Control, Gap, Header, Record, Sent
from phantomlink.captures.source import SourcePackets
from phantomlink.captures.verify import in_order
from phantomlink.engine.faults import Fault
from phantomlink.engine.selection import Playhead
from phantomlink.errors import CaptureError
from phantomlink.wire.packet import Packet

MAX_CONTROLS = 10_000
VERSION = 1
_FORMAT = "phantomlink-recipe"
_STEERS = frozenset({"seek", "stop", "perturbation"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a capture was made of.

    Attributes:
        said: its JSON.
    """

    said: Mapping[str, Any]

    @property
    def rate_hz(self) -> Fraction:
        """Bins a second."""
        return Fraction(*self.said["rate_hz"])

    @property
    def blind(self) -> tuple[int, ...]:
        """Trials whose truth the session hid."""
        return tuple(self.said.get("blind", ()))

    def packets(self, source: SourcePackets) -> Iterator[Packet]:
        """Its packets, computed.

        Raises:
            CaptureError: a perturbation is none that this version knows.
        """
        for packet, _ in self.steps(source):
            yield packet

    def steps(self, source: SourcePackets) -> Iterator[tuple[Packet, Fault]]:
        """As `packets`, each with what is done to it on its way."""
        said, first = self.said, self.said["first"]
        head = Playhead(source.selection(said["filter"]), first["packet_id"])
        head.loop, head.sequence_number = first["loop"], first["sequence_number"]
        applied = source.applied(said["perturbation"], said["seed"])
        controls = list(said["controls"])
        for _ in range(said["packets"]):
            while controls and controls[0]["sequence_number"] <= head.sequence_number:
                control = controls.pop(0)
                if control["what"] == "perturbation":
                    applied = source.applied(control["perturbation"], control["seed"])
                else:
                    head.seek(control["packet_id"])
                    head.loop = control["loop"]
            yield source.packet(head.bin_index, head.loop, head.sequence_number, applied)
            head.advance()

    def digest(self, source: SourcePackets) -> str:
        """SHA-256 over the canonical payloads of its packets, computed."""
        digest = hashlib.sha256()
        for packet in self.packets(source):
            digest.update(source.payload(packet))
        return digest.hexdigest()


def make_recipe(header: Header, records: Iterable[Record], digest: str) -> Recipe | str:
    """The recipe of a capture; or why it has none.

    Args:
        header: of its journal.
        records: of it.
        digest: SHA-256 over its canonical payloads.
    """
    controls: list[dict[str, Any]] = []
    first: Packet | None = None
    last: Packet | None = None
    packets = 0

    def packets_of() -> Iterator[Sent]:
        for record in records:
            if isinstance(record, Sent):
                yield record
            elif isinstance(record, Control) and record.what in _STEERS:
                controls.append(_control_json(record))
            elif isinstance(record, Gap):
                raise CaptureError("packets are missing in it")

    try:
        for sent in in_order(packets_of()):
            first = first or sent.packet
            last = sent.packet
            packets += 1
    except CaptureError as error:
        return str(error)
    if first is None or last is None:
        return "it has no packet"
    if last.sequence_number - first.sequence_number != packets - 1:
        return "the server stalled and skipped packets"
    if len(controls) > MAX_CONTROLS:
        return f"it has {len(controls)} control events, more than {MAX_CONTROLS}"
    return Recipe(
        {
            "format": _FORMAT,
            "version": VERSION,
            "phantomlink": header.version,
            "dataset": header.dataset,
            "sha256": header.sha256,
            "rate_hz": [header.rate_hz.numerator, header.rate_hz.denominator],
            "speed": [header.speed.numerator, header.speed.denominator],
            "filter": dict(header.filter),
            "blind": list(header.blind),
            "perturbation": header.perturbation,
            "seed": header.seed,
            "first": {
                "packet_id": first.packet_id,
                "loop": first.loop,
                "sequence_number": first.sequence_number,
            },
            "controls": controls,
            "packets": packets,
            "digest": digest,
        }
    )


def read_recipe(path: Path) -> Recipe:
    """A recipe from its file.

    Raises:
        CaptureError: it is none, or of another version.
    """
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CaptureError(f"{path}: not a recipe: {error}") from error
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        raise CaptureError(f"{path}: not a recipe: its format is not {_FORMAT}")
    if said.get("version") != VERSION:
        raise CaptureError(f"{path}: version {said.get('version')}: this one reads {VERSION}")
    return Recipe(said)


def _control_json(control: Control) -> dict[str, Any]:
    said: dict[str, Any] = {"what": control.what, "sequence_number": control.sequence_number}
    if control.what == "perturbation":
        detail = control.detail
        return said | {"perturbation": detail["perturbation"], "seed": detail["seed"]}
    return said | {"packet_id": control.packet_id, "loop": control.loop}
