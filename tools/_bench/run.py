"""Measures: slice after slice, the contestants in turn."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .contestants import Contestant, Load, Plan
from .host import HostWatch
from .series import Arrivals, figures, seams
from .server import UsageMeter
from .slices import Measured, Results
from .talk import Child, ChildError, Message

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
        for n, file in enumerate(files):
            paths = list(plan.paths[n::n_receivers])
            config = {**plan.address, "paths": paths, "out": str(file)}
            receivers.append(Child(plan.module, config, plan.env))
        ready = [receiver.read(_READY_SECONDS) for receiver in receivers]
        contestant.begin()
        start_ns = time.monotonic_ns() + int(SETTLE_SECONDS * _NS)
        end_ns = start_ns + int(load.slice_seconds * _NS)
        for receiver in receivers:
            receiver.say({"end_ns": end_ns})
        meter = UsageMeter(contestant.process)
        _sleep_until(start_ns)
        host.begin()
        meter.begin()
        _sleep_until(end_ns)
        cpu = meter.end()
        lost = host.end(start_ns, end_ns)
        written = [receiver.read(_WRITE_SECONDS) for receiver in receivers]
    finally:
        for receiver in receivers:
            receiver.stop()
    report, notes = contestant.end()
    arrivals = [
        connection.within(start_ns, end_ns)
        for file, message in zip(files, written, strict=True)
        for connection in _read_columns(file, message, plan)
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
            usage=meter.usage(cpu),
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


def _read_columns(file: Path, message: Message, plan: Plan) -> list[Arrivals]:
    """What a receiver wrote, connection by connection."""
    data = np.fromfile(file, dtype=np.int64)
    file.unlink()
    found, at = [], 0
    for n in message["rows"]:
        columns = data[at : at + 5 * n].reshape(5, n)
        at += 5 * n
        stamp_ns = np.rint(columns[4].view(np.float64) * _NS).astype(np.int64)
        if plan.wall_clock:
            stamp_ns -= wall_offset_ns(columns[0], message["wall_offsets"])
        found.append(Arrivals(columns[0], columns[1], columns[2], columns[3], stamp_ns))
    return found


def wall_offset_ns(
    times_ns: NDArray[np.int64], offsets: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC at times: a line through what was read, as time
    services turn the wall clock's rate, not its hands.

    Args:
        times_ns: (n,) CLOCK_MONOTONIC.
        offsets: [time, offset] at two moments.
    """
    (t0, first), (t1, last) = offsets
    # Differences first: whole offsets do not fit a float.
    turned = np.rint((times_ns - t0) * ((last - first) / max(t1 - t0, 1))).astype(np.int64)
    offset: NDArray[np.int64] = turned + first
    return offset


def _per_second(message: Message, amount: float) -> float:
    (begin, _), (end, _) = message["wall_offsets"]
    return amount / (float(end - begin) / _NS)


def _sleep_until(time_ns: int) -> None:
    time.sleep(max(time_ns - time.monotonic_ns(), 0) / _NS)
