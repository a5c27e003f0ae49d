"""How much captures may write, and what their folder holds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from phantomlink.errors import DiskFullError

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class FolderUse:
    """What the folder of captures holds at one moment.

    Attributes:
        total_bytes: of its files.
        free_bytes: of its disk.
    """

    total_bytes: int
    free_bytes: int

    @classmethod
    def of(cls, folder: Path) -> FolderUse:
        """That of a folder.

        Raises:
            OSError: it cannot be read.
        """
        return cls(_bytes_in(folder), shutil.disk_usage(folder).free)


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """How much captures may write.

    Attributes:
        max_bytes: of one capture.
        total_bytes: of all that lies in the folder.
        min_free_bytes: that stay free on the disk.
    """

    max_bytes: int
    total_bytes: int
    min_free_bytes: int

    def check_room(self, folder: Path) -> None:
        """See that there is room for another capture in a folder, which is made.

        Raises:
            DiskFullError: there is none.
            OSError: the folder cannot be had.
        """
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < self.min_free_bytes:
            raise DiskFullError(
                f"{free // _MB} MB are free in {folder}, captures take "
                f"{self.min_free_bytes // _MB} or more (PHANTOM_CAPTURE_MIN_FREE_MB)"
            )

    def exceeded(self, n_bytes: int, use: FolderUse) -> str | None:
        """Which limit a capture of so many bytes has reached; None: it can go on."""
        if n_bytes > self.max_bytes:
            return f"it has {self.max_bytes // _MB} MB, as much as one may (CAPTURE_MAX_MB)"
        if use.free_bytes < self.min_free_bytes:
            return f"less than {self.min_free_bytes // _MB} MB are free (CAPTURE_MIN_FREE_MB)"
        if use.total_bytes > self.total_bytes:
            return f"all captures have {self.total_bytes // _MB} MB (CAPTURE_TOTAL_MB)"
        return None


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # finished meanwhile
    return total
