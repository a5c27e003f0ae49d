"""Filters that datasets are compressed with: which is missing, by a name that people know."""

from __future__ import annotations

import importlib
from contextlib import suppress

import h5py

# Registered with The HDF Group; those that recordings use.
_NAMES = {
    4: "SZIP",
    307: "BZip2",
    32001: "Blosc",
    32004: "LZ4",
    32008: "Bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32017: "SZ",
    32022: "BitGroom",
    32026: "Blosc2",
    32028: "FLAC",
    32029: "WavPack",
}


def missing_filter(layout: h5py.h5p.PropDCID) -> str | None:
    """The first filter of a dataset that cannot be undone here; None when there is none.

    Those of hdf5plugin are registered when one is met for the first time, so that importing it
    costs nothing where it is not needed, and no environment variable is needed.
    """
    for code, name in _filters(layout):
        if h5py.h5z.filter_avail(code):
            continue
        with suppress(ImportError):
            importlib.import_module("hdf5plugin")
        if not h5py.h5z.filter_avail(code):
            return f"{_NAMES.get(code) or name or 'a filter without a name'} (HDF5 filter {code})"
    return None


def _filters(layout: h5py.h5p.PropDCID) -> list[tuple[int, str]]:
    found = []
    for position in range(layout.get_nfilters()):
        code, _flags, _values, name = layout.get_filter(position)
        found.append((int(code), name.decode("utf-8", errors="replace")))
    return found
