"""Memory of the server with 10 sessions, and of each session more."""

from __future__ import annotations

import math
import time
import uuid
from pathlib import Path

from .criteria import Verdict
from .criteria import memory as criteria
from .server import Server, UsageMeter
from .talk import Child
from .words import megabytes

FIRST, FURTHER = 10, 100
# Long enough that read-ahead, queues and learned margins have their size.
_SETTLE_SECONDS = 5.0
_READY_SECONDS = 60.0


def measure_memory(server: Server, folder: Path) -> tuple[str, list[Verdict], dict[str, float]]:
    """Play 10 sessions with a client each, then 100 more.

    Args:
        server: of this run's own, with room for 110 sessions.
        folder: for files of the run.

    Returns:
        Lines for people, the verdicts, and the figures in bytes.
    """
    run = uuid.uuid4().hex[:8]
    meter = UsageMeter(server.process)
    before = meter.usage(math.nan)
    receivers = [_listen(server, [f"m-{run}-{n}" for n in range(FIRST)], folder / "first.bin")]
    try:
        first = meter.usage(math.nan)
        codes = [f"m-{run}-{FIRST + n}" for n in range(FURTHER)]
        receivers.append(_listen(server, codes, folder / "further.bin"))
        all_of_them = meter.usage(math.nan)
    finally:
        for receiver in receivers:
            receiver.stop()
    # What a session needs is memory of the process alone: shared pages are there anyway.
    each = (all_of_them.uss_bytes - first.uss_bytes) / FURTHER
    lines = "\n".join(
        f"{label:<16} resident {megabytes(usage.rss_bytes)}, its own {megabytes(usage.uss_bytes)}"
        for label, usage in (
            ("no session", before),
            (f"{FIRST} sessions", first),
            (f"{FIRST + FURTHER} sessions", all_of_them),
        )
    )
    figures = {
        "rss_no_session": before.rss_bytes,
        "rss_first": first.rss_bytes,
        "uss_first": first.uss_bytes,
        "uss_further_each": each,
    }
    return lines, criteria(first.rss_bytes, each), figures


def _listen(server: Server, codes: list[str], out: Path) -> Child:
    """A receiver with a client of each session; it goes on receiving until it is stopped."""
    paths = [f"/stream/binary/{code}" for code in codes]
    config = {"host": server.host, "port": server.port, "paths": paths, "out": str(out)}
    receiver = Child("receiver", config)
    receiver.read(_READY_SECONDS)
    # An end far off: it is stopped, not waited for.
    receiver.say({"end_ns": time.monotonic_ns() + int(600e9)})
    time.sleep(_SETTLE_SECONDS)
    return receiver
