"""Whether a file is still, or again, the one that was opened."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from phantomlink.errors import RecordingError
from phantomlink.files.regular import open_regular

# Of one a thread that has a packet to send may wait for the end: half a millisecond.
_HASH_CHUNK_BYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A file at one moment.

    Attributes:
        size: bytes.
        mtime_ns: time of the last change of what is in it.
        device, inode: which file it is, whatever it is called.
    """

    size: int
    mtime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, file: Path | int) -> Self:
        """What a file is now.

        Args:
            file: path, or descriptor of an open one.

        Raises:
            OSError: it is not there, or cannot be asked.
        """
        status = os.stat(file)
        return cls(status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)

    @property
    def content(self) -> tuple[int, int]:
        """What is the same as long as nobody has written to it: size and time of change."""
        return self.size, self.mtime_ns

    @property
    def place(self) -> tuple[int, int]:
        """What is the same as long as it is the same file: device and inode."""
        return self.device, self.inode


class Original:
    """Knows the recording that was opened from any other file in its place.

    Args:
        path: of the recording.
        identity: of the file when it was opened.
    """

    def __init__(self, path: Path, identity: FileIdentity) -> None:
        self._path = path
        self._identity = identity
        # What was refused once is not hashed again every second.
        self._refused: FileIdentity | None = None

    def check(self, sha256: str | None) -> FileIdentity:
        """Whether the file at the path is the one that was opened, or a copy of it.

        It is when size and time of change are the same. With another time its SHA-256 has to be
        that of the original; where that is not known, the caller has to compare what is in it.

        Args:
            sha256: of the original; None when it is not known.

        Returns:
            What the file is now.

        Raises:
            RecordingError: there is none, or another one.
        """
        try:
            now = FileIdentity.of(self._path)
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise RecordingError(f"{self._path}: {reason}") from error
        if now.size != self._identity.size:
            raise RecordingError(
                f"{self._path}: cut short, or another file: {now.size} bytes are there, "
                f"the recording has {self._identity.size}"
            )
        if now.content == self._identity.content or sha256 is None:
            return now
        if now == self._refused or self._hashed() != sha256:
            self._refused = now
            raise RecordingError(
                f"{self._path}: another file is in its place: the recording's SHA-256 is {sha256}"
            )
        return now

    def _hashed(self) -> str:
        try:
            return sha256_of(self._path)
        except OSError as error:
            raise RecordingError(f"{self._path}: cannot be read: {error.strerror}") from error


def sha256_of(path: Path, *, rest: float = 0.0) -> str:
    """SHA-256 of a file, in hexadecimal; a large one takes seconds.

    Args:
        path: of the file.
        rest: sleeps so many times as long as it works: 3 leaves others three quarters of a core.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        began = time.perf_counter()
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
            if rest:
                time.sleep(rest * (time.perf_counter() - began))
                began = time.perf_counter()
    return digest.hexdigest()
