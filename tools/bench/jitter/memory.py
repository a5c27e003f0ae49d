"""Memory of the server with 10 sessions, of each session more, and of LSL outlets."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..harness.children import Child
from ..harness.server import Server, UsageMeter
from ..harness.text import Verdict, megabytes
from .criteria import memory as criteria

FIRST, FURTHER = 10, 100
# Long enough that read-ahead, queues and learned margins have their size.
_SETTLE_SECONDS = 5.0
_READY_SECONDS = 60.0


def measure_memory(server: Server) -> tuple[str, list[Verdict], dict[str, float]]:
    """Play 10 sessions with a client each, then 100 more.

    Args:
        server: of this run's own, with room for 110 sessions.

    Returns:
        Lines for people, the verdicts, and the figures in bytes.
    """
    codes = [f"m-{uuid.uuid4().hex[:8]}-{n}" for n in range(FIRST + FURTHER)]
    meter = UsageMeter(server.process)
    before = meter.memory_bytes()
    with _listening(server, codes[:FIRST]):
        first = meter.memory_bytes()
        with _listening(server, codes[FIRST:]):
            all_of_them = meter.memory_bytes()
    # What a session needs is memory of the process alone: shared pages are there anyway.
    each = (all_of_them[1] - first[1]) / FURTHER
    counted = {"no session": before, f"{FIRST} sessions": first}
    counted[f"{FIRST + FURTHER} sessions"] = all_of_them
    lines = "\n".join(
        f"{label:<16} resident {megabytes(rss)}, its own {megabytes(uss)}"
        for label, (rss, uss) in counted.items()
    )
    figures = {
        "rss_no_session": before[0],
        "rss_first": first[0],
        "uss_first": first[1],
        "uss_further_each": each,
    }
    return lines, criteria(first[0], each), figures


def measure_lsl_share(server: Server, without: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """Play 10 sessions with a client each on a server whose sessions have LSL outlets.

    As many of them have outlets as the server's cap lets; nobody has an inlet.

    Args:
        server: of this run's own, with LSL.
        without: the figures of `measure_memory`, of a server without LSL.

    Returns:
        Lines for people, and the figures in bytes.
    """
    codes = [f"m-{uuid.uuid4().hex[:8]}-{n}" for n in range(FIRST)]
    with _listening(server, codes):
        rss, uss = UsageMeter(server.process).memory_bytes()
        said = [server.must("GET", f"/api/sessions/{code}")["lsl"] or {} for code in codes]
    n_with = sum(bool(each.get("streams")) for each in said)
    if not n_with:
        return f"LSL could not be had: {said[0].get('reason')}", {}
    line = (
        f"{FIRST} sessions, {n_with} of them with LSL outlets: resident {megabytes(rss)}, its own "
        f"{megabytes(uss)}; that is {megabytes(rss - without['rss_first'])} and "
        f"{megabytes(uss - without['uss_first'])} more"
    )
    return line, {"rss_lsl": rss, "uss_lsl": uss, "lsl_sessions": n_with}


@contextmanager
def _listening(server: Server, codes: list[str]) -> Iterator[None]:
    """A client of each session meanwhile."""
    paths = [f"/stream/binary/{code}" for code in codes]
    receiver = Child("harness.receiver", {"host": server.host, "port": server.port, "paths": paths})
    try:
        receiver.read(_READY_SECONDS)
        # An end far off: it is stopped, not waited for.
        receiver.say({"end_ns": time.monotonic_ns() + int(600e9)})
        time.sleep(_SETTLE_SECONDS)
        yield
    finally:
        receiver.stop()
