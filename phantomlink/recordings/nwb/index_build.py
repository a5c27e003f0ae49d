"""Sorts the spikes of a large recording by time, in bounded memory, into an index file.

Two passes. The first reads the spikes in the order of the file, unit after unit, RUN_SPIKES at a
time, and spills each run, sorted by time, to a nameless temporary file. The second merges the
runs: it holds the next stretch of every run, and whatever is not later than the earliest end of
these stretches is complete and goes out, sorted. Neither cares how spikes are spread over time;
buckets of time would, and a burst of artefacts in one second can be half of a recording.

Memory does not depend on the recording: about 50 bytes for each of RUN_SPIKES in the first pass
and of MERGE_SPIKES in the second. tools/make_large_recording.py makes one to measure it with.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.recordings.index_cache import (
    BLOCK_SPIKES,
    DIRECTORY,
    HEADER_BYTES,
    Header,
    Source,
    block_type,
    read_exactly,
)
from phantomlink.recordings.nwb.hdf5 import reading
from phantomlink.recordings.nwb.tree import NwbTree
from phantomlink.recordings.nwb.values import ragged_ends
from phantomlink.recordings.options import ProgressCallback

RUN_SPIKES = 2**20
MERGE_SPIKES = 2**20
SHORTEST_STRETCH = 1024
MAX_CHUNK_CACHE_BYTES = 160 * 2**20
"""A larger compressed chunk than this is unpacked again for every run in it: slow, not wrong."""


def read_ends(tree: NwbTree, source: Source) -> NDArray[np.int64]:
    """(n_units,) where the spikes of each unit end in the flat column.

    Raises:
        RecordingError: the index of the unit table points outside.
    """
    n_spikes = _column_at(tree, source.spike_times_path).shape[0]
    return ragged_ends(_column_at(tree, source.index_path), n_spikes, source.index_path)


def build_index(
    place: Path,
    tree: NwbTree,
    ends: NDArray[np.int64],
    source: Source,
    progress: ProgressCallback,
) -> None:
    """Make the index file, whole or not at all.

    Args:
        place: where it is to be; its folder must exist. One that is there is replaced.
        tree: the recording, open.
        ends: as read by `read_ends`.
        source: what the recording is now.
        progress: called with spikes done, each of which counts once in either pass, and with
            how many that will be.

    Raises:
        RecordingError: the spikes cannot be read, or a time is not finite.
        OSError: the index cannot be written.
    """
    n_spikes = int(ends[-1]) if ends.size else 0
    with (
        written_atomically(place, overwrite=True) as part,
        part.open("xb") as out,
        # Nameless, so that a process that is killed leaves nothing.
        tempfile.TemporaryFile(dir=place.parent) as spill,
    ):
        out.write(bytes(HEADER_BYTES))
        runs = []
        done = 0
        for seconds, units in _read_runs(tree, ends, source):
            runs.append(_Run.spilled(spill, seconds, units))
            done += seconds.size
            progress(done, 2 * n_spikes)
        spill.flush()
        directory = []
        last_seconds: float | None = None
        for blocks, n_here, last in _in_blocks(_merged(spill, runs), ends.size):
            raw = blocks.view(np.uint8).reshape(len(blocks), -1)
            out.write(raw.data)
            firsts = blocks["seconds"][:, 0]
            directory += [
                (first, zlib.crc32(one.data)) for first, one in zip(firsts, raw, strict=True)
            ]
            last_seconds = last
            done += n_here
            progress(done, 2 * n_spikes)
        table = np.array(directory, dtype=DIRECTORY).tobytes()
        out.write(table)
        out.seek(0)
        out.write(Header(source, n_spikes, ends.size, last_seconds, zlib.crc32(table)).packed())


@dataclass(slots=True)
class _Run:
    """A run in the temporary file: its times, then its units; and the stretch that is in memory.

    Attributes:
        offset: of the times, bytes.
        n_spikes: of the whole run.
        n_read: how many of them have been read.
        seconds, units: those that have been read and not yet merged.
    """

    offset: int
    n_spikes: int
    seconds: NDArray[np.float64]
    units: NDArray[np.unsignedinteger]
    n_read: int = 0

    @classmethod
    def spilled(
        cls, spill: IO[bytes], seconds: NDArray[np.float64], units: NDArray[np.unsignedinteger]
    ) -> _Run:
        """Write a run to the end of the file."""
        offset = spill.seek(0, os.SEEK_END)
        spill.write(seconds.data)
        spill.write(units.data)
        return cls(offset, seconds.size, seconds[:0].copy(), units[:0].copy())

    @property
    def has_more(self) -> bool:
        """Whether there is more of it in the file."""
        return self.n_read < self.n_spikes

    def fill(self, spill: IO[bytes], stretch: int) -> None:
        """Have at least half a stretch in memory, or all that is left."""
        if not self.has_more or self.seconds.size > stretch // 2:
            return
        n = min(stretch, self.n_spikes - self.n_read)
        width = self.units.itemsize
        times = read_exactly(spill, 8 * n, self.offset + 8 * self.n_read)
        units = read_exactly(
            spill, width * n, self.offset + 8 * self.n_spikes + width * self.n_read
        )
        self.seconds = np.concatenate([self.seconds, np.frombuffer(times, np.float64)])
        self.units = np.concatenate([self.units, np.frombuffer(units, self.units.dtype)])
        self.n_read += n

    def take(self, until: float) -> tuple[NDArray[np.float64], NDArray[np.unsignedinteger]]:
        """What is in memory up to and including this time; it is gone from here then."""
        n = int(np.searchsorted(self.seconds, until, side="right"))
        taken = self.seconds[:n], self.units[:n]
        self.seconds, self.units = self.seconds[n:], self.units[n:]
        return taken


def _read_runs(
    tree: NwbTree, ends: NDArray[np.int64], source: Source
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.unsignedinteger]]]:
    """All spikes, RUN_SPIKES at a time, each such run sorted by time."""
    path = Path(source.path)
    n_spikes = int(ends[-1]) if ends.size else 0
    rows = np.arange(ends.size, dtype=block_type(ends.size)["units"].base)
    with reading(path, source.spike_times_path):
        column = _opened_column(tree, source.spike_times_path)
    for start in range(0, n_spikes, RUN_SPIKES):
        stop = min(start + RUN_SPIKES, n_spikes)
        with reading(path, source.spike_times_path):
            seconds = column[start:stop].reshape(-1).astype(np.float64, copy=False)
        if seconds.size != stop - start:
            raise RecordingError(
                f"{path}: {seconds.size} of {stop - start} spike times from number {start} on "
                "were read"
            )
        edges = np.clip(np.concatenate([[0], ends]), start, stop)
        units = np.repeat(rows, edges[1:] - edges[:-1])
        if not np.all(np.isfinite(seconds)):
            _refuse(tree, source, units[~np.isfinite(seconds)][0])
        if source.seconds_per_stored != 1:
            seconds = seconds * source.seconds_per_stored
        order = np.argsort(seconds, kind="stable")
        yield seconds[order], units[order]


def _merged(
    spill: IO[bytes], runs: list[_Run]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.unsignedinteger]]]:
    """All spikes of all runs in order of time, in pieces of about MERGE_SPIKES or less."""
    stretch = max(SHORTEST_STRETCH, MERGE_SPIKES // max(1, len(runs)))
    while runs:
        for run in runs:
            run.fill(spill, stretch)
        # Up to here nothing can come any more: each run that goes on, goes on later.
        until = min((float(run.seconds[-1]) for run in runs if run.has_more), default=np.inf)
        taken = [run.take(until) for run in runs]
        seconds = np.concatenate([piece[0] for piece in taken])
        units = np.concatenate([piece[1] for piece in taken])
        order = np.argsort(seconds, kind="stable")
        yield seconds[order], units[order]
        runs = [run for run in runs if run.has_more or run.seconds.size]


def _in_blocks(
    pieces: Iterable[tuple[NDArray[np.float64], NDArray[np.unsignedinteger]]], n_units: int
) -> Iterator[tuple[NDArray[np.void], int, float]]:
    """Pack pieces into whole blocks; only the last one of all is padded, with infinite times.

    Yields:
        (n,) blocks, the number of spikes in them, and the time of the last of these.
    """
    block = block_type(n_units)

    def packed(
        seconds: NDArray[np.float64], units: NDArray[np.unsignedinteger]
    ) -> NDArray[np.void]:
        blocks = np.empty(seconds.size // BLOCK_SPIKES, dtype=block)
        blocks["seconds"] = seconds.reshape(-1, BLOCK_SPIKES)
        blocks["units"] = units.reshape(-1, BLOCK_SPIKES)
        return blocks

    seconds = np.empty(0)
    units = np.empty(0, dtype=block["units"].base)
    for piece in pieces:
        seconds = np.concatenate([seconds, piece[0]])
        units = np.concatenate([units, piece[1]])
        whole = seconds.size // BLOCK_SPIKES * BLOCK_SPIKES
        if whole:
            yield packed(seconds[:whole], units[:whole]), whole, float(seconds[whole - 1])
            seconds, units = seconds[whole:], units[whole:]
    if seconds.size:
        padding = BLOCK_SPIKES - seconds.size
        padded = np.pad(seconds, (0, padding), constant_values=np.inf)
        yield packed(padded, np.pad(units, (0, padding))), seconds.size, float(seconds[-1])


def _column_at(tree: NwbTree, path: str) -> h5py.Dataset:
    column = tree.dataset(path)
    if column is None:
        raise RecordingError(
            f"{path}: is not in this file, or cannot be read; the spikes of a recording that is "
            "so large must be in the recording itself"
        )
    return column


def _opened_column(tree: NwbTree, name: str) -> h5py.Dataset:
    """A dataset with a cache in which one of its compressed chunks fits.

    HDF5 unpacks a chunk that is larger than its cache anew for every read from it. The size of
    the cache is that of the first opening as long as anything has the dataset open.
    """
    column = _column_at(tree, name)
    if column.chunks is None or not column.id.get_create_plist().get_nfilters():
        return column
    chunk_bytes = column.chunks[0] * column.dtype.itemsize
    if chunk_bytes > MAX_CHUNK_CACHE_BYTES:
        return column
    del column
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(521, max(chunk_bytes, 2**20), 1.0)
    return h5py.Dataset(h5py.h5d.open(tree.file.id, name.encode(), access))


def _refuse(tree: NwbTree, source: Source, row: int) -> None:
    labels = tree.dataset(source.index_path.rpartition("/")[0] + "/id")
    label = f"in row {row}" if labels is None else labels[int(row)]
    raise RecordingError(
        f"{source.path}: {source.spike_times_path}: unit {label} has a spike at a time that is "
        "NaN or infinite"
    )
