"""`phantomlink inspect`: says what a recording has that can be played, and what it lacks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from phantomlink.errors import RecordingError
from phantomlink.recordings.index_progress import IndexProgress
from phantomlink.recordings.inspection.findings import inspect_recording
from phantomlink.recordings.inspection.text import render, terminal_width
from phantomlink.recordings.not_recordings import refuse_address
from phantomlink.recordings.options import SeriesOptions


def run_inspect(file: str | Path, options: SeriesOptions, as_json: bool) -> int:
    """`phantomlink inspect`: print it.

    Returns:
        Exit code: 0, or 2 after one line on stderr when the file is refused.
    """
    try:
        refuse_address(str(file))
        with IndexProgress() as progress:
            inspection = inspect_recording(Path(file), options, progress=progress)
    except RecordingError as error:
        sys.stderr.write(f"phantomlink: {error}\n")
        return 2
    if as_json:
        shown = json.dumps(inspection.as_json(), indent=2, allow_nan=False)
        sys.stdout.write(f"{shown}\n")
    else:
        sys.stdout.write(render(inspection, terminal_width()))
    return 0
