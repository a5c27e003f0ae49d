"""Measure what clients that stop reading cost the server, and the clients that do not.

    python tools/slow_clients.py                       # a quarter of an hour: five minutes of each
    python tools/slow_clients.py --minutes 0.5 --slice-seconds 5
    PHANTOM_CLIENT_BEHIND_SECONDS=100000 PHANTOM_PING_TIMEOUT_SECONDS=100000 \\
        python tools/slow_clients.py --hold-seconds 100000     # nobody is closed, all are kept

Slices with stopped clients, with as many that read, and without either take turns, on one server,
so that a busy machine slows all. A stopped client connects, reads nothing for a while, then all
that there is, by which it learns why it was closed, and comes again: all in the sessions that the
others listen to. Of these every packet is timed, from its timestamp, which is when it left the
scheduler, to its arrival. What clients cost that read tells what of it is for having them, and what
for their having stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness.arrivals import Ns, read_columns
from tools.bench.harness.children import Child
from tools.bench.harness.server import StartedServer, positive
from tools.bench.harness.stats import Estimate, paired_difference, paired_ratio, quantiles

_MAX_GROWTH_MB = 50
_SESSIONS = 4
_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 60.0
# Of those that are not timed: what they do must not keep the others from reading.
_NICE = 19
_KINDS = ("stopped", "reading", "alone")


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What the clients that read have seen of one slice; latencies in ns."""

    latencies: Ns
    gaps: int
    rss_mb: float = math.nan


