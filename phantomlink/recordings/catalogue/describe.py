"""Opens a file in a child process and says what is in it.

A damaged file can make HDF5 itself crash or hang. A server that others listen to therefore opens
a file that it has never opened only after a child has: this is its program, and what asks it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from phantomlink.errors import PhantomLinkError, RecordingError
from phantomlink.recordings.catalogue.facts import Facts, FactsCache, facts_of
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.recording import open_recording

CHILD_SECONDS = 120.0
"""Longest that opening may take; making the index of a very large recording is done elsewhere."""

_REFUSED = 2
_PROBE_BINS = 64


def describe(path: Path, options: SeriesOptions, cache: FactsCache) -> Facts:
    """Facts of a file, from the cache, or else from a child that opens it.

    Blocks for as long as that takes.

    Raises:
        RecordingError: it is refused, or opening it took the child down, or too long.
    """
    known = cache.get(path, options)
    if known is not None:
        return known
    command = [sys.executable, "-m", __name__, str(path), json.dumps(asdict(options))]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RecordingError(f"{path}: opening it takes longer than {CHILD_SECONDS:g} s") from None
    if done.returncode == _REFUSED:
        raise RecordingError(done.stdout.decode("utf-8", errors="replace").strip())
    if done.returncode:
        raise RecordingError(
            f"{path}: damaged: opening it ends the process that tries "
            f"({_how_it_ended(done.returncode)})"
        )
    facts = cache.get(path, options)
    if facts is None:
        facts = json.loads(done.stdout)
        assert isinstance(facts, dict)
    return facts


def main(arguments: list[str]) -> int:
    """The child: open, read a few bins everywhere, print the facts, keep them."""
    path, options = Path(arguments[0]), SeriesOptions(**json.loads(arguments[1]))
    try:
        with open_recording(path, options=options) as recording:
            bins = recording.at_rate(Fraction(40)) if options.counts_series is None else None
            if bins is not None:
                for start in (0, bins.grid.n_bins // 2, bins.grid.n_bins - _PROBE_BINS):
                    first = max(0, start)
                    bins.read(first, min(first + _PROBE_BINS, bins.grid.n_bins))
            facts = facts_of(recording)
            FactsCache().put(path, options, recording.identity, facts)
    except PhantomLinkError as error:
        sys.stdout.buffer.write(str(error).encode("utf-8", errors="replace"))
        return _REFUSED
    sys.stdout.write(json.dumps(facts))
    return 0


def _how_it_ended(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
