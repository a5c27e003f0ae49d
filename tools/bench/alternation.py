"""Slices with something and slices without it take turns on one server: what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fractions import Fraction

from tools.bench.harness.arrivals import Arrivals, arrivals
from tools.bench.harness.children import Child
from tools.bench.harness.server import Server, UsageMeter
from tools.bench.harness.stats import paired_difference
from tools.bench.harness.text import us, with_interval
from tools.bench.jitter.series import figures

_READY_SECONDS = 60.0
_ANSWER_SECONDS = 60.0
_SETTLE_NS = 1_000_000_000
_LOOK_NS = 50_000_000

Hear = Callable[[int], Sequence[Arrivals]]
"""Listens until a time, CLOCK_MONOTONIC in ns: what came meanwhile, connection by connection."""


@contextmanager
def receiver_of(server: Server, codes: Sequence[str]) -> Iterator[Hear]:
    """A process with a client of each session, which only listens.

    Args:
        server: that is measured.
        codes: of the sessions.
    """
    paths = {"paths": [f"/stream/{code}" for code in codes]}
    with Child("harness.receiver", server.address | paths) as receiver:
        receiver.read(_READY_SECONDS)
        yield lambda end_ns: arrivals(receiver.ask({"end_ns": end_ns}, _ANSWER_SECONDS))


@contextmanager
def _beside(aside: Executor, doing: AbstractContextManager[None], hear: Hear) -> Iterator[None]:
    """Enter and leave in a thread: clients that do not read meanwhile would be closed."""

    def wait(call: Callable[[], object]) -> None:
        begun = aside.submit(call)
        while not begun.done():
            hear(time.monotonic_ns() + _LOOK_NS)
        begun.result()

    stack = ExitStack()
    wait(lambda: stack.enter_context(doing))
    try:
        yield
    finally:
        wait(stack.close)


def costs_of(
    doing: Callable[[], AbstractContextManager[None]],
    server: Server,
    hear: Hear,
    rate_hz: Fraction,
    slices: int,
    slice_seconds: float,
) -> list[list[str]]:
    """Rows of a table: by how much lateness and CPU are more while it is done.

    Args:
        doing: does it for as long as what it gives is entered.
        server: that is measured.
        hear: its clients.
        rate_hz: packets a second of each session.
        slices: of each kind.
        slice_seconds: of one.
    """
    found: dict[str, dict[bool, list[float]]] = {
        name: {True: [], False: []} for name in ("p50", "p99", "cpu")
    }
    gaps = 0
    for n in range(2 * slices):
        is_done = bool(n % 2)
        with ThreadPoolExecutor(1) as aside, ExitStack() as stack:
            if is_done:
                stack.enter_context(_beside(aside, doing(), hear))
            hear(time.monotonic_ns() + _SETTLE_NS)
            meter = UsageMeter(server.process)
            arrived = hear(time.monotonic_ns() + int(slice_seconds * 1e9))
            cpu, _ = meter.seconds()
        slice_ = figures(arrived, rate_hz)
        gaps += slice_.gaps
        for name, value in (
            ("p50", slice_.release.p50),
            ("p99", slice_.release.p99),
            ("cpu", cpu / slice_.packets * 1e9),
        ):
            found[name][is_done].append(value)
    return [
        [label, with_interval(paired_difference(found[name][True], found[name][False]), us)]
        for label, name in (
            ("lateness p50, more", "p50"),
            ("lateness p99, more", "p99"),
            ("CPU of the process a packet, more", "cpu"),
        )
    ] + [["packets that are missing", str(gaps)]]
