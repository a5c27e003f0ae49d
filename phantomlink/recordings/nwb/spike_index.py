"""Spike counts of a large recording, from an index of its spikes sorted by time.

In an NWB file spikes lie unit after unit, and one bin needs a few from everywhere. The index has
them in order of time; it is made once and kept in a file (see index_cache, index_build), of which
only the directory is in memory: one entry for 4096 spikes. A run of bins is then one stretch of
the file, found by bisection and read at once.
"""

from __future__ import annotations

import os
import shutil
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import platformdirs
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.bins import count_spikes
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.index_cache import (
    HEADER_BYTES,
    Header,
    Source,
    index_bytes,
    open_cached,
    places,
    read_exactly,
)
from phantomlink.recordings.nwb.hdf5 import one_line, reading
from phantomlink.recordings.nwb.index_build import build_index, read_ends
from phantomlink.recordings.nwb.tree import NwbTree, tree_of
from phantomlink.recordings.options import ProgressCallback

BLOCKS_AT_ONCE = 256
"""A million spikes, 10 MB: a longer run of bins is counted part by part."""


class SpikeIndex:
    """An open index; reading blocks, so it belongs in a worker thread.

    Args:
        place: of the file, for messages.
        file: open for reading; closed by `close`.
        header: its header.
        directory: first time and CRC of each block.
    """

    in_memory = False

    def __init__(
        self, place: Path, file: IO[bytes], header: Header, directory: NDArray[np.void]
    ) -> None:
        self._place = place
        self._file = file
        self._header = header
        self._starts = directory["seconds"].astype(np.float64)
        self._crcs: list[int] = directory["crc"].tolist()
        self._is_damaged = False
        self._has_failed = False

    @property
    def n_spikes(self) -> int:
        """Spikes of all units together."""
        return self._header.n_spikes

    @property
    def n_units(self) -> int:
        """Columns of the counts."""
        return self._header.n_units

    @property
    def first_seconds(self) -> float | None:
        """Time of the first spike, recording clock; None without spikes."""
        return float(self._starts[0]) if self.n_spikes else None

    @property
    def last_seconds(self) -> float | None:
        """Time of the last spike, recording clock; None without spikes."""
        return self._header.last_seconds

    def counts(self, grid: BinGrid, start: int, stop: int) -> NDArray[np.uint16]:
        """(stop - start, n_units) spikes per bin.

        Raises:
            RecordingError: the index cannot be read or was damaged; more than 65535 spikes of
                one unit in one bin.
        """
        # Half a bin more on either side, since a time near an edge is rounded: the index of its
        # bin, not the time, says where a spike is.
        margin = 0.5 / float(grid.rate_hz)
        earliest, latest = grid.start_of(start) - margin, grid.start_of(stop) + margin
        # A block may begin with spikes as late as the one before it ends.
        first = max(0, int(np.searchsorted(self._starts, earliest, side="left")) - 1)
        end = int(np.searchsorted(self._starts, latest, side="right"))
        if end - first > BLOCKS_AT_ONCE and stop - start > 1:
            middle = (start + stop) // 2
            halves = self.counts(grid, start, middle), self.counts(grid, middle, stop)
            return np.concatenate(halves)
        seconds, units = self._spikes(first, end)
        near = slice(*np.searchsorted(seconds, (earliest, latest)))
        bins = grid.indices_of(seconds[near]) - start
        inside = slice(*np.searchsorted(bins, (0, stop - start)))
        return count_spikes(bins[inside], units[near][inside], (stop - start, self.n_units))

    @property
    def memory_bytes(self) -> int:
        """The directory."""
        return self._starts.nbytes + 40 * len(self._crcs)

    def check_rate(self, grid: BinGrid) -> None:
        """Spikes can be counted in any bins."""

    def check(self) -> None:
        """Whether the file is as long as it was, and every read so far has worked.

        Raises:
            RecordingError: it is not, or is closed, or one has not.
        """
        if self._has_failed:
            raise RecordingError(f"{self._place}: reading the index of the spikes failed before")
        try:
            size = os.fstat(self._file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise RecordingError(
                f"{self._place}: the index of the spikes cannot be read: {one_line(error)}"
            ) from error
        if size != self._header.file_bytes:
            raise RecordingError(
                f"{self._place}: the index of the spikes was cut: {size} of "
                f"{self._header.file_bytes} bytes are left"
            )

    def close(self) -> None:
        """Close the file, and delete it if it was found to be damaged; twice is fine."""
        self._file.close()
        if self._is_damaged:
            # Its head is as it should be, so it would be believed once more.
            with suppress(OSError):
                self._place.unlink(missing_ok=True)
            self._is_damaged = False

    def _spikes(
        self, first: int, end: int
    ) -> tuple[NDArray[np.float64], NDArray[np.unsignedinteger]]:
        """Times, ascending, and units of blocks [first, end)."""
        size = self._header.block.itemsize
        n = max(0, end - first)
        try:
            raw = read_exactly(self._file, n * size, HEADER_BYTES + first * size)
        except (OSError, ValueError) as error:
            self._has_failed = True
            raise RecordingError(
                f"{self._place}: the index of the spikes cannot be read: {one_line(error)}"
            ) from error
        view = memoryview(raw)
        for k in range(n):
            if zlib.crc32(view[k * size : (k + 1) * size]) != self._crcs[first + k]:
                self._is_damaged = self._has_failed = True
                raise RecordingError(
                    f"{self._place}: the index of the spikes was damaged; delete this file and "
                    "start again"
                )
        blocks = np.frombuffer(raw, dtype=self._header.block)
        return blocks["seconds"].ravel(), blocks["units"].ravel()


def open_spike_index(
    path: Path,
    *,
    spike_times_path: str,
    index_path: str,
    seconds_per_stored: float = 1.0,
    cache_dir: Path | None = None,
    progress: ProgressCallback | None = None,
) -> SpikeIndex:
    """Open the index of a recording's spikes; make it when there is none that fits.

    It is kept beside the recording, as `.NAME.phantomlink-index`, or where that folder cannot be
    written in the cache directory.

    Args:
        path: the recording.
        spike_times_path: of the flat column of spike times in it.
        index_path: of the column that says where the spikes of each unit end.
        seconds_per_stored: factor from what is stored there to seconds.
        cache_dir: None: the user's cache directory.
        progress: called while the index is made, about once for a million spikes.

    Raises:
        RecordingError: the recording cannot be read, or the index can be written nowhere.
    """
    source = Source.of(path, spike_times_path, index_path, seconds_per_stored)
    if cache_dir is None:
        cache_dir = platformdirs.user_cache_path("phantomlink")
    candidates = places(path, cache_dir)
    for place in candidates:
        if found := open_cached(place, source):
            return SpikeIndex(place, *found)
    with reading(path):
        file = h5py.File(path, "r")
    with file:
        # Links to other files are not followed here: what is sorted must be in this one.
        tree = tree_of(file, path, "off")
        with reading(path, index_path):
            ends = read_ends(tree, source)
        problems = []
        for place in candidates:
            problem = _try_to_build(place, tree, ends, source, progress or (lambda *_: None))
            now = Source.of(path, spike_times_path, index_path, seconds_per_stored)
            if now != source:
                raise RecordingError(f"{path}: changed while its spikes were sorted")
            if problem is None:
                found = open_cached(place, source)
                if found:
                    return SpikeIndex(place, *found)
                problem = "what was written there is not what is read"
            problems.append(f"{place.parent}: {problem}")
    n_spikes = int(ends[-1]) if ends.size else 0
    raise RecordingError(
        f"{path}: the index of its {n_spikes} spikes can be written nowhere "
        f"({'; '.join(problems)}): free some space or make one of these folders writable"
    )


def _try_to_build(
    place: Path,
    tree: NwbTree,
    ends: NDArray[np.int64],
    source: Source,
    progress: ProgressCallback,
) -> str | None:
    """Make the index here; what was in the way, or None."""
    # Twice: for a moment the sorted runs and what they are merged into are both there.
    needed = 2 * index_bytes(int(ends[-1]) if ends.size else 0, ends.size)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place.parent).free
        if free < needed:
            return f"{needed / 1e6:.1f} MB needed, {free / 1e6:.1f} MB free"
        build_index(place, tree, ends, source, progress)
    except OSError as error:
        return error.strerror or one_line(error)
    return None
