"""Spike files of acquisition systems, as Neo reads them: Blackrock .nev.

Neo reads the spikes of these; it reads none of Intan's and of Open Ephys' binary format, and for
Plexon's .pl2 it needs a library of the vendor that is downloaded: these are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.convert.converted import ConversionError, Converted

_READERS = {".nev": "BlackrockRawIO"}
SUFFIXES = tuple(_READERS)
REFUSED = {
    ".pl2": "Neo needs a library of Plexon's for it, which it downloads; write the units as NWB",
    ".plx": "no such file was tried; read it with Neo yourself and write the units as NWB",
    ".spikes": "no such file was tried; read it with Neo yourself and write the units as NWB",
    ".rhd": "Neo reads no spikes of Intan's files; sort them first and write the units as NWB",
    ".rhs": "Neo reads no spikes of Intan's files; sort them first and write the units as NWB",
    ".oebin": "Neo reads no spikes of Open Ephys' binary format; write the units as NWB",
}


def read_neo(path: Path) -> Converted:
    """Units and spikes of a file.

    Raises:
        ConversionError: Neo is not installed or cannot read it, or it has no spikes.
    """
    reader = _opened(path)
    channels = reader.header["spike_channels"]
    if not len(channels):
        raise ConversionError(f"{path}: has no units with spikes")
    if reader.block_count() != 1:
        raise ConversionError(f"{path}: has {reader.block_count()} blocks, takes one")
    spikes = [_times(reader, number) for number in range(len(channels))]
    first = min((float(times[0]) for times in spikes if times.size), default=0.0)
    return Converted(
        description=f"Spikes of {path.name}, read by Neo ({type(reader).__name__})",
        start_time=None,
        unit_ids=list(range(len(channels))),
        labels=[str(channel["name"]) for channel in channels],
        spikes=[times - min(first, 0.0) for times in spikes],
    )


def _opened(path: Path) -> Any:
    try:
        from neo import rawio  # noqa: PLC0415
    except ImportError:
        raise ConversionError(
            "spike files need the package neo: pip install 'phantomlink[convert]'"
        ) from None
    reader_class = getattr(rawio, _READERS[path.suffix.lower()])
    try:
        reader = reader_class(filename=str(path))
        reader.parse_header()
    except Exception as error:
        # A parser of foreign files fails in any way on a damaged one; in here nothing else runs.
        raise ConversionError(
            f"{path}: Neo cannot read it: {type(error).__name__}: {error}"
        ) from error
    return reader


def _times(reader: Any, number: int) -> NDArray[np.float64]:
    """(n,) s, of one unit, over all segments, ascending."""
    parts = []
    for segment in range(reader.segment_count(0)):
        stored = reader.get_spike_timestamps(
            block_index=0, seg_index=segment, spike_channel_index=number
        )
        parts.append(reader.rescale_spike_timestamp(stored, dtype="float64"))
    return np.sort(np.concatenate(parts)) if parts else np.empty(0)
