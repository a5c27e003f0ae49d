"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED_SECONDS = 3600.0
"""A part that nobody has written to for so long was left by a process that was killed."""


@contextmanager
def written_atomically(path: Path, *, overwrite: bool, is_cache: bool = False) -> Iterator[Path]:
    """Write a file under another name beside it and rename it when it is whole and on disk.

    Args:
        path: where the file is to be; its folder must exist.
        overwrite: whether a file that is there may be replaced.
        is_cache: whether it may be lost or cut by a loss of power: then the disk is not waited for.

    Yields:
        The path to write to, in the same folder; nothing is there yet.

    Raises:
        FileExistsError: there is a file, perhaps since just now, and `overwrite` is false.
        OSError: what writing raised. Then `path` is as it was and the part is gone.
    """
    if not overwrite and path.exists():
        raise FileExistsError(f"{path} exists")
    _remove_abandoned(path)
    part = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.part")
    try:
        yield part
        if not is_cache:
            _sync(part, os.O_RDWR)
        if overwrite:
            part.replace(path)
        else:
            _move_to_new(part, path)
        if not is_cache:
            sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _move_to_new(part: Path, path: Path) -> None:
    try:
        # A link fails when the name is taken, which a rename does not.
        os.link(part, path)
    except FileExistsError:
        raise FileExistsError(f"{path} exists") from None
    except OSError:
        # No hard links on this file system.
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        part.replace(path)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """What was renamed in a folder stays so over a loss of power, where the system can do that."""
    # Windows cannot open a folder, and some network file systems cannot sync one.
    with suppress(OSError):
        _sync(folder, os.O_RDONLY)


def _remove_abandoned(path: Path) -> None:
    for part in path.parent.glob(f".{_escaped(path.name)}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
                part.unlink()


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
