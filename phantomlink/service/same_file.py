"""Whether a dataset still has the file that a session of an earlier run played."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from phantomlink.engine.open_recording import OpenRecording
from phantomlink.errors import RecordingError
from phantomlink.recordings.identity import sha256_of
from phantomlink.scheduling.worker_thread import run_in_thread

if TYPE_CHECKING:
    from phantomlink.state.form import DatasetFile


async def check_same(opened: OpenRecording, played: DatasetFile) -> None:
    """See that an open dataset is what was played: the same size and change, or SHA-256.

    Raises:
        RecordingError: it is another file; positions in the old one mean nothing in it.
    """
    recording = opened.recording
    identity = recording.identity
    if identity.content == (played.size_bytes, played.modified_ns):
        return
    if identity.size == played.size_bytes and played.sha256 is not None:
        # Copied or restored: only the time of its change is another.
        sha256 = opened.sha256
        try:
            if sha256 is None:
                sha256 = await run_in_thread(partial(sha256_of, recording.path))
        except OSError as error:
            raise RecordingError(
                f"{recording.path.name}: cannot be read: {error.strerror}"
            ) from error
        if sha256 == played.sha256:
            return
    raise RecordingError(
        f"dataset {recording.dataset} has another file now ({identity.size} bytes) than the one "
        f"that it played ({played.size_bytes} bytes)"
    )
