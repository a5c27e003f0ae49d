"""SHA-256 of files that were hashed before, kept over a restart."""

from __future__ import annotations

import hashlib
import os
from dataclasses import astuple
from pathlib import Path

import platformdirs

from phantomlink.errors import RecordingError
from phantomlink.recordings.identity import FileIdentity, sha256_of
from phantomlink.recordings.kept_json import keep, read_kept

_MAX_BYTES = 4096
# Packets go first: hashing may have a quarter of a core.
_REST = 3


class DigestCache:
    """Digests by path and identity of the file.

    Args:
        folder: where they are kept; None: the user's cache directory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or platformdirs.user_cache_path("phantomlink") / "digests"

    def get(self, path: Path, identity: FileIdentity) -> str | None:
        """The digest of a file; None where it was not hashed as it is now."""
        kept = read_kept(self._place(path), _MAX_BYTES)
        if kept.get("identity") != list(astuple(identity)):
            return None
        sha256 = kept.get("sha256")
        return sha256 if isinstance(sha256, str) else None

    def learn(self, path: Path, identity: FileIdentity) -> str:
        """The digest of a file, computed without haste where it is not known; blocks.

        A folder that cannot be written costs only the next start some time.

        Raises:
            OSError: the file cannot be read.
            RecordingError: it is another one by now.
        """
        known = self.get(path, identity)
        if known is not None:
            return known
        sha256 = sha256_of(path, rest=_REST)
        if FileIdentity.of(path) != identity:
            raise RecordingError(f"{path}: it has changed while it was read")
        keep(self._place(path), {"identity": astuple(identity), "sha256": sha256})
        return sha256

    def _place(self, path: Path) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()}.json"
