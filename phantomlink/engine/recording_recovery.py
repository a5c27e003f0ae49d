"""Whether the recording can be read now, and getting it back when it cannot.

Theory of operation. Files are lost in ways that end: somebody replaces one, a disk is full, a
server of files goes away for a minute. So a read that fails ends no session. The one who reads
tells the `RecordingRecovery`, which is lost from then on, and waits; playheads go on with what
has been read ahead and then wait too. One task (`_mend`) has the recording opened again, and reads
once more what could not be read: only when that works, everybody who waits is let go on. A read
that does not come back is the same to those who look on (`reason`), but nobody can mend it: its
thread is left to itself when its session ends, and after a while others may read beside it.

What is lost is said once in the log, and once more when the reason has become another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import trio

from phantomlink.errors import RecordingError
from phantomlink.scheduling.worker_thread import run_in_thread_patiently

logger = logging.getLogger(__name__)

T = TypeVar("T")

SLOW_SECONDS = 1.0
"""A read that takes longer is told of: playheads have two seconds of packets then."""
STUCK_SECONDS = 10.0
"""After this time another thread may read: what hangs is perhaps this one place of a disk."""
MOST_STUCK = 3
CHECK_SECONDS = 2.0
_LOOK_SECONDS = 0.25
_FIRST_TRY_SECONDS = 0.1
_LAST_TRY_SECONDS = 2.0
# Opening a large recording takes a second of a thread: it is done for a part of the time only.
_SHARE_OF_TRYING = 0.2
_REST_SECONDS = 10.0


class Reopenable(Protocol):
    """A recording, as far as it can be lost. Everything here blocks, but for `as_told`."""

    def reopen(self, sha256: str | None) -> None:
        """Open it once more; RecordingError when it is not there or another one."""
        ...

    def check(self) -> None:
        """RecordingError when what is open is not any more what it was."""
        ...

    def whereabouts(self) -> str | None:
        """What has become of the file's name; None when nothing has."""
        ...

    def as_told(self, error: RecordingError) -> RecordingError:
        """The same error for clients; does not block."""
        ...


@dataclass(slots=True, eq=False)
class _Read:
    """One call in a worker thread; the thread itself writes the two flags."""

    is_running: bool = False
    is_done: bool = False
    seen_running_at: float | None = None


