"""The form of the file that keeps sessions over a restart: its name, its head, how it is written.

Nothing heavy is imported: also the process writes it that starts others and plays nothing itself.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from phantomlink.files.atomic_write import written_atomically

FORMAT = "phantomlink-sessions"
VERSION = 1
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class RecordingIdentity:
    """Which recording positions belong to.

    Attributes:
        dataset: its name.
        size_bytes: of its file.
        modified_ns: when its file was last changed, Unix ns.
    """

    dataset: str
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, dataset: str, path: Path) -> RecordingIdentity:
        """That of a file.

        Raises:
            OSError: it is not there.
        """
        stat = path.stat()
        return cls(dataset, stat.st_size, stat.st_mtime_ns)

    @property
    def file_name(self) -> str:
        """Name of its state file."""
        text = f"{self.dataset}\0{self.size_bytes}\0{self.modified_ns}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"sessions-{_NOT_PLAIN.sub('_', self.dataset)[:64]}-{digest}.json"


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """Which file a session on another dataset than the default played.

    Attributes:
        size_bytes: of it.
        modified_ns: when it was last changed, Unix ns.
        sha256: of it; None while it was not known.
    """

    size_bytes: Annotated[int, Meta(ge=0)]
    modified_ns: Annotated[int, Meta(ge=0)]
    sha256: str | None = None


def dump_entries(
    identity: RecordingIdentity, entries: Sequence[Mapping[str, Any]], sha256: str | None = None
) -> bytes:
    """The content of the file.

    Args:
        identity: of the recording.
        entries: of the sessions that are kept, as `SessionState` has them, in JSON.
        sha256: of the recording's file; None while it is not known. By it the sessions are found
            again when the file is the same but for the time of its change.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "recording": asdict(identity),
        "sha256": sha256,
        "sessions": list(entries),
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def write_entries(
    path: Path,
    identity: RecordingIdentity,
    entries: Sequence[Mapping[str, Any]],
    sha256: str | None = None,
) -> None:
    """Replace the file as a whole, once the new one is on the disk; see `dump_entries`.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path, overwrite=True) as part:
        # Whoever knows a session's code can listen to it and steer it.
        part.touch(mode=0o600)
        part.write_bytes(dump_entries(identity, entries, sha256))


def set_aside(path: Path) -> Path:
    """Move a file that is not understood out of the way; answers where it is now.

    Raises:
        OSError: it cannot be moved.
    """
    now = datetime.now(UTC)
    kept = path.with_name(f"{path.name}.kept-{now:%Y%m%dT%H%M%S}-{time.monotonic_ns()}")
    path.rename(kept)
    return kept
