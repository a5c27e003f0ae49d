"""The `phantomlink` command: arguments to settings, to a command whose code lies with its part."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXIT_CODE_OF_SIGNAL_0 = 128


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0 done; 1 a check of `watch` or `lsl-watch` failed; 2 the arguments, a
        setting or a file are wrong, or the result cannot be written (one line on stderr says how);
        130 interrupted, 141 nobody reads the output any more, 143 terminated.
    """
    # Before anything else is imported, which takes a second on a busy machine: an interrupt there
    # would be a traceback, and process 1 of a container would not be terminated at all.
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            signal.signal(number, _end)
    from phantomlink.cli.run import run  # noqa: PLC0415

    return run(argv)


def _end(number: int, _frame: FrameType | None) -> None:
    # Nothing has been begun that would have to be ended.
    os._exit(_EXIT_CODE_OF_SIGNAL_0 + number)
