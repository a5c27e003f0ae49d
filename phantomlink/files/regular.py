"""Opening files that somebody else names: only regular ones, and only so many bytes of them.

A FIFO or a device at the place of a recording, a state file or a token would block whoever opens
it, or never end. Opened without blocking and looked at before a byte is read, it is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

# Windows has neither, and no FIFOs that a path could name.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


class NotRegularError(OSError):
    """What is there is no regular file; `strerror` says what it is."""

    def __init__(self, path: Path, mode: int) -> None:
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        super().__init__(None, f"is {kind}, not a regular file", str(path))
        self.strerror = f"is {kind}, not a regular file"

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class TooLargeError(OSError):
    """A file is larger than what it is read for allows; `strerror` says both."""

    def __init__(self, path: Path, size: int, at_most: int) -> None:
        super().__init__(None, f"has {size} bytes; at most {at_most} are read", str(path))
        self.strerror = f"has {size} bytes; at most {at_most} are read"

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without buffering; links are followed.

    Raises:
        NotRegularError: it is a FIFO, a device, a socket or a directory.
        OSError: it is not there, or may not be read.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        _check_kind(path, descriptor)
        return open(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def _check_kind(path: Path, descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise NotRegularError(path, mode)


def check_regular(path: Path) -> None:
    """Whether a path names a regular file that may be read; opens and closes it.

    Raises:
        NotRegularError: it is something else.
        OSError: it is not there, or may not be read.
    """
    open_regular(path).close()


def read_regular(path: Path, at_most: int) -> bytes:
    """The whole content of a small regular file.

    Args:
        path: of it.
        at_most: bytes that it may have.

    Raises:
        NotRegularError: it is something else.
        TooLargeError: it has more bytes.
        OSError: it is not there, or cannot be read.
    """
    with open_regular(path) as file:
        parts, size = [], 0
        while part := file.read(at_most + 1 - size):
            parts.append(part)
            size += len(part)
            if size > at_most:
                raise TooLargeError(path, max(size, os.fstat(file.fileno()).st_size), at_most)
        return b"".join(parts)
