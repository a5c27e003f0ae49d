"""Being told to stop: the first signal is heeded with care, the second at once.

Two things must not depend on the event loop, which clients or a disk that hangs may keep from
ending: the second signal, whose handler ends the process there and then, and the end of the grace
period, which a thread of its own watches.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import trio

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXIT_CODE_OF_SIGNAL_0 = 128
# For a thread that opens the recording; nobody is connected yet.
_START_GRACE_SECONDS = 2.0


class StopSignals:
    """SIGINT and SIGTERM, from the start of a server on.

    Args:
        clean_up: called before the process ends without unwinding; must not block.

    Attributes:
        starting: the scope of the start, cancelled by a signal until `has_started`.
        has_started: whether a signal only sets `told`.
        told: set by the first signal.
        clean_up: as given.
    """

    def __init__(self, clean_up: Callable[[], None] = lambda: None) -> None:
        self.clean_up = clean_up
        self.starting = trio.CancelScope()
        self.has_started = False
        self.told = trio.Event()

    async def watch(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Wait for the first signal. From then on, another one ends the process at once."""
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                logger.info("%s: going away", signal.Signals(number).name)
                break
        for number in _SIGNALS:
            signal.signal(number, self._end_at_once)
        self.told.set()
        if not self.has_started:
            watch_grace(_START_GRACE_SECONDS, lambda: None, self.clean_up)
            self.starting.cancel()

    def _end_at_once(self, number: int, _frame: FrameType | None) -> None:
        # Nothing is lost by it: files are replaced whole. Logging could wait for another thread.
        try:
            self.clean_up()
        finally:
            os._exit(_EXIT_CODE_OF_SIGNAL_0 + number)


def watch_grace(
    seconds: float, give_up: Callable[[], None], clean_up: Callable[[], None] = lambda: None
) -> None:
    """Let a thread end the process with exit code 0 if it still runs after so many seconds.

    Args:
        seconds: the grace period.
        give_up: called first, in that thread; says what is cut off.
        clean_up: called then; must not block.
    """

    def end() -> None:
        try:
            give_up()
            clean_up()
        finally:
            os._exit(0)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    try:
        watch.start()
    except RuntimeError as error:
        logger.warning("Nothing watches the grace period (%s); a second signal ends it", error)
