"""The packets of a capture, made anew from its source."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.faults import NO_FAULT, Fault
from phantomlink.engine.perturbed import AppliedPerturbation, SentRows, apply_perturbation
from phantomlink.engine.selection import Selection
from phantomlink.errors import CaptureError, PhantomLinkError
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.blind import BlindBins
from phantomlink.recordings.formats import SUFFIXES
from phantomlink.recordings.identity import sha256_of
from phantomlink.recordings.recording import Recording, open_recording
from phantomlink.recordings.synthetic_default import synthetic_path
from phantomlink.recordings.trials import Filter
from phantomlink.settings.load import load_settings
from phantomlink.wire.canonical import PayloadEncoder
from phantomlink.wire.packet import Packet, StreamHeader

_BLOCK_BINS = 64
# Of blocks that are perturbed: a playhead goes on in one, and may wrap or be sought.
_KEPT_BLOCKS = 4


class SourcePackets:
    """What a server would send of a recording.

    Args:
        recording: open.
        rate_hz: bins a second.
        blind: trials whose truth the session hid.

    Attributes:
        header: of the stream.

    Raises:
        InvalidParameterError: the recording has no such trials.
    """

    def __init__(
        self, recording: Recording, rate_hz: Fraction, blind: Collection[int] = ()
    ) -> None:
        self.recording = recording
        bins = recording.at_rate(rate_hz)
        self.bins = BlindBins(bins, blind) if blind else bins
        self.header = StreamHeader(len(self.bins.unit_ids), self.bins.grid.bin_size_ms)
        self._assembler = PacketAssembler(self.bins)
        self._payloads = PayloadEncoder(self.header)
        self._blocks: dict[tuple[int, int, str | None], SentRows] = {}

    def applied(self, said: Mapping[str, Any] | None, seed: int) -> AppliedPerturbation | None:
        """A perturbation ready for use; None for one that changes nothing.

        Args:
            said: JSON of it; None for none.
            seed: of it.

        Raises:
            CaptureError: it is none that this version knows.
        """
        if said is None:
            return None
        try:
            return apply_perturbation(parse_perturbation(dict(said)), seed, self.bins)
        except PhantomLinkError as error:
            raise CaptureError(f"a perturbation cannot be applied: {error}") from error

    def selection(self, wanted: Mapping[str, int]) -> Selection:
        """The bins of a filter."""
        if not wanted:
            return Selection(((0, self.bins.grid.n_bins),))
        return Selection(self.bins.trials.ranges(Filter(**wanted), self.bins.grid))

    def packet(
        self, bin_index: int, loop: int, number: int, applied: AppliedPerturbation | None
    ) -> tuple[Packet, Fault]:
        """What is sent of a bin in a loop, and what is done to it on its way.

        Raises:
            BinRangeError: the source has no such bin.
        """
        self.bins.grid.check(bin_index, bin_index + 1)
        start = bin_index - bin_index % _BLOCK_BINS
        key = (loop, start, applied.perturbation_id if applied is not None else None)
        rows = self._blocks.pop(key, None)
        if rows is None:
            stop = min(start + _BLOCK_BINS, self.bins.grid.n_bins)
            rows = SentRows(self._assembler, self.bins.read(start, stop), loop, applied)
            for oldest in list(self._blocks)[: 1 - _KEPT_BLOCKS]:
                del self._blocks[oldest]
        self._blocks[key] = rows
        row = bin_index - start
        return rows.packet(row, number), rows.fault(row) or NO_FAULT

    def payload(self, packet: Packet) -> bytes:
        """The canonical payload of a packet of this source, or of one that should be."""
        return self._payloads.encode(packet)


def about_source(recording: Recording) -> dict[str, Any]:
    """What captures say of their source, see `Header.about`."""
    info = recording.info
    position, velocity = recording.behaviour.position, recording.behaviour.velocity
    return {
        "position_unit": None if position is None else position.unit,
        "velocity_unit": None if velocity is None else velocity.unit,
        "identifier": info.identifier,
        "session_description": info.session_description,
        "session_start_time": info.session_start_time,
        "subject": info.subject,
        "species": info.species,
        "lab": info.lab,
        "institution": info.institution,
        "is_synthetic": info.is_synthetic,
    }


def source_folders() -> list[Path]:
    """Where recordings are looked for: the data directory, and where the synthetic one is kept."""
    return [load_settings().data_directory, synthetic_path().parent]


def find_source(sha256: str | None, folders: Iterable[Path], named: Path | None) -> Recording:
    """Open the recording that a capture was made of.

    Args:
        sha256: of its file; None: the capture does not know it, and any that is named will do.
        folders: where recordings are looked for.
        named: the file; None: look for it.

    Raises:
        CaptureError: it is not there, or is another.
        RecordingError: it cannot be opened.
    """
    if named is not None:
        if sha256 is not None and (found := sha256_of(named)) != sha256:
            raise CaptureError(
                f"{named} is another recording: its SHA-256 is {found}, not {sha256}"
            )
        return open_recording(named)
    if sha256 is None:
        raise CaptureError(
            "the capture does not know its source's SHA-256: name it (--source FILE)"
        )
    looked = []
    for folder in folders:
        looked.append(str(folder))
        for path in sorted(folder.glob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file() and sha256_of(path) == sha256:
                return open_recording(path)
    raise CaptureError(
        f"the source is not there: no file in {', '.join(looked)} has the SHA-256 {sha256}; "
        "use --source FILE"
    )
