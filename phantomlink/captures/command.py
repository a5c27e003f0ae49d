"""`phantomlink verify`: what is compared with what, and how it is said."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phantomlink import __version__
from phantomlink.captures.client_log import ClientLog
from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.nwb_capture import FIELDS, NwbCapture
from phantomlink.captures.recipe import Recipe, read_recipe
from phantomlink.captures.source import SourcePackets, find_source, source_folders
from phantomlink.captures.verify import Verification, Verifier, percentiles_us
from phantomlink.errors import CaptureError, PhantomLinkError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.recordings.identity import sha256_of

EQUAL, DIFFERS, CANNOT_BE_CHECKED = 0, 1, 2
_LOGS = {".jsonl", ".ndjson"}


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a verification, and of what.

    Attributes:
        found: the comparison.
        state: of the capture.
        dataset, sha256: of its source.
        damage: where the reading of a journal ended before its end; None: nowhere.
        expected_digest: that it is said to have; None: nothing is said.
    """

    found: Verification
    state: str
    dataset: str
    sha256: str | None
    damage: str | None = None
    expected_digest: str | None = None

    @property
    def is_equal(self) -> bool:
        """Whether everything that is there is as it should be."""
        return self.found.is_equal and self.expected_digest in (None, self.found.digest)


def run_verify(
    capture: Path, source: Path | None, *, as_json: bool, certificate: Path | None
) -> int:
    """Verify a capture, a recipe or a client's log; the exit code.

    Args:
        capture: its file.
        source: the recording; None: it is looked for in the data directory.
        as_json: print it as JSON.
        certificate: where to write one, as JSON; beside it the same as text.
    """
    try:
        verified = verify_file(capture, source)
    except (PhantomLinkError, OSError) as error:
        if as_json:
            sys.stdout.write(json.dumps({"equal": None, "error": str(error)}) + "\n")
        sys.stderr.write(f"phantomlink: cannot be checked: {error}\n")
        return CANNOT_BE_CHECKED
    said = as_dict(verified)
    if certificate is not None:
        page = said | {"capture": {"name": capture.name, "sha256": sha256_of(capture)}}
        page["note"] = "an integrity check, unsigned: it proves nothing against forgery"
        _write(certificate, json.dumps(page, indent=1))
        _write(certificate.with_suffix(".txt"), certificate_text(page))
    sys.stdout.write((json.dumps(said) if as_json else as_text(verified)) + "\n")
    return EQUAL if verified.is_equal else DIFFERS


def verify_file(path: Path, named: Path | None) -> Verified:
    """Verify one file.

    Raises:
        CaptureError: it is none of those that can be, or its source is not there.
    """
    if not path.exists():
        raise CaptureError(f"{path}: no such file")
    folders = source_folders()
    if path.suffix in _LOGS:
        log = ClientLog(path)
        said = log.metadata
        with find_source(said.get("sha256"), folders, named) as recording:
            found = log.verify(SourcePackets(recording, log.rate_hz))
        return Verified(found, "log", said["dataset"], said.get("sha256"))
    if path.suffix == ".json":
        recipe = read_recipe(path)
        with find_source(recipe.said["sha256"], folders, named) as recording:
            return _verify_recipe(recipe, SourcePackets(recording, recipe.rate_hz, recipe.blind))
    if path.suffix == ".nwb":
        return _verify_nwb(NwbCapture(path), folders, named)
    journal = Journal(path)
    header = journal.header
    # A later header may know what the first one did not.
    if header.sha256 is None and named is None:
        for _ in journal.records():
            pass
        header = journal.header
    with find_source(header.sha256, folders, named) as recording:
        source = SourcePackets(recording, header.rate_hz, header.blind)
        if header.unit_ids != source.bins.unit_ids:
            raise CaptureError(f"{path}: its units are not those of {recording.path}")
        found = Verifier(header, source).verify(journal.records())
    return Verified(found, journal.state, header.dataset, header.sha256, journal.damage)


def _verify_nwb(capture: NwbCapture, folders: list[Path], named: Path | None) -> Verified:
    header = capture.header
    with find_source(header.sha256, folders, named) as recording:
        source = SourcePackets(recording, header.rate_hz, header.blind)
        if header.unit_ids != source.bins.unit_ids:
            raise CaptureError(f"{capture.path}: its units are not those of {recording.path}")
        found = Verifier(header, source, FIELDS).verify(capture.records())
    return Verified(
        found, capture.state, header.dataset, header.sha256, expected_digest=capture.digest
    )


def _verify_recipe(recipe: Recipe, source: SourcePackets) -> Verified:
    found = Verification(packets=recipe.said["packets"], digest=recipe.digest(source))
    said = recipe.said
    return Verified(
        found, "recipe", said["dataset"], said["sha256"], expected_digest=said["digest"]
    )


def _write(path: Path, text: str) -> None:
    with written_atomically(path, overwrite=True) as part:
        part.write_text(text + "\n", encoding="utf-8")


def as_dict(verified: Verified) -> dict[str, Any]:
    """For programs."""
    found = verified.found
    return {
        "equal": verified.is_equal,
        "state": verified.state,
        "dataset": verified.dataset,
        "sha256": verified.sha256,
        "version": __version__,
        "packets": found.packets,
        "digest": found.digest,
        "expected_digest": verified.expected_digest,
        "gaps": found.gaps,
        "faults": found.faults,
        "differences": [asdict(each) for each in found.differences],
        "differences_by_field": dict(found.by_field),
        "lateness_us": percentiles_us(found.lateness_ns),
        "damage": verified.damage,
    }


def as_text(verified: Verified) -> str:
    """For people: one line when all is equal."""
    found = verified.found
    what = f"{found.packets} packets, digest {found.digest}"
    if found.faults:
        what += f", {found.faults} faults injected as scripted"
    if found.gaps:
        what += f", {found.gaps} packets missing"
    if verified.damage is not None:
        what += f"; not read to its end: {verified.damage}"
    elif verified.state not in ("complete", "log", "recipe"):
        what += f"; the capture is {verified.state}"
    if verified.is_equal:
        return f"equal: {what}"
    lines = [f"different: {what}"]
    if not found.by_field:
        lines.append(f"  digest: got {found.digest}, expected {verified.expected_digest}")
    lines += [
        f"  packet {each.packet_id} (sequence_number {each.sequence_number}): {each.field}: "
        f"got {each.got}, expected {each.expected}"
        for each in found.differences
    ]
    lines += [f"  {n} in {name}" for name, n in found.by_field.most_common()]
    return "\n".join(lines)


def certificate_text(page: dict[str, Any]) -> str:
    """A certificate for people."""
    lateness = page["lateness_us"]
    timing = (
        "unknown"
        if lateness is None
        else ", ".join(f"{name} {value:.1f} us" for name, value in lateness.items())
    )
    return "\n".join(
        [
            f"PhantomLink {page['version']}: verification of {page['capture']['name']}",
            f"result:    {'equal' if page['equal'] else 'DIFFERENT'}",
            f"capture:   SHA-256 {page['capture']['sha256']}, {page['state']}",
            f"source:    {page['dataset']}, SHA-256 {page['sha256']}",
            f"packets:   {page['packets']}, payloads SHA-256 {page['digest']}",
            f"missing:   {page['gaps']}; injected faults as scripted: {page['faults']}",
            f"different: {sum(page['differences_by_field'].values())}",
            f"lateness by the stamps: {timing}",
            f"This is {page['note']}.",
        ]
    )
