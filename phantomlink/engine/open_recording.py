"""A recording that is open: its worker thread, its recovery, and the digest of its file."""

from __future__ import annotations

import logging
from fractions import Fraction

import trio

from phantomlink.engine.recording_recovery import RecordingRecovery
from phantomlink.errors import RecordingError
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.digest_cache import DigestCache
from phantomlink.recordings.recording import Recording
from phantomlink.scheduling.worker_thread import run_in_thread, run_in_thread_patiently

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0


class OpenRecording:
    """What sessions that play one recording share.

    Args:
        recording: that was opened, at the server's own behest.
        thread: in which it is read: one token.
        recovery: of a recording that can be lost and come back; None: a failed read is an error.

    Attributes:
        sha256: of its file; None while it is not known.
    """

    def __init__(
        self,
        recording: Recording,
        thread: trio.CapacityLimiter,
        recovery: RecordingRecovery | None = None,
    ) -> None:
        self.recording = recording
        self.thread = thread
        self.recovery = recovery
        self.sha256: str | None = None

    @classmethod
    def recovering(cls, recording: Recording, thread: trio.CapacityLimiter) -> OpenRecording:
        """One whose file may be lost and come back; as the plain one where nothing is read."""
        made = cls(recording, thread)
        if not recording.in_memory:
            made.recovery = RecordingRecovery(recording, thread, lambda: made.sha256)
        return made

    @property
    def lost(self) -> str | None:
        """Why it cannot be read; None while it can, as far as is known."""
        return None if self.recovery is None else self.recovery.lost

    @property
    def reason(self) -> str | None:
        """Why no data comes now: it is lost, or a read takes long; None when neither is so."""
        return None if self.recovery is None else self.recovery.reason

    async def bins_at(self, rate_hz: Fraction) -> Bins:
        """Its bins, so many a second of its clock. Cancelled: the thread finishes its read.

        Raises:
            RecordingError: the file cannot be read.
        """
        try:
            return await run_in_thread(self.recording.at_rate, rate_hz, limiter=self.thread)
        except RecordingError as error:
            raise self.recording.as_told(error) from error

    async def run(self) -> None:
        """Learn the file's SHA-256 and look after the recording, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hash_file)
            if self.recovery is not None:
                nursery.start_soon(self.recovery.run)

    async def close(self) -> None:
        """Close the file; a read that hangs is left to itself after a second."""
        with trio.move_on_after(_CLOSE_SECONDS, shield=True):
            # Not here: a read that hangs has HDF5's lock. What is not closed ends with us.
            await run_in_thread_patiently(
                self.recording.close, limiter=self.thread, abandon_on_cancel=True
            )

    async def digest(self) -> str:
        """SHA-256 of its file, computed where it is not known; a large file takes a while.

        Raises:
            OSError: the file cannot be read.
            RecordingError: it is not any more what was opened.
        """
        if self.sha256 is None:
            self.sha256 = await run_in_thread_patiently(
                DigestCache().learn,
                self.recording.path,
                self.recording.identity,
                abandon_on_cancel=True,
            )
        return self.sha256

    async def _hash_file(self) -> None:
        try:
            await self.digest()
        except (OSError, RecordingError) as error:
            logger.warning("The SHA-256 of the recording is not known: %s", error)
