"""Measures: slice after slice, the contestants in turn."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ..harness.arrivals import Arrivals, arrivals
from ..harness.children import Child, ChildError, Message
from ..harness.host import HostWatch
from ..harness.server import UsageMeter
from .contestants import Contestant
from .scenarios import Scenario
from .series import figures, seams
from .slices import Measured, Results, Usage

# Left out before each slice: what starts up is not what runs.
SETTLE_SECONDS = 1.0
_READY_SECONDS = 60.0
_TELL_SECONDS = 60.0
# One process reads so many connections in well under a tenth of a core at 40 Hz.
_CONNECTIONS_PER_RECEIVER = 100
_NS = 1_000_000_000

Observer = Callable[[str, int, Measured, list[Arrivals]], None]


def measure_all(
    contestants: Sequence[Contestant],
    scenario: Scenario,
    host: HostWatch,
    observers: Sequence[Observer],
) -> Results:
    """Measure every contestant in every round.

    Args:
        contestants: started. The order is turned round in every other round, so that nobody
            always comes first after somebody else; neighbours stay neighbours.
        scenario: what is asked of them.
        host: watched meanwhile.
        observers: told of each slice, with all that arrived.

    Returns:
        The slices. A contestant that failed has none; `not_measured` says why.
    """
    results = Results()
    failed: set[str] = set()
    for index in range(scenario.slices):
        for contestant in contestants if index % 2 == 0 else reversed(contestants):
            if contestant.name in failed:
                continue
            try:
                measured, arrived = _measure(contestant, scenario, index, host)
            except ChildError as error:
                # One slice less would pair the wrong slices from here on.
                failed.add(contestant.name)
                results.not_measured[contestant.name] = str(error)
                results.slices.pop(contestant.name, None)
                print(f"{contestant.name}: {error}", file=sys.stderr)
                continue
            results.slices.setdefault(contestant.name, []).append(measured)
            for observe in observers:
                observe(contestant.name, index, measured, arrived)
    return results


def _measure(
    contestant: Contestant, scenario: Scenario, index: int, host: HostWatch
) -> tuple[Measured, list[Arrivals]]:
    """One slice of one contestant."""
    plan, rate_hz = contestant.plan(index), scenario.rate_hz
    n_receivers = _n_receivers(len(plan.paths))
    with ExitStack() as stack:
        receivers = [
            stack.enter_context(
                Child(plan.module, {**plan.address, "paths": plan.paths[n::n_receivers]}, plan.env)
            )
            for n in range(n_receivers)
        ]
        ready = [receiver.read(_READY_SECONDS) for receiver in receivers]
        contestant.begin()
        start_ns = time.monotonic_ns() + int(SETTLE_SECONDS * _NS)
        end_ns = start_ns + int(scenario.slice_seconds * _NS)
        for receiver in receivers:
            receiver.say({"end_ns": end_ns})
        _sleep_until(start_ns)
        host.begin()
        meter = UsageMeter(contestant.process)
        _sleep_until(end_ns)
        cpu_seconds, seconds = meter.seconds()
        lost = host.end(start_ns, end_ns)
        told = [receiver.read(_TELL_SECONDS) for receiver in receivers]
    report, notes = contestant.end()
    arrived = [
        connection.within(start_ns, end_ns)
        for each in told
        for connection in arrivals(each, wall_clock=plan.of_server)
    ]
    return (
        Measured(
            raw=figures(arrived, rate_hz, shared=plan.shared),
            clean=None
            if lost.stalls is None
            else figures(arrived, rate_hz, lost.stalls, shared=plan.shared),
            lost=lost,
            usage=Usage(cpu_seconds / seconds, *meter.memory_bytes()),
            receiver_cpu=sum(_per_second(each, "cpu_seconds") for each in told),
            bytes_per_second=sum(_per_second(each, "bytes") for each in told),
            first_packet_seconds=tuple(t / _NS for each in ready for t in each["first_packet_ns"]),
            closed=tuple(reason for each in told for reason in each["closed"] if reason),
            report=report,
            seams=tuple(
                seam
                for connection in arrived
                if plan.of_server
                for seam in seams(connection, rate_hz, lost.stalls or ())
            ),
            notes=notes,
        ),
        arrived,
    )


def _n_receivers(n_connections: int) -> int:
    """As many processes as the connections need, one a core at most."""
    wanted = math.ceil(n_connections / _CONNECTIONS_PER_RECEIVER)
    return min(max(wanted, 1), len(os.sched_getaffinity(0)))


def _per_second(told: Message, what: str) -> float:
    (begin, _), (end, _) = told["wall_offsets"]
    return float(told[what]) * _NS / (end - begin)


def _sleep_until(time_ns: int) -> None:
    time.sleep(max(time_ns - time.monotonic_ns(), 0) / _NS)
