"""SHA-256 of files that were hashed before, kept over a restart."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import astuple
from pathlib import Path

import platformdirs

from phantomlink.errors import RecordingError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.files.regular import open_regular, read_regular
from phantomlink.recordings.identity import FileIdentity

_MAX_BYTES = 4096
_CHUNK_BYTES = 1 << 20
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
        try:
            kept = json.loads(read_regular(self._place(path), _MAX_BYTES))
        except (OSError, ValueError):
            return None
        if not isinstance(kept, dict) or kept.get("identity") != list(astuple(identity)):
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
        sha256 = _hashed_gently(path)
        if FileIdentity.of(path) != identity:
            raise RecordingError(f"{path}: it has changed while it was read")
        place = self._place(path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with written_atomically(place, overwrite=True) as part:
                part.write_text(json.dumps({"identity": astuple(identity), "sha256": sha256}))
        except OSError:
            pass
        return sha256

    def _place(self, path: Path) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()}.json"


def _hashed_gently(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while True:
            began = time.perf_counter()
            chunk = file.read(_CHUNK_BYTES)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            time.sleep(_REST * (time.perf_counter() - began))
