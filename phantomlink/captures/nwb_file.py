"""A capture as a plain NWB file, which any tool reads and PhantomLink plays again.

pynwb takes a second to import and a hundred megabytes, so this is for processes of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phantomlink.captures.nwb_tables import add_sent, add_steering
from phantomlink.captures.timeline import CapturedBins
from phantomlink.errors import CaptureError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.recordings.nwb.write import write_file

if TYPE_CHECKING:
    from pynwb import NWBFile

_AXES = "columns=[x,y]"


def write_nwb(
    path: Path,
    bins: CapturedBins,
    digest: str,
    state: str,
    *,
    overwrite: bool,
    with_binned: bool = False,
) -> None:
    """Write a capture.

    Args:
        path: of the file.
        bins: of the capture.
        digest: SHA-256 over its canonical payloads.
        state: of the capture; one that is not complete says so.
        overwrite: whether a file that is there is replaced.
        with_binned: the counts are there as binned spikes too, by an extension of NWB.

    Raises:
        CaptureError: the extension is not installed.
        FileExistsError: there is a file, and `overwrite` is false.
        OSError: it cannot be written.
    """
    nwb = _new_file(bins, state)
    _add_units(nwb, bins)
    _add_behaviour(nwb, bins)
    _add_trials(nwb, bins)
    add_sent(nwb, bins)
    add_steering(nwb, bins)
    if with_binned:
        _add_binned(nwb, bins)
    said = bins.header.body()[2] | {"state": state, "digest": digest, "packets": len(bins)}
    for name in ("trials", "streams"):
        said.pop(name)
    nwb.add_scratch(
        json.dumps(said),
        name="phantomlink",
        description="What the capture was made of, as JSON",
    )
    with written_atomically(path, overwrite=overwrite) as part:
        write_file(part, nwb)


def _new_file(bins: CapturedBins, state: str) -> NWBFile:
    from pynwb import NWBFile  # noqa: PLC0415
    from pynwb.file import Subject  # noqa: PLC0415

    header = bins.header
    first = next(each for each in bins.sent if each is not None)
    began = datetime.fromtimestamp(header.unix_ns(first.deadline_ns) / 1e9, UTC)
    about = header.about
    species = about.get("species") or "Unknown species"
    return NWBFile(
        session_description=f"PhantomLink capture ({state}) of {header.dataset}: {header.title}",
        identifier=header.capture_id,
        session_start_time=began,
        session_id=header.capture_id,
        experiment_description=(
            "What PhantomLink sent: bin k is the k-th packet, of whatever bin of the source. "
            "Trials are visits; acquisition/sent says which packet each bin was and when it left."
        ),
        lab=about.get("lab") or None,
        institution=about.get("institution") or None,
        keywords=["PhantomLink", "capture", header.dataset],
        source_script=f"PhantomLink {header.version}; source SHA-256 {header.sha256}",
        source_script_file_name="phantomlink",
        subject=Subject(
            subject_id=about.get("subject") or "unknown",
            species=species,
            sex="U",
            age="P0D/",
            description="As the source says; age and sex are not repeated here.",
        ),
    )


def _add_units(nwb: NWBFile, bins: CapturedBins) -> None:
    intervals = bins.observed_intervals()
    for n, unit_id in enumerate(bins.header.unit_ids):
        nwb.add_unit(id=unit_id, spike_times=bins.spike_times(n), obs_intervals=intervals)
    assert nwb.units is not None
    nwb.units.resolution = bins.width


def _add_binned(nwb: NWBFile, bins: CapturedBins) -> None:
    """An addition for tools that take counts: what is played are the spikes."""
    try:
        from ndx_binned_spikes import BinnedAlignedSpikes  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CaptureError(
            "--binned needs ndx-binned-spikes: pip install 'phantomlink[binned]'"
        ) from error
    nwb.create_processing_module("ecephys", "Spike counts of each packet").add(
        BinnedAlignedSpikes(
            name="counts",
            description="Spikes of each unit in each packet, in the order of the units",
            bin_width_in_ms=bins.width * 1000,
            data=bins.counts.T[:, np.newaxis, :],
            event_timestamps=np.zeros(1),
        )
    )


def _add_behaviour(nwb: NWBFile, bins: CapturedBins) -> None:
    from pynwb import TimeSeries  # noqa: PLC0415
    from pynwb.behavior import SpatialSeries  # noqa: PLC0415

    centres = (np.arange(len(bins)) + 0.5) * bins.width
    about = bins.header.about
    module = nwb.create_processing_module("behavior", "Kinematics of each packet")
    if not np.isnan(bins.kinematics[:, 2:]).all():
        module.add(
            SpatialSeries(
                name="cursor_pos",
                description="Position of each packet. First column x, second column y",
                comments=_AXES,
                data=bins.kinematics[:, 2:],
                timestamps=centres,
                unit=about.get("position_unit") or "unknown",
                reference_frame="of the source",
            )
        )
    if not np.isnan(bins.kinematics[:, :2]).all():
        module.add(
            TimeSeries(
                name="cursor_vel",
                description="Velocity of each packet. First column x, second column y",
                comments=_AXES,
                data=bins.kinematics[:, :2],
                timestamps=centres,
                unit=about.get("velocity_unit") or "unknown",
            )
        )


def _add_trials(nwb: NWBFile, bins: CapturedBins) -> None:
    visits = bins.visits
    if not visits:
        return
    columns = {name: [v.columns.get(name) for v in visits] for name in visits[0].columns}
    kept = {name: made for name, values in columns.items() if (made := _column(values))}
    for name, (_, is_ragged) in kept.items():
        nwb.add_trial_column(name, f"{name} of the source", index=is_ragged)
    for n, visit in enumerate(visits):
        row = {name: values[n] for name, (values, _) in kept.items()}
        nwb.add_trial(start_time=visit.start, stop_time=visit.stop, **row)


def _column(values: Sequence[Any]) -> tuple[list[Any], bool] | None:
    """A column of the trial table, and whether it is ragged; None: NWB has no form for it."""
    if all(isinstance(value, list) for value in values):
        arrays = [np.asarray(value) for value in values]
        is_plain = all(a.size and a.dtype.kind in "bif" for a in arrays)
        has_form = is_plain and len({a.shape[1:] for a in arrays}) == 1
        return ([a.tolist() for a in arrays], True) if has_form else None
    if all(isinstance(value, bool) for value in values):
        return list(values), False
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return list(values), False
    if all(value is None or isinstance(value, int | float) for value in values):
        return [np.nan if value is None else float(value) for value in values], False
    if all(value is None or isinstance(value, str) for value in values):
        return [value or "" for value in values], False
    return None
