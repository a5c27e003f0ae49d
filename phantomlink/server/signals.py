"""Being told to go: the first signal is heeded with care, the second at once.

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


async def wait_for_signal() -> None:
    """Wait for SIGINT or SIGTERM. From then on, another one ends the process at once."""
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async for number in signals:
            logger.info("%s: going away", signal.Signals(number).name)
            break
    for number in _SIGNALS:
        signal.signal(number, _end_at_once)


def watch_grace(seconds: float, give_up: Callable[[], None]) -> None:
    """Let a thread end the process with exit code 0 if it still runs after so many seconds.

    Args:
        seconds: the grace period.
        give_up: called first, in that thread; says what is cut off.
    """

    def end() -> None:
        try:
            give_up()
        finally:
            os._exit(0)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    # Nothing is lost by it: files are written aside. Logging could wait for another thread.
    os._exit(_EXIT_CODE_OF_SIGNAL_0 + number)
