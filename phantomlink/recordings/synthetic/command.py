"""Makes the file: what `phantomlink synth` and a first `phantomlink serve` call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from phantomlink.errors import InvalidParameterError, RecordingError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.recordings.synthetic.nwb import write_recording
from phantomlink.recordings.synthetic.recording import (
    DEFAULT_UNITS,
    SyntheticRecording,
    check_arguments,
    draw_recording,
)


def synthesize(
    out: Path,
    *,
    units: int = DEFAULT_UNITS,
    trials: int | None = None,
    seed: int = 0,
    duration_seconds: float | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    draw: Callable[..., SyntheticRecording] = draw_recording,
) -> None:
    """Make a synthetic recording like MC_Maze_Small.

    The file is the same, byte for byte, for the same arguments and versions, see
    `write_recording`. It is written beside its place and renamed when it is whole, so that nobody
    ever finds half of one. Its folder must exist.

    Args:
        out: the NWB file to make.
        units: 1 to 1728.
        trials: 1 to 2000; 100 when neither this nor a duration is given.
        seed: 0 or more.
        duration_seconds: as many whole trials as reach this time, instead of `trials`.
        overwrite: whether a file that is there may be replaced.
        progress: called with steps done and steps in all.
        draw: draws it, as `draw_recording` does.

    Raises:
        InvalidParameterError: an argument outside its range, or both trials and a duration.
        RecordingError: the file exists, or cannot be written.
    """
    check_arguments(units=units, trials=trials, seed=seed, duration_seconds=duration_seconds)
    # Drawing and writing take about as long.
    steps = 2 * units
    report = progress or (lambda done, total: None)
    with making(out, overwrite=overwrite) as part:
        recording = draw(
            units=units,
            trials=trials,
            seed=seed,
            duration_seconds=duration_seconds,
            progress=lambda units_done: report(units_done, steps),
        )
        write_recording(part, recording)
    report(steps, steps)


def run_synth(
    out: Path,
    units: int = DEFAULT_UNITS,
    trials: int | None = None,
    seed: int = 0,
    duration: float | None = None,
    overwrite: bool = False,
    draw: Callable[..., SyntheticRecording] = draw_recording,
) -> int:
    """`phantomlink synth`: make the file with a progress bar on stderr.

    Returns:
        Exit code: 0, or 2 after one line on stderr about what was wrong.
    """

    def make(progress: Callable[[int, int], None] | None = None) -> None:
        synthesize(
            out,
            units=units,
            trials=trials,
            seed=seed,
            duration_seconds=duration,
            overwrite=overwrite,
            progress=progress,
            draw=draw,
        )

    try:
        # rich takes time to import, and into a file or a log it would write an empty line.
        if sys.stderr.isatty():
            _with_bar(make)
        else:
            make()
    except (InvalidParameterError, RecordingError) as error:
        sys.stderr.write(f"phantomlink synth: {error}\n")
        return 2
    size_mb = out.stat().st_size / 1e6
    sys.stderr.write(f"{out}: synthetic recording, {units} units, {size_mb:.1f} MB\n")
    return 0


def _with_bar(make: Callable[[Callable[[int, int], None]], None]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Making a synthetic recording", total=None)
        make(lambda done, total: bar.update(task, completed=done, total=total))


@contextmanager
def making(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a path to write to that becomes `out` when it is whole.

    Raises:
        RecordingError: `out` exists and may not be replaced, or cannot be written.
    """
    if out.is_dir():
        raise RecordingError(f"{out}: is a folder; give the name of a file to make")
    if not out.parent.is_dir():
        raise RecordingError(f"{out}: there is no folder {out.parent}; make it, or mend the path")
    try:
        with written_atomically(out, overwrite=overwrite) as part:
            yield part
    except FileExistsError:
        raise RecordingError(
            f"{out}: exists already; give another name, or allow overwriting"
        ) from None
    except (OSError, RuntimeError) as error:
        # HDF5 raises RuntimeError when the disk is full as it closes.
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise RecordingError(f"{out}: cannot be written: {reason}") from error
