"""`phantomlink convert`: a capture in another form."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

from phantomlink.captures.facts import read_facts
from phantomlink.captures.from_recipe import convert_recipe
from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.nwb_file import write_nwb
from phantomlink.captures.timeline import captured_bins
from phantomlink.captures.xdf_file import write_xdf
from phantomlink.errors import CaptureError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.wire.canonical import PayloadEncoder
from phantomlink.wire.packet import StreamHeader

SUFFIXES = (".nwb", ".xdf", ".json")
"""Of the forms that a journal is made into; `.json` is the recipe."""


def convert_capture(
    capture: Path,
    out: Path,
    source: Path | None = None,
    *,
    overwrite: bool,
    with_binned: bool = False,
) -> int:
    """Make a capture, or a recipe, a file of another kind, by its name's ending; the exit code.

    Args:
        capture: a journal or a recipe.
        out: the file to make.
        source: the recording that a recipe is of; None: it is looked for.
        overwrite: whether a file that is there is replaced.
        with_binned: an NWB file has the counts as binned spikes too.

    Raises:
        CaptureError: it cannot be converted, or not into that.
        FileExistsError: there is a file, and `overwrite` is false.
        OSError: the result cannot be written.
    """
    if with_binned and out.suffix != ".nwb":
        raise CaptureError(f"{out}: --binned takes a name that ends in .nwb")
    if capture.suffix == ".json":
        made = convert_recipe(capture, out, source, overwrite=overwrite, with_binned=with_binned)
    else:
        made = convert_journal(capture, out, overwrite=overwrite, with_binned=with_binned)
    sys.stdout.write(f"{out}: {made}\n")
    return 0


def convert_journal(capture: Path, out: Path, *, overwrite: bool, with_binned: bool = False) -> str:
    """As `convert_capture`; what was made, in a few words."""
    if out.suffix not in SUFFIXES:
        raise CaptureError(f"{out}: takes a name that ends in .nwb, .xdf or .json (the recipe)")
    if out.suffix == ".json":
        return _write_recipe(capture, out, overwrite=overwrite)
    journal = Journal(capture)
    if out.suffix == ".xdf":
        n_samples = write_xdf(out, journal.header, journal.records(), overwrite=overwrite)
        return f"{n_samples} samples"
    bins = captured_bins(journal.header, journal.records())
    # A later header may know what the first one did not.
    header = journal.header
    bins = replace(bins, header=header)
    payloads = PayloadEncoder(StreamHeader(len(header.unit_ids), float(1000 / header.rate_hz)))
    digest = hashlib.sha256()
    for sent in bins.sent:
        if sent is not None:
            digest.update(payloads.encode(sent.packet))
    said, state = digest.hexdigest(), journal.state
    write_nwb(out, bins, said, state, overwrite=overwrite, with_binned=with_binned)
    return f"{len(bins)} bins, {len(bins.visits)} trials"


def _write_recipe(capture: Path, out: Path, *, overwrite: bool) -> str:
    facts = read_facts(capture)
    if facts.recipe is None:
        raise CaptureError(f"{capture}: it has no recipe: {facts.no_recipe}")
    with written_atomically(out, overwrite=overwrite) as part:
        part.write_text(json.dumps(facts.recipe) + "\n", encoding="utf-8")
    return f"the recipe of {facts.packets} packets"
