"""Opens an NWB file as the parts of a recording.

h5py only. pynwb would do much of this, but importing it costs 1.2 s and 87 MB, and it builds an
object for everything in the file where a handful of arrays is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import h5py

from phantomlink.recordings.contents import OpenRequest, RecordingInfo, UnitTable
from phantomlink.recordings.identity import FileIdentity
from phantomlink.recordings.nwb.behaviour import NwbBehaviour
from phantomlink.recordings.nwb.hdf5 import Unchanged, open_nwb, reading, text
from phantomlink.recordings.nwb.series import find_series
from phantomlink.recordings.nwb.spike_index import open_spike_index
from phantomlink.recordings.nwb.tables import read_columns
from phantomlink.recordings.nwb.units import find_units, read_spikes
from phantomlink.recordings.options import ProgressCallback, SeriesOptions
from phantomlink.recordings.spikes import MEMORY_SPIKES, MemorySpikes, SpikeSource
from phantomlink.recordings.targets import TargetColumns, find_target_columns, make_trials
from phantomlink.recordings.trials import TrialTable


class NwbContents:
    """An open NWB file; see `phantomlink.recordings.contents.Contents`."""

    def __init__(self, file: h5py.File, request: OpenRequest) -> None:
        path, options = request.path, request.options
        self._path = path
        self._file = file
        self._unchanged = Unchanged(file)
        self.info = _info(file)
        self.units: UnitTable = find_units(file)
        found, unusable = find_series(file)
        self.trials, self.target_columns, left_out = _trials(file, options)
        self.behaviour = NwbBehaviour(found, options)
        self.spikes = request.spikes or _spikes(
            path, file, self.units, request.cache_dir, request.progress
        )
        self.notes = (*self.units.notes, *unusable, *left_out)
        self._unchanged.check()
        if self.behaviour.in_memory:
            file.close()

    @property
    def identity(self) -> FileIdentity:
        """Of the file when it was opened."""
        return self._unchanged.identity

    def reading(self, what: str) -> AbstractContextManager[None]:
        """Turn whatever reading this part of the file raises into a RecordingError of one line."""
        return reading(self._path, what)

    def check(self) -> None:
        """Whether the open file is still what it was; one that is read no more always is.

        Raises:
            RecordingError: it is not.
        """
        if not self.behaviour.in_memory:
            self._unchanged.check()

    def close(self) -> None:
        """Close the file, but not the spikes; closing twice is fine."""
        self._file.close()


def open_contents(request: OpenRequest) -> NwbContents:
    """Open an NWB 2 file in HDF5.

    Raises:
        RecordingError: one line that names the file and what is wrong or missing.
    """
    file = open_nwb(request.path)
    try:
        with reading(request.path):
            return NwbContents(file, request)
    except BaseException:
        file.close()
        raise


def _info(file: h5py.File) -> RecordingInfo:
    def said(name: str) -> str:
        item = file.get(name)
        return text(item) if isinstance(item, h5py.Dataset) else ""

    keywords = file.get("general/keywords")
    words = [text(word) for word in keywords[...]] if isinstance(keywords, h5py.Dataset) else []
    # Not the description: that of a genuine recording may speak of synthetic stimuli.
    telling = (said("identifier"), said("general/subject/subject_id"), *words)
    return RecordingInfo(
        identifier=said("identifier"),
        session_description=said("session_description"),
        session_id=said("general/session_id"),
        subject=said("general/subject/subject_id"),
        species=said("general/subject/species"),
        lab=said("general/lab"),
        institution=said("general/institution"),
        session_start_time=said("session_start_time"),
        nwb_version=text(file.attrs.get("nwb_version", "")),
        keywords=tuple(words),
        is_synthetic=any("synthetic" in told.lower() for told in telling),
    )


def _trials(
    file: h5py.File, options: SeriesOptions
) -> tuple[TrialTable, TargetColumns, Iterable[str]]:
    table = file.get("intervals/trials")
    columns, left_out = read_columns(table) if isinstance(table, h5py.Group) else ({}, [])
    chosen = find_target_columns(columns, options)
    if "start_time" in columns and "stop_time" in columns:
        return make_trials(columns, chosen), chosen, left_out
    if isinstance(table, h5py.Group):
        left_out.append("intervals/trials: has no start_time and stop_time, so no trials")
    return TrialTable(), chosen, left_out


def _spikes(
    path: Path,
    file: h5py.File,
    units: UnitTable,
    cache_dir: Path | None,
    progress: ProgressCallback | None,
) -> SpikeSource:
    if units.n_spikes > MEMORY_SPIKES:
        return open_spike_index(
            path,
            spike_times_path=units.spike_times_path,
            index_path=units.index_path,
            cache_dir=cache_dir,
            progress=progress,
        )
    seconds, rows = read_spikes(file, units)
    return MemorySpikes(seconds, rows, len(units.ids))