class Run:
    """One run, with a server and the clients that are timed."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self._arguments = arguments
        self._columns = folder / "columns.bin"
        self._server = StartedServer(None, Fraction(arguments.rate_hz), _SESSIONS, folder)
        stack.callback(self._server.stop)
        self._readers = self._start("receiver", arguments.readers, {})
        stack.callback(self._readers.stop)
        self._codes: Counter[int] = Counter()

    def measure(self) -> dict[str, Any]:
        """Run it all; the figures."""
        arguments, process = self._arguments, self._server.process
        assert process is not None
        slices: dict[str, list[Slice]] = {name: [] for name in _KINDS}
        self._read(arguments.slice_seconds)  # what is made once, is made
        n = max(1, round(arguments.minutes * 60 / arguments.slice_seconds))
        base_mb = process.memory_info().rss / 1e6
        for index in range(n):
            for name in _KINDS[:: 1 if index % 2 else -1]:
                slices[name].append(self._slice(name))
            shown = f"{slices['stopped'][-1].rss_mb:.1f} MB, codes {dict(self._codes)}"
            print(f"{index + 1} of {n}: {shown}", file=sys.stderr)
        stats = [self._server.must("GET", f"/api/stats/s{k}") for k in range(_SESSIONS)]
        every = [each for kind in slices.values() for each in kind]
        return {
            "minutes_with_stopped_clients": n * arguments.slice_seconds / 60,
            "stopped": arguments.stopped,
            "readers": arguments.readers,
            "rss_before_mb": base_mb,
            "rss_most_mb": max(each.rss_mb for each in every),
            "rss_at_the_end_mb": slices["alone"][-1].rss_mb,
            "descriptors_at_the_end": process.num_fds(),
            "close_codes": {str(code): count for code, count in sorted(self._codes.items())},
            **{
                name: sum(each[name] for each in stats)
                for name in ("slow_clients", "slow_clients_closed", "dropped_packets")
            },
            "packets_timed": sum(len(each.latencies) for each in every),
            "gaps_of_readers": sum(each.gaps for each in every),
            "latency": {
                name: compare(slices[name], slices["alone"]) for name in ("stopped", "reading")
            },
        }

    def _slice(self, name: str) -> Slice:
        """Beside such clients."""
        arguments, others = self._arguments, None
        if name != "alone":
            hold = arguments.hold_seconds
            config = {"nice": _NICE, "n": arguments.stopped, "seconds": [hold, 1.5 * hold]}
            module = "stopped" if name == "stopped" else "receiver"
            others = self._start(module, arguments.stopped, config)
            self._read(_CONNECT_SECONDS)
        if name == "reading":
            assert others is not None
            others.say({"end_ns": time.monotonic_ns() + int(3600e9)})
        found = self._read(arguments.slice_seconds)
        assert self._server.process is not None
        rss_mb = self._server.process.memory_info().rss / 1e6
        if others is not None:
            if name == "stopped":
                self._codes.update(dict(others.ask({}, _ANSWER_SECONDS)["codes"]))
            others.stop()
        return Slice(found.latencies, found.gaps, rss_mb)

    def _start(self, module: str, n: int, config: dict[str, Any]) -> Child:
        """A process with so many clients, spread over the sessions."""
        paths = [f"/stream/s{k % _SESSIONS}" for k in range(n)]
        where = {"host": self._server.host, "port": self._server.port, "paths": paths}
        child = Child(f"harness.{module}", where | config)
        child.read(_ANSWER_SECONDS)
        return child

    def _read(self, seconds: float) -> Slice:
        """Have the clients that are timed read for a while."""
        end_ns = time.monotonic_ns() + int(seconds * 1e9)
        asked = {"end_ns": end_ns, "out": str(self._columns)}
        told = self._readers.ask(asked, seconds + _ANSWER_SECONDS)
        if closed := [reason for reason in told["closed"] if reason]:
            raise SystemExit(f"the server closed a client that reads: {closed[0]}")
        arrivals = read_columns(self._columns, told, wall_clock=True)
        latencies = np.concatenate([each.arrival_ns - each.stamp_ns for each in arrivals])
        return Slice(latencies, told["n_gaps"])


def compare(beside: list[Slice], alone: list[Slice]) -> dict[str, Any]:
    """Percentiles beside other clients and without them, slice by slice."""
    result = {}
    for name in ("p50", "p99"):
        with_us, without_us = (
            [getattr(quantiles(each.latencies), name) / 1e3 for each in slices]
            for slices in (beside, alone)
        )
        result[name] = {
            "with_us": float(np.median(with_us)),
            "without_us": float(np.median(without_us)),
            "ratio": _json(paired_ratio(with_us, without_us)),
            "difference_us": _json(paired_difference(with_us, without_us)),
        }
    return result


def _json(estimate: Estimate) -> dict[str, float]:
    return {name: value for name, value in asdict(estimate).items() if name != "n"}


def as_text(result: dict[str, Any]) -> str:
    """For a person."""
    growth = result["rss_most_mb"] - result["rss_before_mb"]
    verdict = "holds" if growth < _MAX_GROWTH_MB else "fails"
    lines = [
        f"{result['stopped']} stopped clients for {result['minutes_with_stopped_clients']:.1f} "
        f"minutes, beside {result['readers']} that read",
        f"memory: {result['rss_before_mb']:.1f} MB before, {result['rss_most_mb']:.1f} at most, "
        f"{result['rss_at_the_end_mb']:.1f} at the end: {growth:+.1f} MB "
        f"(under {_MAX_GROWTH_MB}: {verdict})",
        f"stopped clients were closed {result['slow_clients_closed']} times, lost "
        f"{result['dropped_packets']} packets that waited, and read the codes "
        f"{result['close_codes']}",
        f"those that read: {result['packets_timed']} packets timed, "
        f"{result['gaps_of_readers']} gaps",
    ]
    for kind, said in (("stopped", "that stopped"), ("reading", "that read too")):
        lines.append(f"  from stamp to client, beside {result['stopped']} {said}:")
        for name, found in result["latency"][kind].items():
            ratio, difference = found["ratio"], found["difference_us"]
            lines.append(
                f"    {name}: {found['with_us']:.0f} us, {found['without_us']:.0f} without; "
                f"ratio {ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}], difference"
                f" {difference['median']:+.0f} us [{difference['low']:+.0f}, "
                f"{difference['high']:+.0f}]"
            )
    return "\n".join(lines)


def main() -> int:
    """0 when memory stayed bounded and nobody else lost a packet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, number, whole = parser.add_argument, positive(float), positive(int)
    add("--minutes", type=number, default=5.0, help="with stopped clients (%(default)s)")
    add("--slice-seconds", type=number, default=30.0, help="(%(default)s)")
    add("--stopped", type=whole, default=50, help="clients that stop (%(default)s)")
    add("--readers", type=whole, default=8, help="clients that read (%(default)s)")
    add("--hold-seconds", type=number, default=12.0, help="read nothing for so long (%(default)s)")
    add("--rate-hz", type=whole, default=40, help="packets a second (%(default)s)")
    add("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        result = Run(arguments, folder, stack).measure()
    print(json.dumps(result) if arguments.json else as_text(result))
    growth = result["rss_most_mb"] - result["rss_before_mb"]
    return int(growth >= _MAX_GROWTH_MB or result["gaps_of_readers"] > 0)


if __name__ == "__main__":
    sys.exit(main())
