"""Slices with something and slices without it take turns on one server: what it costs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fractions import Fraction
from functools import partial
from itertools import groupby
from typing import TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray

from tools.bench.harness.arrivals import Arrivals, arrivals
from tools.bench.harness.children import Child
from tools.bench.harness.host import HostWatch
from tools.bench.harness.server import Server
from tools.bench.harness.stats import median_over_slices, paired_difference, pooled_difference
from tools.bench.harness.text import percent, us, with_interval
from tools.bench.jitter.series import Line, count_gaps, with_backlog

T = TypeVar("T")
_READY_SECONDS = 60.0
_ANSWER_SECONDS = 60.0
_SETTLE_NS = 1_000_000_000
_LOOK_NS = 50_000_000


class Clients:
    """A process with a client of each session, which listens, and answers while it is told to.

    Args:
        child: the process.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._are_answering = False
        self.process = psutil.Process(child.pid)

    def hear(self, end_ns: int) -> list[Arrivals]:
        """What comes until a time, CLOCK_MONOTONIC, connection by connection."""
        told_to = {"end_ns": end_ns, "answers": self._are_answering}
        return arrivals(self._child.ask(told_to, _ANSWER_SECONDS))

    @contextmanager
    def answering(self) -> Iterator[None]:
        """They answer every packet."""
        self._are_answering = True
        try:
            yield
        finally:
            self._are_answering = False


@contextmanager
def clients_of(server: Server, codes: Sequence[str], query: str = "") -> Iterator[Clients]:
    """A process with a client of each session.

    Args:
        server: that is measured.
        codes: of the sessions.
        query: of the streams.
    """
    paths = {"paths": [f"/stream/{code}{query}" for code in codes]}
    with Child("harness.receiver", server.address | paths) as receiver:
        receiver.read(_READY_SECONDS)
        yield Clients(receiver)


@contextmanager
def _beside(
    aside: Executor, doing: AbstractContextManager[None], clients: Clients
) -> Iterator[None]:
    """Enter and leave in a thread: clients that do not read meanwhile would be closed."""

    stack = ExitStack()
    _while_hearing(aside, clients, lambda: stack.enter_context(doing))
    try:
        yield
    finally:
        _while_hearing(aside, clients, stack.close)


def _while_hearing(aside: Executor, clients: Clients, call: Callable[[], T]) -> T:
    """What a call answers, which is made in a thread while the clients go on reading."""
    begun = aside.submit(call)
    while not begun.done():
        clients.hear(time.monotonic_ns() + _LOOK_NS)
    return begun.result()


def costs_of(
    doing: Callable[[], AbstractContextManager[None]],
    server: Server,
    clients: Clients,
    rate_hz: Fraction,
    slices: int,
    slice_seconds: float,
) -> list[list[str]]:
    """Rows of a table: by how much lateness and CPU are more while it is done.

    Slices come as without, with, with, without: what drifts, drifts for both. Percentiles of
    lateness are of all packets of a side, their intervals from drawing pairs of slices. Packets
    that a stall of the host touched are left out, where probes may watch it, and those that left
    before the server had caught up with it: what share that is, is told. And how busy the
    processes are, so that a reader can tell a machine that has no more to give.

    Args:
        doing: does it for as long as what it gives is entered.
        server: that is measured.
        clients: its clients.
        rate_hz: packets a second of each session.
        slices: of each kind.
        slice_seconds: of one.
    """
    assert server.process is not None
    found: dict[str, dict[bool, list[float]]] = defaultdict(lambda: {True: [], False: []})
    late: dict[bool, list[NDArray[np.int64]]] = {True: [], False: []}
    gaps = 0
    watch = HostWatch(probe=True)
    with ExitStack() as watching:
        watching.callback(watch.stop)
        for is_done, run in groupby(n % 4 in (1, 2) for n in range(2 * slices)):
            with ThreadPoolExecutor(1) as aside, ExitStack() as stack:
                if is_done:
                    stack.enter_context(_beside(aside, doing(), clients))
                for _ in run:
                    clients.hear(time.monotonic_ns() + _SETTLE_NS)
                    watch.begin()
                    began_ns = time.monotonic_ns()
                    before = _cpu_seconds(server.process), _cpu_seconds(clients.process)
                    arrived = clients.hear(began_ns + int(slice_seconds * 1e9))
                    after = _cpu_seconds(server.process), _cpu_seconds(clients.process)
                    ended_ns = time.monotonic_ns()
                    lost = watch.end(began_ns, ended_ns)
                    seconds = (ended_ns - began_ns) / 1e9
                    packets = sum(len(each.arrival_ns) for each in arrived)
                    # What they have not read by the time a slice begins, they read in it.
                    work_out = partial(_releases, arrived, rate_hz, lost.stalls or ())
                    kept = _while_hearing(aside, clients, work_out)
                    late[is_done].append(kept)
                    gaps += sum(count_gaps(each.sequence) for each in arrived)
                    for name, value in (
                        ("cpu", (after[0] - before[0]) / packets * 1e9),
                        ("server", (after[0] - before[0]) / seconds),
                        ("clients", (after[1] - before[1]) / seconds),
                        ("host", lost.fraction),
                        ("left out", 1 - kept.size / packets),
                    ):
                        found[name][is_done].append(value)
    rows = []
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        with ThreadPoolExecutor(1) as aside:
            with_it, without, more = _while_hearing(
                aside, clients, partial(pooled_difference, late[True], late[False], share)
            )
        rows += [
            [f"lateness {label}, more", with_interval(more, us)],
            [f"lateness {label}, without", with_interval(without, us)],
            [f"lateness {label}, with", with_interval(with_it, us)],
        ]
    cpu = paired_difference(found["cpu"][True], found["cpu"][False])
    rows.append(["CPU of the server a packet, more", with_interval(cpu, us)])
    for label, name, form in (
        ("server's core is busy", "server", percent),
        ("clients' core is busy", "clients", percent),
        ("the host was away", "host", percent),
        ("left out with what it held up", "left out", percent),
    ):
        for kind, is_done in (("without", False), ("with", True)):
            estimate = median_over_slices(found[name][is_done])
            rows.append([f"{label}, {kind}", with_interval(estimate, form)])
    return [*rows, ["packets that are missing", str(gaps)]]


def _releases(
    arrived: Sequence[Arrivals], rate_hz: Fraction, stalls: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """How late packets left that no stall held up, ns."""
    heard = [each for each in arrived if len(each.arrival_ns) > 1]
    held_up = with_backlog(stalls, [Line(each, rate_hz) for each in heard])
    lines = [Line(each, rate_hz, held_up) for each in heard]
    return np.concatenate([np.empty(0, np.int64), *(line.release[line.kept] for line in lines)])


def _cpu_seconds(process: psutil.Process) -> float:
    """Of the process alone: what it has others do runs beside it."""
    times = process.cpu_times()
    return float(times.user + times.system)
