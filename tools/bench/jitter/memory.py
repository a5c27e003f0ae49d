"""Memory of the server with 10 sessions, of each session more, and of LSL outlets."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from ..harness.children import Child, ChildError
from ..harness.server import Server, UsageMeter

FIRST, FURTHER = 10, 100
# Long enough that read-ahead, queues and learned margins have their size.
_SETTLE_SECONDS = 5.0
_READY_SECONDS = 60.0


def measure_memory(server: Server) -> dict[str, float]:
    """Play 10 sessions with a client each, then 100 more; figures in bytes.

    Args:
        server: of this run's own, with room for 110 sessions.
    """
    codes = [f"m-{uuid.uuid4().hex[:8]}-{n}" for n in range(FIRST + FURTHER)]
    meter = UsageMeter(server.process)
    before = meter.memory_bytes()
    with _listening(server, codes[:FIRST]):
        first = meter.memory_bytes()
        with _listening(server, codes[FIRST:]):
            all_of_them = meter.memory_bytes()
    return {
        "rss_no_session": before[0],
        "rss_first": first[0],
        "uss_first": first[1],
        # What a session needs is memory of the process alone: shared pages are there anyway.
        "uss_further_each": (all_of_them[1] - first[1]) / FURTHER,
    }


def measure_lsl_share(server: Server) -> dict[str, float]:
    """Play 10 sessions with a client each on a server whose sessions have LSL outlets.

    As many of them have outlets as the server's cap lets; nobody has an inlet.

    Args:
        server: of this run's own, with LSL.

    Returns:
        Figures in bytes, and how many sessions have outlets.

    Raises:
        ChildError: none has.
    """
    codes = [f"m-{uuid.uuid4().hex[:8]}-{n}" for n in range(FIRST)]
    with _listening(server, codes):
        rss, uss = UsageMeter(server.process).memory_bytes()
        said = [server.must("GET", f"/api/sessions/{code}")["lsl"] or {} for code in codes]
    n_with = sum(bool(each.get("streams")) for each in said)
    if not n_with:
        raise ChildError(f"LSL could not be had: {said[0].get('reason')}")
    return {"rss_lsl": rss, "uss_lsl": uss, "lsl_sessions": n_with}


@contextmanager
def _listening(server: Server, codes: list[str]) -> Iterator[None]:
    """A client of each session meanwhile."""
    paths = {"paths": [f"/stream/binary/{code}" for code in codes]}
    with Child("harness.receiver", server.address | paths) as receiver:
        receiver.read(_READY_SECONDS)
        # An end far off: it is stopped, not waited for.
        receiver.say({"end_ns": time.monotonic_ns() + int(600e9)})
        time.sleep(_SETTLE_SECONDS)
        yield
