"""What a server should have sent, computed anew from recording, perturbation, seed and bin."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from phantomlink.captures.source import SourcePackets
from phantomlink.recordings.recording import open_recording
from phantomlink.wire.canonical import NOT_IN_PAYLOAD
from phantomlink.wire.packet import packet_data

RATE_HZ = 40


class Oracle:
    """Packets of sessions that play a recording from its beginning, and are never sought.

    Args:
        path: the recording.
        perturbation: JSON, as a session is asked for with it; without faults of transport.
        seed: of it.
    """

    def __init__(self, path: Path, perturbation: Mapping[str, Any] | None, seed: int) -> None:
        self._source = SourcePackets(open_recording(path), Fraction(RATE_HZ))
        self._applied = self._source.applied(perturbation, seed)
        self._n_bins = self._source.bins.grid.n_bins
        self._known: dict[int, dict[str, Any]] = {}

    def is_right(self, data: Mapping[str, Any]) -> bool:
        """Whether a packet, as received, is the one of its sequence number, in all it says."""
        number = data["sequence_number"]
        expected = self._known.get(number)
        if expected is None:
            loop, bin_index = divmod(number, self._n_bins)
            packet, _ = self._source.packet(bin_index, loop, number, self._applied)
            expected = _said(packet_data(packet, self._source.header, 0.0))
            self._known[number] = expected
        return _said(data) == expected


def _said(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in NOT_IN_PAYLOAD}
