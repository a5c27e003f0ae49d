"""`phantomlink convert IN OUT.nwb`."""

from __future__ import annotations

import sys
from pathlib import Path

from phantomlink.errors import PhantomLinkError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.files.regular import check_regular
from phantomlink.recordings.convert.converted import (
    ConversionError,
    Converted,
    write_converted,
)
from phantomlink.recordings.convert.neo_spikes import REFUSED, SUFFIXES, read_neo
from phantomlink.recordings.convert.xdf import read_xdf


def run_convert(source: Path, out: Path, *, session: str | None, overwrite: bool) -> int:
    """Make an NWB file of another kind of file.

    Returns:
        Exit code: 0, or 2 after one line on stderr.
    """
    try:
        found = read_source(source, session)
        with written_atomically(out, overwrite=overwrite) as part:
            write_converted(part, found, source)
    except FileExistsError:
        sys.stderr.write(f"phantomlink: {out}: exists already; --overwrite replaces it\n")
        return 2
    except PhantomLinkError as error:
        sys.stderr.write(f"phantomlink: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"phantomlink: {out}: cannot be written: {error.strerror or error}\n")
        return 2
    n_spikes = sum(times.size for times in found.spikes)
    sys.stderr.write(f"{out}: {len(found.unit_ids)} units, {n_spikes} spikes\n")
    return 0


def read_source(source: Path, session: str | None) -> Converted:
    """What a file of another kind says.

    Raises:
        ConversionError: it cannot be read, or is of a kind that is not taken.
    """
    suffix = source.suffix.lower()
    if suffix in REFUSED:
        raise ConversionError(f"{source}: {suffix} is not converted: {REFUSED[suffix]}")
    try:
        check_regular(source)
    except OSError as error:
        raise ConversionError(f"{source}: {error.strerror or error}") from error
    if suffix == ".xdf":
        return read_xdf(source, session)
    if suffix in SUFFIXES:
        return read_neo(source)
    raise ConversionError(
        f"{source}: takes .xdf of PhantomLink's LSL streams, or {', '.join(SUFFIXES)}"
    )
