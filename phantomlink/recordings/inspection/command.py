"""`phantomlink inspect`: says what a recording has that can be played, and what it lacks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from phantomlink.errors import PhantomLinkError
from phantomlink.recordings.catalogue.datasets import find_datasets, told_before
from phantomlink.recordings.index_progress import IndexProgress
from phantomlink.recordings.inspection.findings import inspect_recording
from phantomlink.recordings.inspection.text import render, terminal_width
from phantomlink.recordings.not_recordings import refuse_address
from phantomlink.recordings.options import SeriesOptions


def run_inspect(
    file: str | Path, options: SeriesOptions, as_json: bool, data_dir: Path | None = None
) -> int:
    """`phantomlink inspect`: print it.

    Args:
        file: that is inspected, or the name of a dataset.
        options: to open it with; they go before those that the catalogue has for it.
        as_json: print it as JSON.
        data_dir: where the dataset of this name is looked for first; None: nowhere.

    Returns:
        Exit code: 0, or 2 after one line on stderr when the file is refused.
    """
    try:
        refuse_address(str(file))
        dataset = None if data_dir is None else find_datasets(data_dir).get(str(file))
        if dataset is not None and dataset.path is not None:
            file, options = dataset.path, told_before(dataset.options, options)
        with IndexProgress() as progress:
            inspection = inspect_recording(Path(file), options, progress=progress)
    except PhantomLinkError as error:
        sys.stderr.write(f"phantomlink: {error}\n")
        return 2
    if as_json:
        shown = json.dumps(inspection.as_json(), indent=2, allow_nan=False)
        sys.stdout.write(f"{shown}\n")
    else:
        sys.stdout.write(render(inspection, terminal_width()))
    return 0
