"""A recipe made into a capture's NWB file, where its source is present: computed, not recorded.

Deadlines are those of a session that nothing has held up; when packets left is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from phantomlink.captures.nwb_file import write_nwb
from phantomlink.captures.recipe import Recipe, read_recipe
from phantomlink.captures.records import Control, Header, Record, Sent, faults_of
from phantomlink.captures.source import SourcePackets, about_source, find_source, source_folders
from phantomlink.captures.timeline import captured_bins
from phantomlink.errors import CaptureError

COMPUTED = "computed"
"""The state of what is made of a recipe."""


def convert_recipe(
    path: Path, out: Path, named: Path | None, *, overwrite: bool, with_binned: bool = False
) -> str:
    """Make a recipe an NWB file; what was made, in a few words.

    Args:
        path: of the recipe.
        out: the file to make.
        named: the source; None: it is looked for in the data directory.
        overwrite: whether a file that is there is replaced.
        with_binned: the counts are there as binned spikes too.

    Raises:
        CaptureError: the source is not there or another, or its packets are not those that the
            recipe is of.
        FileExistsError: there is a file, and `overwrite` is false.
        OSError: it cannot be written.
    """
    if out.suffix != ".nwb":
        raise CaptureError(f"{out}: a recipe is made an NWB file: takes a name that ends in .nwb")
    recipe = read_recipe(path)
    said = recipe.said
    with find_source(said["sha256"], source_folders(), named) as recording:
        source = SourcePackets(recording, recipe.rate_hz, recipe.blind)
        header = _header(said, source, path.name.partition(".")[0])
        digest = hashlib.sha256()
        records = list(_records(recipe, source, header, digest.update))
    if digest.hexdigest() != said["digest"]:
        raise CaptureError(
            f"{path}: its packets are other ones: their digest is {digest.hexdigest()}, and the "
            f"recipe is of {said['digest']}"
        )
    bins = captured_bins(header, records)
    write_nwb(out, bins, said["digest"], COMPUTED, overwrite=overwrite, with_binned=with_binned)
    return f"{len(bins)} bins, {len(bins.visits)} trials"


def _header(said: Mapping[str, Any], source: SourcePackets, name: str) -> Header:
    recording = source.recording
    applied = source.applied(said["perturbation"], said["seed"])
    return Header(
        capture_id=name,
        session="",
        title="computed from a recipe",
        version=said["phantomlink"],
        dataset=said["dataset"],
        sha256=said["sha256"],
        unit_ids=recording.unit_ids,
        rate_hz=Fraction(*said["rate_hz"]),
        speed=Fraction(*said["speed"]),
        filter=said["filter"],
        perturbation=said["perturbation"],
        perturbation_id=None if applied is None else applied.perturbation_id,
        seed=said["seed"],
        clock=(0, 0),
        trials=[trial.as_json() for trial in source.bins.trials],
        about=about_source(recording),
        blind=tuple(said.get("blind", ())),
    )


def _records(
    recipe: Recipe, source: SourcePackets, header: Header, hash_payload: Any
) -> Iterator[Record]:
    for control in recipe.said["controls"]:
        detail = None
        if control["what"] == "perturbation":
            detail = {"perturbation": control["perturbation"], "seed": control["seed"]}
        packet_id, loop = control.get("packet_id", -1), control.get("loop", -1)
        yield Control(control["what"], packet_id, control["sequence_number"], loop, 0, detail)
    for n, (packet, fault) in enumerate(recipe.steps(source)):
        hash_payload(source.payload(packet))
        delivered, faults = faults_of(fault)
        yield Sent(packet, round(n * header.period_ns), None, delivered, fault.delay_ns, faults)
