"""One worker process only: sessions live in one, and a second one would have others of its own.

`hypercorn -w 2` gives the same port to two processes. A client that pauses a session by REST would
reach the process that has it only by chance. So the workers of one parent agree on one of them, by
a lock that the kernel takes back when its holder ends, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from phantomlink.errors import SettingsError

if sys.platform != "win32":
    import fcntl


class WorkerLock:
    """Held by the one worker of a server that serves.

    A process that no other Python process has started is not a worker, and needs none. On Windows
    there is no lock of this kind: there, nothing is checked.

    Args:
        parent_pid: whose workers we are one of; None to find out.
    """

    def __init__(self, parent_pid: int | None = None) -> None:
        if parent_pid is None:
            parent = multiprocessing.parent_process()
            parent_pid = None if parent is None else parent.pid
        self._path: Path | None = None
        if parent_pid is not None and sys.platform != "win32":
            self._path = _path_of(parent_pid)
        self._file: int | None = None

    def __enter__(self) -> WorkerLock:
        """Take the lock.

        Raises:
            SettingsError: another worker of the same server has it, or there can be none.
        """
        if self._path is not None and sys.platform != "win32":
            try:
                _remove_abandoned()
                self._file = _locked_file(self._path)
            except BlockingIOError:
                raise SettingsError(
                    "workers: got more than one (hypercorn -w), takes 1, since sessions live in "
                    "one process"
                ) from None
            except OSError as error:
                raise SettingsError(f"{self._path}: cannot be locked: {error}") from error
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it back, and leave no file."""
        if self._file is not None and self._path is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


if sys.platform != "win32":

    def _path_of(parent_pid: int | str) -> Path:
        name = f"phantomlink-{os.getuid()}-workers-of-{parent_pid}.lock"
        return Path(tempfile.gettempdir()) / name

    def _remove_abandoned() -> None:
        """Remove what workers left that were killed, as far as their parents are gone too."""
        pattern = _path_of("*")
        for path in pattern.parent.glob(pattern.name):
            parent_pid = path.stem.rpartition("-")[2]
            if not parent_pid.isdecimal() or _runs(int(parent_pid)):
                continue
            try:
                file = _locked_file(path)
            except OSError:
                continue  # its holder has outlived its parent, or it is none of ours
            path.unlink(missing_ok=True)
            os.close(file)

    def _runs(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            pass
        return True

    def _locked_file(path: Path) -> int:
        """A descriptor of the file, locked.

        Raises:
            BlockingIOError: another process has the lock.
            OSError: the file cannot be made.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            file = os.open(path, flags, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The file that we locked may be one that its last holder has just taken away.
                if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                    return file
            except OSError:
                os.close(file)
                raise
            os.close(file)
