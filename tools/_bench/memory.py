"""Memory of the server with 10 sessions, of each session more, and of LSL outlets."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping
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


def measure_lsl_share(
    server: Server, folder: Path, without: Mapping[str, float]
) -> tuple[str, dict[str, float]]:
    """Play 10 sessions with a client each on a server whose sessions have LSL outlets.

    As many of them have outlets as the server's cap lets; nobody has an inlet.

    Args:
        server: of this run's own, with LSL.
        folder: for files of the run.
        without: the figures of `measure_memory`, of a server without LSL.

    Returns:
        Lines for people, and the figures in bytes.
    """
    run = uuid.uuid4().hex[:8]
    codes = [f"m-{run}-{n}" for n in range(FIRST)]
    receiver = _listen(server, codes, folder / "lsl.bin")
    try:
        usage = UsageMeter(server.process).usage(math.nan)
        said = [server.rest.call("GET", f"/api/sessions/{code}")[1]["lsl"] or {} for code in codes]
    finally:
        receiver.stop()
    n_with = sum(bool(each.get("streams")) for each in said)
    if not n_with:
        return f"LSL could not be had: {said[0].get('reason')}", {}
    more_rss, more_uss = (
        usage.rss_bytes - without["rss_first"],
        usage.uss_bytes - without["uss_first"],
    )
    line = (
        f"{FIRST} sessions, {n_with} of them with LSL outlets: resident "
        f"{megabytes(usage.rss_bytes)}, its own {megabytes(usage.uss_bytes)}; that is "
        f"{megabytes(more_rss)} and {megabytes(more_uss)} more"
    )
    return line, {"rss_lsl": usage.rss_bytes, "uss_lsl": usage.uss_bytes, "lsl_sessions": n_with}


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
