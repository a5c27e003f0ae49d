"""Writes a state file whenever what is to be kept has changed.

What is kept is looked at once in a while on the event loop and written in a thread of its own, so
that a disk that hangs holds up nothing but the next writing. A failure to write is said once, and
again when it works once more. Nothing heavy is imported; see `form`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, TypeVar

import trio

from phantomlink.scheduling.worker_thread import run_in_thread_patiently
from phantomlink.state.lock import StateLock, StateLockedError

logger = logging.getLogger(__name__)

# A second may be lost, and writing takes a part of it.
_INTERVAL_SECONDS = 0.75
_LAST_WRITE_SECONDS = 2.0

SessionT = TypeVar("SessionT")


class StateWriter(Generic[SessionT]):
    """Writes one file, which is locked meanwhile.

    Args:
        path: of the file.
        look: what is to be kept now.
        write: writes that, with the SHA-256 of the recording's file; blocks.
        sha256: of the recording's file; None while it is not known.

    Attributes:
        thread: in which the disk is used.
        may_write: whether the file is ours; if not, nothing is written.
    """

    def __init__(
        self,
        path: Path,
        look: Callable[[], Awaitable[tuple[SessionT, ...]]],
        write: Callable[[tuple[SessionT, ...], str | None], None],
        sha256: Callable[[], str | None],
    ) -> None:
        self._lock = StateLock(path)
        self._look = look
        self._write_file = write
        self._sha256 = sha256
        self._written: tuple[SessionT, ...] | None = None
        self._written_sha256: str | None = None
        self._last: tuple[SessionT, ...] | None = None
        self._freezing = trio.Event()
        self._has_failed = False
        self.may_write = True
        self.thread = trio.CapacityLimiter(1)

    def lock(self) -> None:
        """Have the file for this server alone, if that can be; blocks."""
        try:
            self._lock.acquire()
        except StateLockedError as error:
            self.may_write = False
            logger.warning("Sessions are not kept over a restart: %s", error)
        except OSError as error:
            # No lock, no other server: what can be written will be seen when it is.
            self.say_failure(error)

    def has_read(self, sessions: tuple[SessionT, ...], sha256: str | None) -> None:
        """The file has these, which need not be written again."""
        # What could not be written then is still to be.
        self._written = None if self._has_failed else sessions
        self._written_sha256 = sha256

    async def run(self) -> None:
        """Write whatever changes, until cancelled or frozen."""
        try:
            while not self._freezing.is_set():
                state = await self._look()
                if not self._freezing.is_set():
                    await self._write(state)
                with trio.move_on_after(_INTERVAL_SECONDS):
                    await self._freezing.wait()
        finally:
            # Without a last state the server did not say that it goes, and what it had may be
            # gone already: then the file as it is tells more.
            if self._last is not None:
                with trio.move_on_after(_LAST_WRITE_SECONDS, shield=True):
                    await self._write(self._last)
            self._lock.release()

    @property
    def is_frozen(self) -> bool:
        """Whether `freeze` was called."""
        return self._last is not None

    def freeze(self, last: tuple[SessionT, ...]) -> None:
        """Keep these, before the server that goes away ends its sessions; once."""
        if self._last is None:
            self._last = last
            self._freezing.set()

    def say_failure(self, error: OSError) -> None:
        """The file cannot be written now."""
        if not self._has_failed:
            logger.warning("Sessions are not kept over a restart now: %s", error)
        self._has_failed = True

    async def _write(self, state: tuple[SessionT, ...]) -> None:
        sha256 = self._sha256() or self._written_sha256
        is_same = state == self._written and (not state or sha256 == self._written_sha256)
        if is_same or not self.may_write:
            return
        try:
            await run_in_thread_patiently(
                self._write_file, state, sha256, limiter=self.thread, abandon_on_cancel=True
            )
        except OSError as error:
            self.say_failure(error)
            return
        if self._has_failed:
            logger.info("Sessions are kept over a restart again")
        self._has_failed = False
        self._written, self._written_sha256 = state, sha256
