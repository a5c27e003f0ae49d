"""What lies where a recording should be, when it is none: each kind has its own line and command.

Data that are kept with git-annex or Git LFS leave a pointer where the content was not fetched, and
people name addresses where a file is needed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from phantomlink.errors import RecordingError
from phantomlink.files.regular import open_regular

# More than one letter, so that a drive of Windows is none.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://?")
_LFS = b"version https://git-lfs.github.com/spec/"
_ANNEX = b"/annex/objects/"
_HEAD_BYTES = 512


def refuse_address(text: str) -> None:
    """Refuse an address (https://, s3://) in place of a path, as it was given.

    Raises:
        RecordingError: it is one.
    """
    if _ADDRESS.match(text) is None:
        return
    if text.endswith(".lindi.json"):
        raise RecordingError(f"{text}: is an address of references to a recording; {_GET_NWB}")
    raise RecordingError(
        f"{text}: is an address; recordings are played from files of this machine: download it "
        "first (curl -LO ADDRESS, or phantomlink fetch NAME for those that `phantomlink datasets` "
        "lists)"
    )


def reason_against(path: Path) -> str | None:
    """Why the file at this path cannot be opened as a recording; None when nothing is against it.

    Only looks at what kind of thing it is and at its first bytes.
    """
    if path.is_dir():
        return _reason_against_folder(path)
    if path.is_symlink() and not path.exists():
        target = os.readlink(path)
        if ".git/annex/" in target:
            return (
                "is a link of git-annex whose content is not here; get it: "
                f"git annex get {path.name} (or datalad get {path.name})"
            )
        return f"is a link to {target}, which is not there"
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        kind = error.strerror or str(error)
        return kind if kind.startswith("is ") else f"cannot be opened: {kind}"
    return _reason_against_head(path, head)


def _reason_against_head(path: Path, head: bytes) -> str | None:
    if head.startswith(_LFS):
        return f"is a pointer of Git LFS, not the content; get it: git lfs pull -I {path.name}"
    if head.lstrip().startswith(_ANNEX):
        return (
            "is a pointer of git-annex, not the content; get it: "
            f"git annex get {path.name} (or datalad get {path.name})"
        )
    if path.name.endswith(".lindi.json") or (head.lstrip()[:1] == b"{" and b'"refs"' in head):
        return f"has references to a recording (LINDI), not the recording; {_GET_NWB}"
    return None


def _reason_against_folder(path: Path) -> str:
    if any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json", ".zmetadata")):
        return (
            "is a directory of Zarr; only NWB in HDF5 is read: convert it, in Python, with "
            "hdmf_zarr.NWBZarrIO(..., 'r') and pynwb.NWBHDF5IO(..., 'w').export(...)"
        )
    return "is a directory, not an NWB file"


_GET_NWB = "download the NWB file that it refers to, and name that"
