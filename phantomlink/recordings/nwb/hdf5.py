"""Opening an NWB file, and what every reader of it needs: errors of one line, text, indices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.identity import FileIdentity

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
    return " ".join(str(error).split()) or type(error).__name__


def open_nwb(path: Path) -> h5py.File:
    """Open an NWB 2 file for reading.

    Raises:
        RecordingError: not there, not readable, not HDF5, truncated, or not NWB.
    """
    if path.is_dir():
        hint = " (NWB in Zarr folders is not read; convert it to HDF5)" if _is_zarr(path) else ""
        raise RecordingError(f"{path}: is a directory, not an NWB file{hint}")
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise RecordingError(f"{path}: no such file") from None
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened: {error.strerror}") from error
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
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray):
        return ", ".join(text(item) for item in value.ravel())
    return str(value)


def neurodata_type(item: h5py.Group | h5py.Dataset) -> str:
    """The NWB type of a group or dataset; empty where it has none."""
    return text(item.attrs.get("neurodata_type", ""))


def ragged_ends(index: h5py.Dataset, length: int, path: str) -> NDArray[np.int64]:
    """Where each row of a ragged column ends.

    Args:
        index: the VectorIndex.
        length: of what it points into.
        path: of the index, for the message.

    Returns:
        (n,) int64, not decreasing: NWB writes the smallest unsigned integer that fits, in which
        a difference would wrap around.

    Raises:
        RecordingError: it points outside.
    """
    raw = index[...]
    if raw.ndim != 1 or raw.dtype.kind not in "iu":
        raise RecordingError(f"{path}: is not a list of whole numbers")
    ends: NDArray[np.int64] = raw.astype(np.int64)
    if ends.size and (ends[0] < 0 or ends[-1] > length or bool(np.any(np.diff(ends) < 0))):
        raise RecordingError(
            f"{path}: points outside its data: runs from {ends.min()} to {ends.max()}, "
            f"allowed is ascending, 0 to {length}"
        )
    return ends


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


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))
