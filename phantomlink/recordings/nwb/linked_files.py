"""Other files that a recording links to: opened only inside its own folder, and when allowed."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from phantomlink.errors import RecordingError
from phantomlink.files.regular import check_regular
from phantomlink.recordings.nwb.hdf5 import HDF5_ERRORS, Unchanged, one_line

_PREFIX_VARIABLE = "HDF5_VDS_PREFIX"


class LinkedFileError(Exception):
    """A linked file is not read.

    Attributes:
        remedy: what a person can do; empty where that is nothing.
        may_be_allowed: it is there, and would be read if the operator allowed it.
    """

    def __init__(self, message: str, remedy: str, *, may_be_allowed: bool = False) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.may_be_allowed = may_be_allowed


class LinkedFiles:
    """The other files of one recording.

    Args:
        recording: path of it.
        follow: whether they are read at all.

    Attributes:
        folder: of the recording, after symbolic links; they must be in it.
    """

    def __init__(self, recording: Path, *, follow: bool) -> None:
        self.folder = recording.resolve().parent
        self._follow = follow
        self._open: dict[Path, tuple[h5py.File, Unchanged]] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of those that are open."""
        return tuple(self._open)

    def opened(self, name: str, *, is_virtual: bool = False) -> h5py.Group:
        """The root of a linked file.

        Args:
            name: as the recording says it.
            is_virtual: HDF5 itself will open it, by that name.

        Raises:
            LinkedFileError: it is not read.
        """
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder):
            raise LinkedFileError(
                f"is in another file, {name}, outside of the recording's folder",
                "files elsewhere are never read; copy it into the folder and into the recording",
            )
        # Of files outside not even this is told.
        if not path.exists():
            raise LinkedFileError(
                f"is in another file, {name}, which is not there",
                f"get it to {path.relative_to(self.folder)} in the recording's folder",
            )
        if not self._follow:
            raise LinkedFileError(
                f"is in another file, {name}, which is not read", "", may_be_allowed=True
            )
        if is_virtual and (Path(name).is_absolute() or "%" in name):
            raise LinkedFileError(f"is in {name}: only plain relative names are read", "")
        if is_virtual and os.environ.get(_PREFIX_VARIABLE):
            raise LinkedFileError(
                f"is in {name}, and {_PREFIX_VARIABLE} sends HDF5 elsewhere",
                f"unset {_PREFIX_VARIABLE}",
            )
        found = self._open.get(path)
        if found is None:
            try:
                check_regular(path)
                file = h5py.File(path, "r")
            except HDF5_ERRORS as error:
                raise LinkedFileError(
                    f"is in another file, {name}, which cannot be read: {one_line(error)}", ""
                ) from error
            found = self._open[path] = file, Unchanged(file)
        return found[0]["/"]

    def check(self) -> None:
        """Whether they are still what they were.

        Raises:
            RecordingError: one is not.
        """
        for path, (_, unchanged) in self._open.items():
            try:
                unchanged.check()
            except RecordingError as error:
                raise RecordingError(f"{path.name}, which it links to: {error}") from error

    def close(self) -> None:
        """Close them; closing twice is fine."""
        for file, _ in self._open.values():
            file.close()