class RecordingRecovery:
    """What a recording's readers share.

    Args:
        recording: that they read.
        limiter: of the threads that read it: one token.
        sha256: of its file, once that is known.
    """

    def __init__(
        self,
        recording: Reopenable,
        limiter: trio.CapacityLimiter,
        sha256: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._recording = recording
        self._limiter = limiter
        self._sha256 = sha256
        self._lost: str | None = None
        self._slow: str | None = None
        self._moved: str | None = None
        self._failure = trio.Event()
        self._back = trio.Event()
        self._probe: Callable[[], object] = recording.check
        self._reads: list[_Read] = []
        # Counts how often it was got back.
        self._generation = 0

    @property
    def lost(self) -> str | None:
        """Why the recording cannot be read; None while it can, as far as is known."""
        return self._lost

    @property
    def reason(self) -> str | None:
        """Why no data comes now: it is lost, or a read takes long; None when neither is so."""
        return self._lost or self._slow

    async def read(self, work: Callable[[], T], *, patiently: bool) -> T:
        """Read something, in a worker thread.

        Cancelled: returns at once; the thread ends its call, and what it read is dropped.

        Args:
            work: what reads; blocks.
            patiently: whether to wait until the recording can be read.

        Raises:
            RecordingError: it cannot be read, and there is no waiting for it.
        """
        while True:
            generation = self._generation
            try:
                return await self._in_thread(work)
            except RecordingError as error:
                if not error.is_final and generation == self._generation:
                    self.failed(error, work)
                if error.is_final or not patiently:
                    raise self._recording.as_told(error) from error
            if self._lost is not None:
                await self._back.wait()

    def failed(self, error: RecordingError, probe: Callable[[], object]) -> None:
        """The recording could not be read.

        Args:
            error: why.
            probe: what has to work before it is taken for readable again; blocks.
        """
        if self._lost is not None:
            return
        self._lost = str(self._recording.as_told(error))
        self._probe = probe
        self._back = trio.Event()
        self._failure.set()
        logger.warning(
            "The recording cannot be read: %s; sessions play what has been read ahead, then wait",
            error,
        )

    async def run(self) -> None:
        """Look after the recording until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._mend)
            nursery.start_soon(self._watch_reads)
            nursery.start_soon(self._watch_file)

    async def _mend(self) -> None:
        while True:
            await self._failure.wait()
            lost_at = trio.current_time()
            seconds = _FIRST_TRY_SECONDS
            while self._lost is not None:
                await trio.sleep(seconds)
                began = trio.current_time()
                try:
                    await self._in_thread(self._reopen_and_probe)
                except RecordingError as error:
                    self._still_lost(error)
                except Exception as error:
                    # A file that is in the place of the recording may be anything; it must not
                    # end the sessions, nor the server.
                    said = f"opening it failed: {type(error).__name__}: {error}"
                    if self._still_lost(RecordingError(said)):
                        logger.exception("Opening the recording failed")
                else:
                    self._found(trio.current_time() - lost_at)
                took = trio.current_time() - began
                seconds = max(
                    min(2 * seconds, _LAST_TRY_SECONDS), min(took / _SHARE_OF_TRYING, _REST_SECONDS)
                )

    def _reopen_and_probe(self) -> None:
        self._recording.reopen(self._sha256())
        self._probe()

    def _still_lost(self, error: RecordingError) -> bool:
        """Whether that is another reason than before."""
        reason = str(self._recording.as_told(error))
        if reason == self._lost:
            return False
        self._lost = reason
        logger.warning("The recording still cannot be read: %s", error)
        return True

    def _found(self, seconds: float) -> None:
        self._lost = None
        self._probe = self._recording.check
        self._generation += 1
        self._failure = trio.Event()
        self._back.set()
        logger.warning("The recording can be read again, after %.1f s", seconds)

    async def _watch_reads(self) -> None:
        began: float | None = None
        while True:
            await trio.sleep(_LOOK_SECONDS)
            now = trio.current_time()
            self._reads = [read for read in self._reads if not read.is_done]
            running = [read for read in self._reads if read.is_running]
            for read in running:
                if read.seen_running_at is None:
                    read.seen_running_at = now
            ages = [now - (read.seen_running_at or now) for read in running]
            stuck = sum(age > STUCK_SECONDS for age in ages)
            self._limiter.total_tokens = 1 + min(stuck, MOST_STUCK)
            if self._lost is not None:
                # To open it again may take long, and is not what is told of then.
                continue
            is_slow = max(ages, default=0.0) > SLOW_SECONDS
            if is_slow and began is None:
                began = now
                self._slow = f"a read of the recording takes longer than {SLOW_SECONDS:g} s"
                logger.warning("The recording is slow: %s", self._slow)
            elif began is not None and not is_slow:
                self._slow = None
                logger.warning("The slow read has come back, after %.1f s more", now - began)
                began = None

    async def _watch_file(self) -> None:
        while True:
            await trio.sleep(CHECK_SECONDS)
            if self._lost is not None or self._slow is not None:
                continue
            generation = self._generation
            try:
                moved = await self._in_thread(self._check)
            except RecordingError as error:
                if generation == self._generation:
                    self.failed(error, self._recording.check)
                continue
            if moved is not None and moved != self._moved:
                logger.warning(
                    "The recording's file %s; what is open plays on, a restart would miss it", moved
                )
            self._moved = moved

    def _check(self) -> str | None:
        self._recording.check()
        return self._recording.whereabouts()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        read = _Read()
        self._reads.append(read)
        try:
            return await self._call(read, work)
        finally:
            if not read.is_running:
                read.is_done = True

    async def _call(self, read: _Read, work: Callable[[], T]) -> T:
        def run() -> T:
            read.is_running = True
            try:
                return work()
            finally:
                read.is_done = True

        # A cancelled caller returns at once; the token stays with the thread.
        return await run_in_thread_patiently(run, limiter=self._limiter, abandon_on_cancel=True)
