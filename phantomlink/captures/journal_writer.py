"""Writes a journal: records to a plain file, which is compressed when it is finished.

Nothing here starts a thread: whoever owns the writer calls it from one thread, but for `sync`,
which another may call, so that writing does not wait for the disk.
A finished segment is compressed in steps of a megabyte, one at a time whenever `compress_some` is
called, so that what waits to be written meanwhile does not wait for a whole segment.

Files of capture ID in its folder: `ID.plj` is the one that is being written, and in the end the
whole capture; `ID.000.plj` and so on are segments before it. The header in each says its number, so
that a crash at any moment leaves a set of which a reader knows what belongs together.
"""

from __future__ import annotations

import os
import shutil
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from phantomlink.captures.framing import COMPRESSED, PLAIN, SEGMENT_LENGTH, frame
from phantomlink.captures.records import End, Header, Record
from phantomlink.files.atomic_write import sync_folder
from phantomlink.files.lock import lock_nowait
from phantomlink.files.regular import open_regular

SEGMENT_BYTES = 64 * 2**20
_STEP_BYTES = 1 << 20
# Without O_BINARY Windows would write two bytes for each that looks like the end of a line.
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)


class JournalWriter:
    """One journal that is being written; its file is locked meanwhile.

    Args:
        folder: for its files; it is there.
        header: of the capture.
        segment_bytes: a segment that has so many is finished.

    Attributes:
        path: of the file that is the capture in the end.
        n_bytes: of all its records so far, as they are written.

    Nothing is touched before `open`. Any of its methods raises OSError where it cannot write; what
    was written before stays as it is.
    """

    def __init__(self, folder: Path, header: Header, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.path = folder / f"{header.capture_id}.plj"
        self.n_bytes = 0
        self._header = header
        self._segment_bytes = segment_bytes
        self._compressing: Iterator[None] = iter(())
        # Of the descriptor, which a sync must not see exchanged.
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def open(self) -> None:
        """Begin the file, with the header."""
        self._descriptor = self._open()

    def write(self, records: Iterable[Record]) -> None:
        """Append records, all or none. Anything may be lost until `sync`."""
        data = b"".join(frame(record.body()) for record in records)
        descriptor = self._open_descriptor
        begins = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            _write(descriptor, data)
        except OSError:
            # What follows half a record cannot be read.
            os.ftruncate(descriptor, os.lseek(descriptor, begins, os.SEEK_SET))
            raise
        self.n_bytes += len(data)

    def learned(self, header: Header) -> None:
        """What the header says has become known: write it again."""
        self._header = replace(header, segment=self._header.segment)
        self.write([self._header])

    def sync(self) -> None:
        """See that what was written is on the disk."""
        with self._lock:
            if self._descriptor is not None:
                os.fdatasync(self._descriptor)

    def next_segment_if_due(self) -> None:
        """Begin another segment if this one is large enough."""
        if os.lseek(self._open_descriptor, 0, os.SEEK_CUR) >= self._segment_bytes:
            self._next_segment()

    def compress_some(self) -> None:
        """Do some of what there is to compress."""
        next(self._compressing, None)

    def finish(self, end: End) -> None:
        """Write the end and make one compressed file of all segments."""
        self.write([end])
        self.sync()
        for _ in self._compressing:
            pass
        parts = [_segment_path(self.path, n) for n in range(self._header.segment)]
        aside = self.path.with_suffix(".plj.tmp")
        with _gone_if_it_fails(aside), aside.open("wb", buffering=0) as whole:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, whole)
            for _ in _compress(self.path, whole.fileno()):
                pass
            os.fsync(whole.fileno())
        _replace(aside, self.path)
        self.abandon()
        for part in parts:
            part.unlink()

    def abandon(self) -> None:
        """Close the file as it is; what reached the disk can be recovered."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None

    @property
    def _open_descriptor(self) -> int:
        """Of the file that is written to.

        Raises:
            OSError: there is none: the next segment could not be begun.
        """
        if self._descriptor is None:
            raise OSError(f"{self.path}: its next segment could not be begun")
        return self._descriptor

    def _open(self) -> int:
        descriptor = os.open(self.path, _NEW_FILE, 0o644)
        try:
            with _gone_if_it_fails(self.path):
                lock_nowait(descriptor)
                header = frame(self._header.body())
                self.n_bytes += _write(descriptor, PLAIN + header)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _next_segment(self) -> None:
        # Another finished one can only be left over where disks are slower than a capture grows.
        for _ in self._compressing:
            pass
        finished = _segment_path(self.path, self._header.segment)
        with self._lock:
            descriptor = self._open_descriptor
            os.fdatasync(descriptor)
            self.path.rename(finished)
            self._descriptor = None
            os.close(descriptor)
            self._header = replace(self._header, segment=self._header.segment + 1)
            self._descriptor = self._open()
        self._compressing = _compress_in_place(finished)


def is_being_written(path: Path) -> bool:
    """Whether some process writes to a journal."""
    try:
        with open_regular(path) as file:
            lock_nowait(file.fileno(), shared=True)
    except BlockingIOError:
        return True
    return False


def segment_paths(path: Path) -> list[Path]:
    """The files of finished segments of a capture, in order."""
    return sorted(path.parent.glob(f"{path.stem}.[0-9][0-9][0-9].plj"))


def _segment_path(path: Path, number: int) -> Path:
    return path.with_suffix(f".{number:03d}.plj")


def _compress_in_place(path: Path) -> Iterator[None]:
    aside = path.with_suffix(".plj.tmp")
    with _gone_if_it_fails(aside), aside.open("wb", buffering=0) as out:
        yield from _compress(path, out.fileno())
        os.fsync(out.fileno())
    _replace(aside, path)


def _compress(path: Path, out: int) -> Iterator[None]:
    """Append a plain segment to a file, compressed, a step at a time."""
    begins = os.lseek(out, 0, os.SEEK_END)
    _write(out, COMPRESSED + SEGMENT_LENGTH.pack(0))
    deflate, length = zlib.compressobj(1), 0
    with path.open("rb") as file:
        file.seek(len(PLAIN))
        while data := file.read(_STEP_BYTES):
            length += _write(out, deflate.compress(data))
            yield
    length += _write(out, deflate.flush())
    os.pwrite(out, SEGMENT_LENGTH.pack(length), begins + len(COMPRESSED))


def _write(descriptor: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(data)


@contextmanager
def _gone_if_it_fails(path: Path) -> Iterator[None]:
    """A disk that is full need not keep what was begun and is worth nothing."""
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _replace(aside: Path, path: Path) -> None:
    aside.rename(path)
    sync_folder(path.parent)
