"""Makes one whole file of what a process that died has left of a capture."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from phantomlink.captures.framing import (
    COMPRESSED,
    SEGMENT_LENGTH,
    DamagedError,
    frame,
    read_bodies,
)
from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.journal_writer import segment_paths
from phantomlink.files.atomic_write import written_atomically


def recover(path: Path) -> None:
    """Put the whole records of a capture without an end into one file, and remove the rest.

    One that has an end in a file of its own stays as it is. The result has no end: it is
    `recovered`, and says so wherever it is read.

    Args:
        path: of `ID.plj`; nobody writes to it.

    Raises:
        CaptureError: it is no journal.
        OSError: it cannot be written; what is there stays as it is.
    """
    for left in path.parent.glob(f"{path.stem}*.plj.tmp"):
        left.unlink(missing_ok=True)
    journal = Journal(path)
    for _ in journal.records():
        pass
    parts = segment_paths(path)
    if journal.end is not None and not parts:
        return
    if journal.end is None or journal.is_in_parts:
        whole = [*parts, path] if journal.is_in_parts else [path]
        with written_atomically(path, overwrite=True) as aside:
            _write(aside, whole)
    for part in parts:
        part.unlink(missing_ok=True)


def _write(aside: Path, parts: list[Path]) -> None:
    deflate, length = zlib.compressobj(1), 0
    with aside.open("xb") as out:
        out.write(COMPRESSED + SEGMENT_LENGTH.pack(0))
        for body in _bodies(parts):
            length += out.write(deflate.compress(frame(body)))
        length += out.write(deflate.flush())
        out.flush()
        os.pwrite(out.fileno(), SEGMENT_LENGTH.pack(length), len(COMPRESSED))


def _bodies(parts: list[Path]) -> Iterator[list[object]]:
    for part in parts:
        if not part.exists():
            continue  # the process died between two segments
        try:
            with part.open("rb") as file:
                yield from read_bodies(file)
        except DamagedError:
            return
