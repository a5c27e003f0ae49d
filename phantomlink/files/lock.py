"""Locks between processes on open files, where the system has them: Windows has not."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def lock_nowait(descriptor: int, *, shared: bool = False) -> None:
    """Lock a file for as long as it is open. Where there are no such locks, nothing happens.

    Args:
        descriptor: of the open file.
        shared: others may lock it so too.

    Raises:
        BlockingIOError: another process, or another opening of the file, has it.
        OSError: it cannot be locked.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
