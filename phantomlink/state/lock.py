"""One server writes a state file: two of them would each put back the positions of the other."""

from __future__ import annotations

import os
from pathlib import Path

from phantomlink.files.lock import lock_nowait


class StateLockedError(OSError):
    """Another process has the lock."""


class StateLock:
    """A lock beside a state file. It ends with the process, however that ends.

    Args:
        path: of the state file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_suffix(".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it, without waiting; twice is fine. Where there are no locks, nothing happens.

        Raises:
            StateLockedError: another process has it.
            OSError: its file cannot be made.
        """
        if self._descriptor is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            lock_nowait(descriptor)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise StateLockedError(f"another server has {self._path}") from None
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it up; no matter whether it was had."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
