"""Opens an NWB file as the parts of a recording.

h5py only. pynwb would do much of this, but importing it costs 1.2 s and 87 MB, and it builds an
object for everything in the file where a handful of arrays is needed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from phantomlink.errors import RecordingError
from phantomlink.recordings.clocks import Span, SpikeClock, span_of
from phantomlink.recordings.contents import OpenRequest, UnitTable
from phantomlink.recordings.identity import FileIdentity
from phantomlink.recordings.nwb.behaviour import NwbBehaviour
from phantomlink.recordings.nwb.counts import hint_at_counts, told_counts
from phantomlink.recordings.nwb.doubts import note_choices, note_clocks
from phantomlink.recordings.nwb.hdf5 import open_nwb, reading
from phantomlink.recordings.nwb.info import read_info
from phantomlink.recordings.nwb.series import find_series
from phantomlink.recordings.nwb.spike_index import open_spike_index
from phantomlink.recordings.nwb.tree import NwbTree, tree_of
from phantomlink.recordings.nwb.trials import find_trials
from phantomlink.recordings.nwb.units import find_units, read_spikes
from phantomlink.recordings.spikes import MEMORY_SPIKES, MemorySpikes, SpikeSource


class NwbContents:
    """An open NWB file; see `phantomlink.recordings.contents.Contents`."""

    def __init__(self, tree: NwbTree, request: OpenRequest) -> None:
        options = request.options
        self._tree = tree
        self.info = read_info(tree)
        series = find_series(tree, options.behaviour_offset_seconds)
        if options.counts_series is None:
            try:
                self.units = find_units(tree, options.units_table)
            except RecordingError as error:
                raise RecordingError(f"{error}{hint_at_counts(series)}") from error
            self.spikes = request.spikes or _spikes(tree, self.units, request)
        else:
            self.spikes, self.units = told_counts(series, options.counts_series, tree.anomalies)
        spikes = SpikeClock(_span(self.spikes), self.units.sampling_rate_hz)
        self.behaviour = NwbBehaviour(series, options, tree.anomalies, spikes)
        self.trials, self.target_columns = find_trials(tree, options, spikes)
        note_clocks(tree.anomalies, self.units, spikes, self.behaviour, self.trials, series)
        note_choices(
            tree.anomalies,
            series,
            self.behaviour.summary,
            is_told=options.position_series is not None,
        )
        self.anomalies = tuple(tree.anomalies)
        self.linked_paths = tree.linked_paths
        tree.check()
        if self.behaviour.in_memory:
            tree.close()

    @property
    def identity(self) -> FileIdentity:
        """Of the file when it was opened."""
        return self._tree.unchanged.identity

    def reading(self, what: str) -> AbstractContextManager[None]:
        """Turn whatever reading this part of the file raises into a RecordingError of one line."""
        return reading(self._tree.path, what)

    def check(self) -> None:
        """Whether the open files are still what they were; one that is read no more always is.

        Raises:
            RecordingError: one is not.
        """
        if not self.behaviour.in_memory:
            self._tree.check()

    def close(self) -> None:
        """Close the file, but not the spikes; closing twice is fine."""
        self._tree.close()


def open_contents(request: OpenRequest) -> NwbContents:
    """Open an NWB 2 file in HDF5.

    Raises:
        RecordingError: one line that names the file and what is wrong or missing.
    """
    file = open_nwb(request.path)
    try:
        with reading(request.path):
            return NwbContents(tree_of(file, request.path, request.options.external_links), request)
    except BaseException:
        file.close()
        raise


def _span(spikes: SpikeSource) -> Span | None:
    return span_of(time for time in (spikes.first_seconds, spikes.last_seconds) if time is not None)


def _spikes(tree: NwbTree, units: UnitTable, request: OpenRequest) -> SpikeSource:
    if units.n_spikes > MEMORY_SPIKES:
        return open_spike_index(
            request.path,
            spike_times_path=units.spike_times_path,
            index_path=units.index_path,
            seconds_per_stored=request.options.seconds_per_stored,
            cache_dir=request.cache_dir,
            progress=request.progress,
        )
    seconds, rows = read_spikes(tree, units, request.options.seconds_per_stored)
    return MemorySpikes(seconds, rows, len(units.ids))
