"""What a file format gives to a recording: its parts, and a watch over the file they come from.

A format is a package beside this module, like `nwb`. It has one function that opens a file of
its kind and returns `Contents`; `formats` says which function opens which file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.anomalies import Anomaly
from phantomlink.recordings.bins import KinematicsSource
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.identity import FileIdentity
from phantomlink.recordings.json_value import JsonValue
from phantomlink.recordings.observed import ObservedTime
from phantomlink.recordings.options import ProgressCallback, SeriesOptions
from phantomlink.recordings.spikes import SpikeSource
from phantomlink.recordings.targets import TargetColumns
from phantomlink.recordings.trials import TrialTable


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What the file says about itself; empty where it says nothing.

    Attributes:
        identifier: of the file.
        session_description: of the recording session.
        session_id: of the recording session.
        subject: `subject_id` of the subject.
        species: of the subject.
        lab: where it was recorded.
        institution: where it was recorded.
        session_start_time: ISO 8601, as in the file.
        nwb_version: of the file's layout.
        keywords: of the file.
        is_synthetic: made by a program, and saying so.
    """

    identifier: str
    session_description: str
    session_id: str
    subject: str
    species: str
    lab: str
    institution: str
    session_start_time: str
    nwb_version: str
    keywords: tuple[str, ...]
    is_synthetic: bool


@dataclass(frozen=True, slots=True, eq=False)
class UnitTable:
    """Units in table order.

    Attributes:
        path: of the table in the file.
        ids: ids of the file, not 0..n-1; rows where those are no numbers that clients can hold.
        ends: (n_units,) where each unit's spike times end in the flat column.
        labels: ids of the file as texts where `ids` are rows; None where `ids` are the file's.
        areas: brain area of each unit, empty where it is not known; None where the file does
            not say any.
        heldout: whether the Neural Latents Benchmark holds the unit out; None where not said.
        observed_by_unit: (n, 2) start and stop, s, of the observed intervals of each unit; None
            where the file does not say.
        invalid: (n, 2) start and stop, s, of times that are not valid; None where not said.
        sampling_rate_hz: at which spikes were found; None where not said.
    """

    path: str
    ids: tuple[int, ...]
    ends: NDArray[np.int64]
    labels: tuple[str, ...] | None = None
    areas: tuple[str, ...] | None = None
    heldout: tuple[bool, ...] | None = None
    observed_by_unit: tuple[NDArray[np.float64], ...] | None = None
    invalid: NDArray[np.float64] | None = None
    sampling_rate_hz: float | None = None

    def name(self, row: int) -> str:
        """What messages call the unit in this row."""
        return str(self.ids[row]) if self.labels is None else repr(self.labels[row])

    @property
    def observed(self) -> ObservedTime | None:
        """When any unit was observed; None where the file does not say."""
        by_unit = self.observed_by_unit
        if by_unit is None:
            return ObservedTime.of(None, self.invalid)
        # Units that were observed at the same times share them.
        distinct = {id(each): each for each in by_unit}
        return ObservedTime.of(np.concatenate([*distinct.values()]), self.invalid)

    @property
    def n_spikes(self) -> int:
        """Spikes of all units together."""
        return int(self.ends[-1]) if self.ends.size else 0

    @property
    def spike_times_path(self) -> str:
        """Path of the flat column of spike times."""
        return f"{self.path}/spike_times"

    @property
    def index_path(self) -> str:
        """Path of the index that says where each unit's spike times end."""
        return f"{self.path}/spike_times_index"


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One series of behaviour.

    Attributes:
        path: NWB path; two, joined by a comma, where each axis has a series.
        neurodata_type: SpatialSeries, TimeSeries, ...
        unit: of the values that are sent.
        rate_hz: samples per second inside a stretch; None when there are too few to say.
        rows: samples.
        columns: numbers a sample.
        conversion: factor that was applied to what is stored.
        offset: added after the factor.
        derived: the values are the gradient of the series, not the series.
        column_names: what the file calls the columns; empty where it does not.
    """

    path: str
    neurodata_type: str
    unit: str
    rate_hz: float | None
    rows: int
    columns: int
    conversion: float
    offset: float
    derived: bool = False
    column_names: tuple[str, ...] = ()

    def as_json(self) -> dict[str, JsonValue]:
        """The same, for JSON."""
        return {
            "path": self.path,
            "neurodata_type": self.neurodata_type,
            "unit": self.unit,
            "rate_hz": self.rate_hz,
            "rows": self.rows,
            "columns": self.columns,
            "conversion": self.conversion,
            "offset": self.offset,
            "derived": self.derived,
        }


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What was found.

    Attributes:
        position: gives x and y; None when the recording has none.
        velocity: gives vx and vy; `derived` when it is the gradient of the position.
        found: every series of the recording, used or not, by path.
        target: gives the place of the target; None unless a person named one.
    """

    position: SeriesInfo | None
    velocity: SeriesInfo | None
    found: tuple[SeriesInfo, ...] = ()
    target: SeriesInfo | None = None

    def used_as(self, path: str) -> str | None:
        """What the series at this path is used for: position, velocity, both, or None."""
        uses = [
            name
            for name, used in (
                ("position", self.position),
                ("velocity", self.velocity),
                ("target", self.target),
            )
            if used is not None and path in used.path.split(",")
        ]
        return " and ".join(uses) or None


