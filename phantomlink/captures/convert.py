"""`phantomlink convert`: a capture in another form."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.nwb_file import write_nwb
from phantomlink.captures.timeline import captured_bins
from phantomlink.errors import CaptureError
from phantomlink.wire.canonical import PayloadEncoder
from phantomlink.wire.packet import StreamHeader


def convert_capture(capture: Path, out: Path, *, overwrite: bool) -> int:
    """Make a capture an NWB file; the exit code.

    Raises:
        CaptureError: it cannot be converted, or not into that.
        FileExistsError: there is a file, and `overwrite` is false.
        OSError: the result cannot be written.
    """
    if out.suffix != ".nwb":
        raise CaptureError(f"{out}: takes a name that ends in .nwb")
    journal = Journal(capture)
    bins = captured_bins(journal.header, journal.records())
    header = journal.header
    payloads = PayloadEncoder(StreamHeader(len(header.unit_ids), float(1000 / header.rate_hz)))
    digest = hashlib.sha256()
    for sent in bins.sent:
        if sent is not None:
            digest.update(payloads.encode(sent.packet))
    write_nwb(out, bins, digest.hexdigest(), journal.state, overwrite=overwrite)
    sys.stdout.write(f"{out}: {len(bins)} bins, {len(bins.visits)} trials\n")
    return 0
