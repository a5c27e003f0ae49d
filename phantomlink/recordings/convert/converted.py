"""What a converter finds in a file, whatever kind it is, and how it becomes an NWB file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.nwb.write import write_file


class ConversionError(RecordingError):
    """A file cannot be converted; says what was found and what is taken."""

    title = "Cannot be converted"


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedSeries:
    """A series of behaviour.

    Attributes:
        name: of the series.
        values: (n, 2) x and y.
        seconds: (n,) recording clock.
        unit: of the values; empty where it is not known.
        is_velocity: it is one; else a position.
    """

    name: str
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    unit: str
    is_velocity: bool


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedTrial:
    """One trial: start and stop, s, recording clock, and where its target was."""

    start: float
    stop: float
    target_id: int
    target: tuple[float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """What was found.

    Attributes:
        description: of the recording session.
        start_time: of the recording; None where the file does not say.
        unit_ids: numbers of the units.
        labels: what the file calls them.
        spikes: (n,) s, recording clock, of each unit.
        observed: (m, 2) start and stop, s; None: all of it.
        series: of behaviour.
        trials: in order.
        resolution_seconds: of the spike times; None where not said.
    """

    description: str
    start_time: datetime | None
    unit_ids: list[int]
    labels: list[str]
    spikes: list[NDArray[np.float64]]
    observed: NDArray[np.float64] | None = None
    series: list[ConvertedSeries] = field(default_factory=list)
    trials: list[ConvertedTrial] = field(default_factory=list)
    resolution_seconds: float | None = None


def write_converted(path: Path, found: Converted, source: Path) -> None:
    """Write it as NWB at this path, which must be free.

    Raises:
        OSError: the file cannot be written.
    """
    from datetime import UTC  # noqa: PLC0415

    from pynwb import NWBFile, TimeSeries  # noqa: PLC0415
    from pynwb.behavior import SpatialSeries  # noqa: PLC0415

    nwb = NWBFile(
        session_description=found.description,
        identifier=f"converted-{source.name}",
        session_start_time=found.start_time or datetime(1970, 1, 1, tzinfo=UTC),
        source_script="phantomlink convert",
        source_script_file_name=source.name,
    )
    nwb.add_unit_column("label", "what the source file calls the unit")
    for unit_id, label, times in zip(found.unit_ids, found.labels, found.spikes, strict=True):
        observed = {} if found.observed is None else {"obs_intervals": found.observed}
        nwb.add_unit(id=unit_id, spike_times=times, label=label, **observed)
    if nwb.units is not None and found.resolution_seconds is not None:
        nwb.units.resolution = found.resolution_seconds
    if found.series:
        module = nwb.create_processing_module("behavior", "behaviour")
        for each in found.series:
            common = {
                "name": each.name,
                "data": each.values,
                "timestamps": each.seconds,
                "unit": each.unit or "unknown",
                "comments": "columns=[x,y]",
            }
            module.add(
                TimeSeries(**common)
                if each.is_velocity
                else SpatialSeries(**common, reference_frame="of the source")
            )
    if found.trials:
        nwb.add_trial_column("target_id", "index of the target")
        nwb.add_trial_column("target_pos", "x, y of the target")
        for trial in found.trials:
            place = (np.nan, np.nan) if trial.target is None else trial.target
            nwb.add_trial(
                start_time=trial.start,
                stop_time=trial.stop,
                target_id=trial.target_id,
                target_pos=place,
            )
    write_file(path, nwb)
