"""Which format opens a file: the one place that knows all of them."""

from __future__ import annotations

from pathlib import Path

from phantomlink.recordings.contents import OpenContents

SUFFIXES = frozenset({".nwb", ".h5", ".hdf5"})
"""Endings of files that may be recordings."""


def format_of(path: Path) -> OpenContents:
    """What opens this file; NWB in HDF5 is the only format so far, and says why it refuses."""
    del path
    # Whoever opens a file does so in a thread, and the library of a format is not a light one.
    from phantomlink.recordings.nwb.contents import open_contents  # noqa: PLC0415

    return open_contents