class BehaviourSource(KinematicsSource, Protocol):
    """Where kinematics come from, and what else is asked of it."""

    @property
    def summary(self) -> Behaviour:
        """The series that were found and chosen."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What is kept of it in memory."""
        ...

    @property
    def has_targets(self) -> bool:
        """Whether a series says where the target is."""
        ...

    def targets(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.float64]:
        """(stop - start, 2) x, y of the target at the start of each bin; NaN where not known."""
        ...

    def ends(self) -> list[float]:
        """Times of the first and last samples, s, recording clock."""
        ...


class Contents(Protocol):
    """An open file of some format. Everything here blocks, and belongs in a worker thread."""

    @property
    def identity(self) -> FileIdentity:
        """Of the file when it was opened."""
        ...

    @property
    def info(self) -> RecordingInfo:
        """What the file says about itself."""
        ...

    @property
    def units(self) -> UnitTable:
        """The units, in the order of the counts."""
        ...

    @property
    def trials(self) -> TrialTable:
        """The trials; may be empty."""
        ...

    @property
    def target_columns(self) -> TargetColumns:
        """Which columns of the trial table say what was aimed at."""
        ...

    @property
    def behaviour(self) -> BehaviourSource:
        """Where kinematics come from."""
        ...

    @property
    def spikes(self) -> SpikeSource:
        """Where counts come from."""
        ...

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """What is odd in the file, or was left out."""
        ...

    @property
    def linked_paths(self) -> tuple[Path, ...]:
        """Other files that are read too."""
        ...

    def reading(self, what: str) -> AbstractContextManager[None]:
        """Turn whatever reading this part of the file raises into a RecordingError of one line."""
        ...

    def check(self) -> None:
        """Whether the open file is still what it was; costs next to nothing.

        Raises:
            RecordingError: it is not.
        """
        ...

    def close(self) -> None:
        """Close the file, but not the spikes; closing twice is fine."""
        ...


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What a format is asked to open.

    Attributes:
        path: of the file.
        options: series and trial columns to use in place of those the search finds.
        cache_dir: where the index of a large recording goes when its own folder cannot be
            written; None: the user's cache directory.
        progress: called while that index is made.
        spikes: those of an earlier opening, to be used again; None: read them.
        name: of the dataset; None: the file's, without its ending.
    """

    path: Path
    options: SeriesOptions
    cache_dir: Path | None = None
    progress: ProgressCallback | None = None
    spikes: SpikeSource | None = None
    name: str | None = None


OpenContents: TypeAlias = Callable[[OpenRequest], Contents]
"""Opens a file of one format; RecordingError, of one line that names the file, when it cannot."""
