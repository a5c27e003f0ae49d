"""A client's own log of what it received: JSON Lines of messages, the metadata first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from phantomlink.captures.source import SourcePackets
from phantomlink.captures.verify import Difference, Verification
from phantomlink.errors import BinRangeError, CaptureError
from phantomlink.wire.canonical import canonical_payload
from phantomlink.wire.packet import packet_data


class ClientLog:
    """What one client has received.

    Args:
        path: of the log.

    Attributes:
        metadata: `data` of the first message.

    Raises:
        CaptureError: it is no such log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        first = next(self._messages(), None)
        if first is None or first.get("type") != "metadata" or "data" not in first:
            raise CaptureError(f"{path}: not a client's log: the first line is no metadata message")
        self.metadata: Mapping[str, Any] = first["data"]

    @property
    def rate_hz(self) -> Fraction:
        """Bins a second."""
        return 1000 / Fraction(repr(float(self.metadata["bin_size_ms"]))).limit_denominator(10**6)

    def verify(self, source: SourcePackets) -> Verification:
        """Compare every packet with the one that its source gives."""
        found, digest = Verification(), hashlib.sha256()
        metadata = self.metadata
        number: int | None = None
        for message in self._messages():
            data = message.get("data")
            if message.get("type") == "metadata":
                # Also when something has changed, the perturbation above all.
                metadata = message["data"]
            if message.get("type") != "data" or not isinstance(data, dict):
                continue
            payload = canonical_payload(data)
            digest.update(payload)
            found.packets += 1
            if number is not None and data["sequence_number"] > number + 1:
                found.gaps += data["sequence_number"] - number - 1
            number = data["sequence_number"]
            self._compare(source, found, metadata, data, payload)
        found.digest = digest.hexdigest()
        return found

    def _compare(
        self,
        source: SourcePackets,
        found: Verification,
        metadata: Mapping[str, Any],
        data: Mapping[str, Any],
        payload: bytes,
    ) -> None:
        applied = None
        if data.get("perturbation_id") is not None:
            applied = source.applied(metadata["perturbation"], metadata["seed"])
        at = data["packet_id"], data["sequence_number"]
        try:
            packet, _ = source.packet(at[0], data["loop"], at[1], applied)
        except BinRangeError as error:
            found.note(Difference(*at, "packet_id", at[0], str(error)))
            return
        if source.payload(packet) == payload:
            return
        expected = packet_data(packet, source.header, 0.0)
        for name in sorted((expected.keys() | data.keys()) - {"timestamp", "sequence_number"}):
            if data.get(name) != expected.get(name):
                found.note(Difference(*at, name, data.get(name), expected.get(name)))

    def _messages(self) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open(encoding="utf-8") as lines:
                for n, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                    except ValueError as error:
                        raise CaptureError(f"{self.path}, line {n}: not JSON: {error}") from error
                    if not isinstance(message, dict):
                        raise CaptureError(f"{self.path}, line {n}: not a message")
                    yield message
        except (OSError, UnicodeDecodeError) as error:
            raise CaptureError(f"{self.path}: cannot be read: {error}") from error
