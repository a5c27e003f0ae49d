"""State files of other recordings, in the folder of ours; asked when there is none of ours.

A file that was copied, restored from a backup or checked out again has another time of change, and
so another state file. When its content is the same, the sessions are ours; otherwise a line says
whose they are, since somebody may be waiting for them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from phantomlink.state.file import SessionState, parse_state
from phantomlink.state.form import RecordingIdentity
from phantomlink.state.lock import StateLock

logger = logging.getLogger(__name__)

_MAX_NAMED = 5
_MAX_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class OtherFile:
    """A state file that is not that of the recording which plays."""

    path: Path
    identity: RecordingIdentity
    sha256: str | None
    sessions: list[SessionState]


def take_over(
    ours: Path, identity: RecordingIdentity, hash_recording: Callable[[], str]
) -> OtherFile | None:
    """The state file of the same content with another time of change; the others are logged.

    Blocks: the recording is read as a whole where a file of its size knows the hash of its own.

    Args:
        ours: where our state file will be.
        identity: of the recording that plays.
        hash_recording: SHA-256 of its file.

    Raises:
        OSError: the folder or the recording cannot be read.
    """
    others = [other for other in _others(ours) if other.sessions]
    sha256: str | None = None
    for other in others:
        if other.sha256 is not None and other.identity.size_bytes == identity.size_bytes:
            sha256 = sha256 or hash_recording()
            if other.sha256 == sha256 and not _is_in_use(other.path):
                return other
    for other in others[:_MAX_NAMED]:
        changed = datetime.fromtimestamp(other.identity.modified_ns // 10**9, UTC)
        logger.warning(
            "%s keeps sessions (%d) of another recording (%s, %d bytes, changed %s): they come "
            "back when that one is played",
            other.path.name,
            len(other.sessions),
            other.identity.dataset,
            other.identity.size_bytes,
            f"{changed:%Y-%m-%dT%H:%M:%SZ}",
        )
    if len(others) > _MAX_NAMED:
        logger.warning("%d more state files are of other recordings", len(others) - _MAX_NAMED)
    return None


def _others(ours: Path) -> list[OtherFile]:
    paths = sorted(path for path in ours.parent.glob("sessions-*.json") if path != ours)
    return [other for path in paths if (other := _read(path)) is not None]


def _read(path: Path) -> OtherFile | None:
    """What a file says; None for one that is no state file of ours."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
            return None
        data = path.read_bytes()
        content = json.loads(data)
        recording, sha256 = content["recording"], content.get("sha256")
        names = [field.name for field in fields(RecordingIdentity)]
        identity = RecordingIdentity(**{name: recording[name] for name in names})
        sessions = parse_state(data, identity)
        is_plain = identity.file_name == path.name and isinstance(sha256, str | None)
        # A year that no calendar has.
        datetime.fromtimestamp(identity.modified_ns // 10**9, UTC)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ):
        return None
    return OtherFile(path, identity, sha256, sessions) if is_plain else None


def _is_in_use(path: Path) -> bool:
    lock = StateLock(path)
    try:
        lock.acquire()
    except OSError:
        return True
    lock.release()
    return False
