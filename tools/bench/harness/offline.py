"""What tools share that time code of the package on a recording, without a server."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from phantomlink.recordings.bins import Bins
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import synthesize

from .server import positive


def read_arguments(description: str | None, counted: str, n: int, about: str) -> argparse.Namespace:
    """What the command line says: `recording`, `rounds`, `json`, and how many of what.

    Args:
        description: of the tool.
        counted: the option of what a round consists of.
        n: of them, by default.
        about: them.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, whole = parser.add_argument, positive(int)
    add("recording", nargs="?", type=Path, help="default: a synthetic one")
    add(counted, type=whole, default=n, help=f"{about} (%(default)s)")
    add("--rounds", type=whole, default=21, help="(%(default)s)")
    add("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


@contextmanager
def opened_bins(path: Path | None) -> Iterator[Bins]:
    """The bins at 40 Hz of a recording; None: of a synthetic one, made for it."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "synthetic.nwb"
            synthesize(path, trials=12)
        with open_recording(path) as recording:
            yield recording.at_rate(Fraction(40))
