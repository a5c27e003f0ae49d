"""Which recording to play, and the synthetic one that is made when there is none."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import platformdirs

from phantomlink.errors import RecordingError
from phantomlink.recordings.formats import SUFFIXES
from phantomlink.recordings.not_recordings import refuse_address
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

# Part of the name, so that a version that makes other data does not play an old file.
_SYNTHETIC_VERSION = 1


def locate_recording(settings: Settings, wanted: str | None) -> Path:
    """The file to play.

    Args:
        settings: where recordings are looked for.
        wanted: a path or a dataset's name; None for `DATA_DIR/DATASET.nwb`, and the synthetic
            recording where neither was given and that file is not there.

    Raises:
        RecordingError: the file that was asked for is not there, or the synthetic recording
            cannot be made.
    """
    if wanted is not None:
        refuse_address(wanted)
        path = _named(settings, wanted)
        if not path.exists() and not path.is_symlink():
            raise RecordingError(f"{path}: no such file; {_known_datasets(settings)}")
        return path
    path = settings.default_recording_path
    if path.exists():
        return path
    if settings.recording_was_chosen:
        raise RecordingError(f"{path}: no such file; {_known_datasets(settings)}")
    return _synthetic_recording()


def _named(settings: Settings, wanted: str) -> Path:
    path = Path(wanted).expanduser()
    is_path = path.suffix.lower() in SUFFIXES or len(path.parts) > 1 or path.exists()
    return path if is_path else settings.data_directory / f"{wanted}.nwb"


def _known_datasets(settings: Settings) -> str:
    names = sorted(path.stem for path in settings.data_directory.glob("*.nwb"))
    if not names:
        return f"the data directory {settings.data_directory} has no recordings"
    return f"the data directory {settings.data_directory} has {', '.join(names)}"


def _synthetic_recording() -> Path:
    folder = platformdirs.user_cache_path("phantomlink")
    path = folder / f"synthetic-v{_SYNTHETIC_VERSION}.nwb"
    if path.exists():
        logger.info("No recording was named: playing the synthetic one, %s", path)
        return path
    logger.info("No recording was named: making a synthetic one, once, in %s", path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(
            f"{folder}: the synthetic recording cannot be kept here: {error.strerror}; "
            "name a recording, or set XDG_CACHE_HOME to a folder that can be written"
        ) from error
    # In a child process: pynwb costs 1.2 s and 87 MB, and nothing else here needs it.
    command = [sys.executable, "-m", "phantomlink", "synth", str(path), "--overwrite"]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if made.returncode or not path.exists():
        raise RecordingError(
            f"{path}: the synthetic recording could not be made (exit code {made.returncode})"
        )
    return path
