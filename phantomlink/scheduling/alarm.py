"""What the ticker sleeps by: a timer of the kernel, or the loop's own sleep where that fails.

The kernel refuses a timer to a process that is out of descriptors, and memory may be short when
one is set. Neither ends a session: until a timer can be had again, ticks may be a millisecond late.
"""

from __future__ import annotations

import logging
import math
import os
import time

import trio

from phantomlink.scheduling.timerfd import Timerfd

logger = logging.getLogger(__name__)

_TRY_AGAIN_SECONDS = 1.0
_monotonic_ns = time.monotonic_ns


class Alarm:
    """Wakes one task at a time that is set, also while it sleeps already.

    Args:
        timer: of the kernel.
    """

    def __init__(self, timer: Timerfd) -> None:
        self._timer = timer
        self._fd: int | None = None
        self._deadline = math.inf
        self._nap: trio.CancelScope | None = None
        self._try_again_at = -math.inf
        self._has_failed = False

    @property
    def is_precise(self) -> bool:
        """Whether the kernel's timer is what wakes; otherwise trio's sleep, in milliseconds."""
        return self._fd is not None

    def open(self) -> None:
        """Have a timer of the kernel, if there is one to be had now."""
        if self._fd is not None or trio.current_time() < self._try_again_at:
            return
        try:
            self._fd = self._timer.create()
        except OSError as error:
            self._fail(error)

    def set(self, at_ns: int) -> None:
        """Wake at this time, monotonic ns, or once before it when there is a timer again."""
        self.open()
        if self._fd is not None:
            try:
                self._timer.arm(self._fd, at_ns)
            except OSError as error:
                self._fail(error)
        if self._fd is not None:
            self._deadline = -math.inf
            if self._has_failed:
                logger.info("The kernel gives timers again: ticks are punctual")
                self._has_failed = False
        else:
            self._deadline = trio.current_time() + max(at_ns - _monotonic_ns(), 0) / 1e9
        if self._nap is not None:
            self._nap.deadline = self._deadline

    async def wait(self) -> None:
        """Sleep until the time that was set. Always a checkpoint."""
        if self._fd is not None:
            try:
                await trio.lowlevel.wait_readable(self._fd)
            except trio.ClosedResourceError:
                pass  # it failed when it was set anew
            except OSError as error:
                self._fail(error)
            else:
                return
        with trio.CancelScope(deadline=self._deadline) as self._nap:
            await trio.sleep_forever()
        self._nap = None

    def close(self) -> None:
        """Give the timer back; twice is fine."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            trio.lowlevel.notify_closing(fd)
            os.close(fd)

    def _fail(self, error: OSError) -> None:
        self.close()
        self._try_again_at = trio.current_time() + _TRY_AGAIN_SECONDS
        if not self._has_failed:
            logger.warning(
                "The kernel's timer fails (%s): ticks may be a millisecond late until it works",
                error,
            )
        self._has_failed = True
