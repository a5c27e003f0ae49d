"""The command `phantomlink` of a machine that has no threads left while a file is there.

A limit of the system (RLIMIT_NPROC) does not hold for root, who runs tests too. This refuses where
Python does, with its words; threads that wait for work are not to be had either.
"""

import os
import sys
import threading
from pathlib import Path

import trio

from phantomlink.cli import main

VARIABLE = "TESTS_NO_THREADS"


def refusing(start):
    refused = Path(os.environ[VARIABLE])

    def start_or_refuse(*args, **kwargs):
        if refused.exists():
            raise RuntimeError("can't start new thread")
        return start(*args, **kwargs)

    return start_or_refuse


if __name__ == "__main__":
    threading.Thread.start = refusing(threading.Thread.start)
    trio._threads.start_thread_soon = refusing(trio._threads.start_thread_soon)
    sys.exit(main())
