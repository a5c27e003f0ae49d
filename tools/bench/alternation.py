"""Slices with something and slices without it take turns on one server: what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from pathlib import Path

from tools.bench.harness.arrivals import read_columns
from tools.bench.harness.children import Child
from tools.bench.harness.server import Server, UsageMeter
from tools.bench.harness.stats import paired_difference
from tools.bench.harness.text import us, with_interval
from tools.bench.jitter.series import figures

_READY_SECONDS = 60.0
_ANSWER_SECONDS = 60.0
_SETTLE_SECONDS = 1.0


def costs_of(
    doing: Callable[[], AbstractContextManager[None]],
    server: Server,
    codes: Sequence[str],
    folder: Path,
    rate_hz: Fraction,
    slices: int,
    slice_seconds: float,
) -> list[list[str]]:
    """Rows of a table: by how much lateness and CPU are more while it is done.

    Args:
        doing: does it for as long as what it gives is entered.
        server: that is measured.
        codes: of the sessions that are listened to.
        folder: for what the receiver writes.
        rate_hz: packets a second of each session.
        slices: of each kind.
        slice_seconds: of one.
    """
    found: dict[str, dict[bool, list[float]]] = {
        name: {True: [], False: []} for name in ("p50", "p99", "cpu")
    }
    paths = [f"/stream/{code}" for code in codes]
    with ExitStack() as stack:
        where = {"host": server.host, "port": server.port, "paths": paths}
        receiver = Child("harness.receiver", where)
        stack.callback(receiver.stop)
        receiver.read(_READY_SECONDS)
        for n in range(2 * slices):
            is_done = bool(n % 2)
            with ExitStack() as slice_stack:
                if is_done:
                    slice_stack.enter_context(doing())
                time.sleep(_SETTLE_SECONDS)
                meter = UsageMeter(server.process)
                end_ns = time.monotonic_ns() + int(slice_seconds * 1e9)
                out = folder / "columns.bin"
                told = receiver.ask({"end_ns": end_ns, "out": str(out)}, _ANSWER_SECONDS)
                cpu, lasted = meter.seconds()
            slice_ = figures(read_columns(out, told, wall_clock=True), rate_hz)
            for name, value in (
                ("p50", slice_.release.p50),
                ("p99", slice_.release.p99),
                ("cpu", cpu / lasted / (float(rate_hz) * len(codes)) * 1e9),
            ):
                found[name][is_done].append(value)
    return [
        [label, with_interval(paired_difference(found[name][True], found[name][False]), us)]
        for label, name in (
            ("lateness p50, more", "p50"),
            ("lateness p99, more", "p99"),
            ("CPU of the process a packet, more", "cpu"),
        )
    ]
