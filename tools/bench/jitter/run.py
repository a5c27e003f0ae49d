"""Measures: slice after slice, the contestants in turn."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence

from ..harness.arrivals import Arrivals, read_columns
from ..harness.children import Child, ChildError, Message
from ..harness.host import HostWatch
from ..harness.server import UsageMeter
from .contestants import Contestant, Load
from .series import figures, seams
from .slices import Measured, Results, Usage

# Left out before each slice: what starts up is not what runs.
SETTLE_SECONDS = 1.0
_READY_SECONDS = 60.0
_WRITE_SECONDS = 60.0
# One process reads so many connections in well under a tenth of a core at 40 Hz.
_CONNECTIONS_PER_RECEIVER = 100
_NS = 1_000_000_000

Observer = Callable[[str, int, Measured, list[Arrivals]], None]


def measure_all(
    contestants: Sequence[Contestant],
    load: Load,
    n_slices: int,
    host: HostWatch,
    observers: Sequence[Observer],
) -> Results:
    """Measure every contestant in every round.

    Args:
        contestants: started. The order is turned round in every other round, so that nobody
            always comes first after somebody else; neighbours stay neighbours.
        load: what is asked of them.
        n_slices: rounds.
        host: watched meanwhile.
        observers: told of each slice, with all that arrived.

    Returns:
        The slices. A contestant that failed has none; `not_measured` says why.
    """
    results = Results()
    failed: set[str] = set()
    for index in range(n_slices):
        for contestant in contestants if index % 2 == 0 else reversed(contestants):
            if contestant.name in failed:
                continue
            try:
                measured, arrivals = _measure(contestant, load, index, host)
            except ChildError as error:
                # One slice less would pair the wrong slices from here on.
                failed.add(contestant.name)
                results.not_measured[contestant.name] = str(error)
                results.slices.pop(contestant.name, None)
                print(f"{contestant.name}: {error}", file=sys.stderr)
                continue
            results.add(contestant.name, measured)
            for observe in observers:
                observe(contestant.name, index, measured, arrivals)
    return results


def _measure(
    contestant: Contestant, load: Load, index: int, host: HostWatch
) -> tuple[Measured, list[Arrivals]]:
    """One slice of one contestant."""
    plan = contestant.plan(index)
    n_receivers = _n_receivers(len(plan.paths))
    files = [load.folder / f"receiver-{n}.bin" for n in range(n_receivers)]
    receivers: list[Child] = []
    try:
        for n in range(n_receivers):
            paths = list(plan.paths[n::n_receivers])
            receivers.append(Child(plan.module, {**plan.address, "paths": paths}, plan.env))
        ready = [receiver.read(_READY_SECONDS) for receiver in receivers]
        contestant.begin()
        start_ns = time.monotonic_ns() + int(SETTLE_SECONDS * _NS)
        end_ns = start_ns + int(load.slice_seconds * _NS)
        for receiver, file in zip(receivers, files, strict=True):
            receiver.say({"end_ns": end_ns, "out": str(file)})
        _sleep_until(start_ns)
        host.begin()
        meter = UsageMeter(contestant.process)
        _sleep_until(end_ns)
        cpu_seconds, seconds = meter.seconds()
        lost = host.end(start_ns, end_ns)
        written = [receiver.read(_WRITE_SECONDS) for receiver in receivers]
    finally:
        for receiver in receivers:
            receiver.stop()
    report, notes = contestant.end()
    arrivals = [
        connection.within(start_ns, end_ns)
        for file, message in zip(files, written, strict=True)
        for connection in read_columns(file, message, wall_clock=plan.wall_clock)
    ]
    raw = figures(arrivals, load.rate_hz, shared=plan.shared)
    clean = (
        None
        if lost.stalls is None
        else figures(arrivals, load.rate_hz, lost.stalls, shared=plan.shared)
    )
    return (
        Measured(
            raw=raw,
            clean=clean,
            lost=lost,
            usage=Usage(cpu_seconds / seconds, *meter.memory_bytes()),
            receiver_cpu=sum(_per_second(m, m["cpu_seconds"]) for m in written),
            bytes_per_second=sum(_per_second(m, sum(m["bytes"])) for m in written),
            first_packet_seconds=tuple(t / _NS for m in ready for t in m["first_packet_ns"]),
            closed=tuple(reason for m in written for reason in m["closed"] if reason),
            report=report,
            seams=tuple(
                seam
                for connection in arrivals
                if plan.seams
                for seam in seams(connection, load.rate_hz, lost.stalls or ())
            ),
            notes=notes,
        ),
        arrivals,
    )


def _n_receivers(n_connections: int) -> int:
    """As many processes as the connections need, one a core at most."""
    wanted = math.ceil(n_connections / _CONNECTIONS_PER_RECEIVER)
    return min(max(wanted, 1), len(os.sched_getaffinity(0)))


def _per_second(message: Message, amount: float) -> float:
    (begin, _), (end, _) = message["wall_offsets"]
    return amount / (float(end - begin) / _NS)


def _sleep_until(time_ns: int) -> None:
    time.sleep(max(time_ns - time.monotonic_ns(), 0) / _NS)
