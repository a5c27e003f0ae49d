"""Reads the sessions of an earlier run, and says what became of a file that is not understood."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from phantomlink.state.file import (
    SessionState,
    StateFormError,
    read_state,
    write_state,
)
from phantomlink.state.form import RecordingIdentity, set_aside
from phantomlink.state.other_files import take_over

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was kept.

    Attributes:
        sessions: of the earlier run.
        sha256: of the recording's file, where that was found out.
        may_write: whether the file may be replaced.
        failure: why it could not be written.
    """

    sessions: tuple[SessionState, ...] = ()
    sha256: str | None = None
    may_write: bool = True
    failure: OSError | None = None


def load_state(
    path: Path, identity: RecordingIdentity, hash_recording: Callable[[], str]
) -> Loaded:
    """What was kept before; blocks. A file of the wrong form is renamed, with a warning.

    Args:
        path: of the state file, which is locked.
        identity: of the recording.
        hash_recording: SHA-256 of its file.
    """
    try:
        if not path.exists():
            return _take_over(path, identity, hash_recording)
        return Loaded(tuple(read_state(path, identity)))
    except (StateFormError, OSError) as error:
        wrong = error
    try:
        kept = set_aside(path)
    except OSError as error:
        logger.warning(
            "%s is not used: %s; it cannot be renamed (%s), so sessions are not kept",
            *(path, wrong, error),
        )
        return Loaded(may_write=False)
    logger.warning("%s is not used: %s; it is kept as %s", path, wrong, kept.name)
    return Loaded()


def _take_over(
    path: Path, identity: RecordingIdentity, hash_recording: Callable[[], str]
) -> Loaded:
    """The sessions of the same content with another time of change; its file becomes ours."""
    other = take_over(path, identity, hash_recording)
    if other is None:
        return Loaded()
    logger.info(
        "The sessions of %s come back: the recording has the same content, only the time of "
        "its change is another",
        other.path.name,
    )
    sessions = tuple(other.sessions)
    try:
        write_state(path, identity, sessions, other.sha256)
        other.path.unlink(missing_ok=True)
    except OSError as error:
        # They are in the other file still, and are written to ours once that can be.
        return Loaded(sessions, failure=error)
    return Loaded(sessions, other.sha256)
