"""The file that tells a script that clients can connect, and where."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from phantomlink.errors import SettingsError
from phantomlink.files.atomic_write import written_atomically


class ReadyFile:
    """A file of JSON: url, port, pid. It is there while clients can connect, whole or not at all.

    Links are not followed: what is replaced and removed is the link. A file that another server
    has written in the meantime stays.

    Args:
        path: of the file; None for none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written: os.stat_result | None = None

    def __enter__(self) -> Self:
        """Remove the file of an earlier server.

        Raises:
            SettingsError: it cannot be removed, or its folder is not there.
        """
        if self._path is not None:
            if not self._path.parent.is_dir():
                raise SettingsError(f"--ready-file: there is no folder {self._path.parent}")
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                raise self._refused(error) from error
        return self

    def write(self, url: str, port: int) -> None:
        """Say that clients can connect.

        Raises:
            SettingsError: the file cannot be written.
        """
        if self._path is None:
            return
        content = json.dumps({"url": url, "port": port, "pid": os.getpid()})
        try:
            with written_atomically(self._path, overwrite=True) as part:
                part.write_text(f"{content}\n", encoding="utf-8")
                self._written = part.lstat()
        except OSError as error:
            raise self._refused(error) from error

    def remove(self) -> None:
        """Remove our file, if it is still there and ours."""
        if self._path is not None and self._written is not None:
            with suppress(OSError):
                if os.path.samestat(self._path.lstat(), self._written):
                    self._path.unlink()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def _refused(self, error: OSError) -> SettingsError:
        return SettingsError(f"--ready-file {self._path}: {error.strerror or error}")
