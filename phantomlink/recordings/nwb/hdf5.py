"""Opening an NWB file, and what every reader of it needs: errors of one line, text, its watch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from phantomlink.errors import RecordingError
from phantomlink.files.shown import shown
from phantomlink.recordings.identity import FileIdentity
from phantomlink.recordings.not_recordings import reason_against

# What h5py raises on a damaged file; which one it is depends on the damaged place.
HDF5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError, IndexError)


@contextmanager
def reading(path: Path, what: str = "") -> Iterator[None]:
    """Say in one line what could not be read, and in which file.

    Args:
        path: the recording.
        what: the part of it that is read.

    Raises:
        RecordingError: in place of whatever h5py raises.
    """
    try:
        yield
    except RecordingError as error:
        if str(error).startswith(str(path)):
            raise
        raise RecordingError(f"{path}: {error}") from error
    except HDF5_ERRORS as error:
        part = f" {what}" if what else ""
        raise RecordingError(f"{path}: cannot read{part}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The message of an exception without line breaks; its type where it has none."""
    return shown(" ".join(str(error).split()), 600) or type(error).__name__


def open_nwb(path: Path) -> h5py.File:
    """Open an NWB 2 file for reading.

    Raises:
        RecordingError: not there, not readable, not HDF5, truncated, or not NWB.
    """
    if (reason := reason_against(path)) is not None:
        raise RecordingError(f"{path}: {reason}")
    if not h5py.is_hdf5(path):
        raise RecordingError(f"{path}: not an HDF5 file, so not an NWB recording")
    try:
        file = h5py.File(path, "r")
    except HDF5_ERRORS as error:
        raise RecordingError(f"{path}: {_damage(error)}") from error
    try:
        with reading(path, "its root"):
            _check_nwb(path, file)
    except RecordingError:
        file.close()
        raise
    return file


class Unchanged:
    """Notices that a file has been written to since it was opened.

    HDF5 fills what lies beyond the end of a file with zeros and reports no error, so a file that
    is cut while it plays would go on as silence; and one that is overwritten, as something else.

    Attributes:
        identity: of the file when it was opened.
    """

    def __init__(self, file: h5py.File) -> None:
        self._descriptor: int = file.id.get_vfd_handle()
        self.identity = FileIdentity.of(self._descriptor)

    def check(self) -> None:
        """Call after reading: what was read before is then known to be what was there.

        Raises:
            RecordingError: the file is shorter than when it was opened, or has been written to.
        """
        now = FileIdentity.of(self._descriptor)
        if now.size < self.identity.size:
            raise RecordingError(
                f"the file was cut while it was open: {now.size} of {self.identity.size} bytes "
                "are left"
            )
        if now.content != self.identity.content:
            raise RecordingError("the file was written to while it was open")


def text(value: object) -> str:
    """Text of an attribute or scalar dataset; several lines or items joined by a comma."""
    if isinstance(value, h5py.Dataset):
        value = value[()]
    if isinstance(value, str):
        # h5py keeps bytes that are no UTF-8 as lone surrogates, which nobody can encode.
        value = value.encode("utf-8", errors="surrogateescape")
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray):
        return ", ".join(text(item) for item in value.ravel())
    return str(value)


def neurodata_type(item: h5py.Group | h5py.Dataset) -> str:
    """The NWB type of a group or dataset; empty where it has none."""
    return text(item.attrs.get("neurodata_type", ""))


def _check_nwb(path: Path, file: h5py.File) -> None:
    version = text(file.attrs.get("nwb_version", ""))
    if neurodata_type(file) != "NWBFile" and not version:
        raise RecordingError(
            f"{path}: HDF5, but not NWB: its root has neither neurodata_type NWBFile "
            "nor nwb_version"
        )
    if version.split(".")[0] in ("0", "1"):
        raise RecordingError(f"{path}: NWB {version}; only NWB 2 is read")


def _damage(error: BaseException) -> str:
    message = one_line(error)
    if isinstance(error, BlockingIOError):
        return "another program has it open for writing; try again when that is done"
    sizes = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", message)
    if sizes:
        return f"truncated HDF5 file: {sizes[1]} of {sizes[2]} bytes are there"
    return f"damaged HDF5 file: {message}"
