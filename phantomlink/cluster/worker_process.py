"""The process of a worker: `python -m phantomlink.cluster.worker_process CHANNEL SLOTS [gently]`.

What a worker imports takes a core for more than a second. Where it comes in the place of one that
has died, the others have just taken over its sessions and need the cores, and so do their clients:
then a thread of the lowest priority (SCHED_IDLE) imports, which leaves a core to whoever else wants
it. The priority ends with that thread: who has given up priority may not raise it again unless
privileged. On a machine that others keep busy without a break that thread would never be done;
after `GENTLE_SECONDS` the process begins again, as at the first start.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

MODULE = "phantomlink.cluster.worker_process"
"""What a worker runs as."""
GENTLY = "gently"
GENTLE_SECONDS = 5.0


def command(descriptors: Sequence[int], *, gently: bool) -> list[str]:
    """What starts a worker.

    Args:
        descriptors: of its end of the channel to the parent, and of the file with the slots.
        gently: whether others need the cores now.
    """
    more = [GENTLY] if gently else []
    return [sys.executable, "-m", MODULE, *map(str, descriptors), *more]


def imported_gently(seconds: float) -> bool:
    """Import what a worker needs in a thread that nobody has to wait for; whether that was done.

    Args:
        seconds: that it may take.
    """
    importing = threading.Thread(target=_import_at_idle_priority, daemon=True)
    importing.start()
    importing.join(seconds)
    return not importing.is_alive()


def _import_at_idle_priority() -> None:
    # Where the system has no such priority, or does not allow it, as any other thread does.
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _import()


def _import() -> None:
    import phantomlink.cluster.worker  # noqa: F401, PLC0415


def main() -> None:
    """Run until the parent ends it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Meant for the parent, where they come to all processes of a terminal or a service.
        signal.signal(number, signal.SIG_IGN)
    descriptors = [int(each) for each in sys.argv[1:3]]
    if GENTLY in sys.argv[3:] and not imported_gently(GENTLE_SECONDS):
        os.execv(sys.executable, command(descriptors, gently=False))
    from phantomlink.cluster.worker import run_worker  # noqa: PLC0415

    run_worker(*descriptors)


if __name__ == "__main__":
    main()
