"""The synthetic recording that is played when no other is there: where it is kept, and making it.

A child process makes it: pynwb costs 1.2 s and 87 MB, and nothing else of a server needs it. This
module imports nothing that takes long, so that the child can start before its parent's own imports.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from phantomlink.errors import RecordingError
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

# Part of the name, so that a version that makes other data does not play an old file.
_SYNTHETIC_VERSION = 1
_MAKING = "No recording was named: making a synthetic one, once, in %s"


def plays_synthetic(settings: Settings, wanted: str | None) -> bool:
    """Whether no recording was named and none lies at `DATA_DIR/DATASET.nwb`."""
    named = wanted is not None or settings.recording_was_chosen
    return not named and not settings.default_recording_path.exists()


def synthetic_recording() -> Path:
    """The synthetic recording in the user's cache, made where it is not there.

    Raises:
        RecordingError: it cannot be made.
    """
    path = synthetic_path()
    if path.exists():
        logger.info("No recording was named: playing the synthetic one, %s", path)
    else:
        logger.info(_MAKING, path)
        with _making(path):
            pass
    return path


def make_synthetic() -> None:
    """Make the synthetic recording where it is not there, without a word; takes some seconds.

    Raises:
        RecordingError: it cannot be made.
    """
    path = synthetic_path()
    if not path.exists():
        with _making(path, stderr=subprocess.DEVNULL):
            pass


@contextmanager
def made_meanwhile(settings: Settings, wanted: str | None) -> Iterator[None]:
    """Make the synthetic recording beside the block, where it is to be played and is not there.

    Raises:
        RecordingError: it cannot be made.
    """
    path = synthetic_path()
    if path.exists() or not plays_synthetic(settings, wanted):
        yield
        return
    logger.info(_MAKING, path)
    with _making(path):
        yield


@contextmanager
def _making(path: Path, stderr: int | None = None) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(
            f"{path.parent}: the synthetic recording cannot be kept here: {error.strerror}; "
            "name a recording, or set XDG_CACHE_HOME to a folder that can be written"
        ) from error
    command = [sys.executable, "-m", "phantomlink.cli.synthetic_child", str(path)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr) as maker:
        try:
            yield
            code = maker.wait()
        except BaseException:
            maker.kill()
            raise
    if code or not path.exists():
        raise RecordingError(
            f"{path}: the synthetic recording could not be made (exit code {code})"
        )


def synthetic_path() -> Path:
    """Where the synthetic recording is, or will be: in the user's cache directory."""
    return platformdirs.user_cache_path("phantomlink") / f"synthetic-v{_SYNTHETIC_VERSION}.nwb"
