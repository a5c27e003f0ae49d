"""Which format opens a file: the one place that knows all of them."""

from __future__ import annotations

from pathlib import Path

from phantomlink.recordings.contents import OpenContents
from phantomlink.recordings.nwb.contents import open_contents as open_nwb_contents

SUFFIXES = frozenset({".nwb", ".h5", ".hdf5"})
"""Endings of files that may be recordings."""


def format_of(path: Path) -> OpenContents:
    """What opens this file; NWB in HDF5 is the only format so far, and says why it refuses."""
    del path
    return open_nwb_contents
