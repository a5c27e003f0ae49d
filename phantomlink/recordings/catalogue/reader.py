"""The process that opens files for a server, one after the other.

A damaged file can make HDF5 itself crash or hang, and reading a file keeps the interpreter busy.
So a server has its files read by this program, which has imported already what that needs. It
takes a line of JSON for each file and answers with what `send` writes. It does not fork for each:
that took as long again as reading a file, as nearly all memory it touched had to be copied first.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from phantomlink.errors import PhantomLinkError
from phantomlink.recordings.catalogue.facts import Facts, FactsCache, facts_of
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.read_contents import ReadContents, send
from phantomlink.recordings.recording import open_recording

CHILD_SECONDS = 120.0
"""Longest that opening may take; making the index of a very large recording is done elsewhere."""

IDLE_SECONDS = 60.0
"""How long the program waits for a further file."""

READY = b"\n"
"""What the program writes first, when it has imported all that it needs."""

_PROBE_BINS = 64
_REQUEST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one file.

    Attributes:
        facts: of it; None when it is refused.
        contents: all of it; None when it is refused, or too large for memory.
        refused: why, in one line; None when it is not.
    """

    facts: Facts | None = None
    contents: ReadContents | None = None
    refused: str | None = None


def read_file(path: Path, options: SeriesOptions, rates_hz: Sequence[Fraction] = ()) -> Answer:
    """Open a file, read all or a few bins everywhere, and keep its facts.

    Args:
        path: of the file.
        options: to open it with.
        rates_hz: of bins that are wanted, too.
    """
    try:
        with open_recording(path, options=options) as recording:
            if not recording.in_memory and options.counts_series is None:
                bins = recording.at_rate(Fraction(40))
                for start in (0, bins.grid.n_bins // 2, bins.grid.n_bins - _PROBE_BINS):
                    first = max(0, start)
                    bins.read(first, min(first + _PROBE_BINS, bins.grid.n_bins))
            facts = facts_of(recording)
            FactsCache().put(path, options, recording.identity, facts)
            return Answer(facts, recording.read_contents(rates_hz))
    except PhantomLinkError as error:
        return Answer(refused=str(error))


def main() -> int:
    """Answer requests until there are no more, or none comes for a while."""
    os.write(sys.stdout.fileno(), READY)
    # Windows has neither: there it goes when the server does.
    has_alarm = hasattr(signal, "alarm")
    while not has_alarm or select.select([0], [], [], IDLE_SECONDS)[0]:
        line = _line()
        if not line:
            break
        if has_alarm:
            # For when the disk of the file hangs, and the server that would end this has gone.
            signal.alarm(int(CHILD_SECONDS) + 1)
        _answer(line)
        if has_alarm:
            signal.alarm(0)
    return 0


def _line() -> bytes:
    """One request: a line, which is written at once."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, _REQUEST_BYTES)
        if not part:
            return b""
        line += part
    return line


def _answer(line: bytes) -> None:
    path, options, rates = json.loads(line)
    answer = read_file(
        Path(os.fsdecode(bytes.fromhex(path))), SeriesOptions(**options), [*map(Fraction, rates)]
    )
    send(answer, sys.stdout.buffer)
