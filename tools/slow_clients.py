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
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness.host import HostWatch
from tools.bench.harness.server import Server, StartedServer, positive
from tools.bench.harness.text import figures_table
from tools.bench.jitter.contestants import Load, Phantomlink, Plan
from tools.bench.jitter.run import measure_all
from tools.bench.jitter.scenarios import Scenario
from tools.bench.jitter.slices import Measured, Results, ServerReport

_MAX_GROWTH_MB = 50
_SESSIONS = 4
_ANSWER_SECONDS = 60.0
# Of those that are not timed: what they do must not keep the others from reading.
_NICE = 19
_STOPPED, _READING, _ALONE = "stopped", "reading", "alone"
_COUNTED = ("slow_clients", "slow_clients_closed", "dropped_packets")


class Beside(Phantomlink):
    """The server with clients that are timed, beside such of another kind.

    Args:
        name: of that kind.
        server: running.
        load: what is asked of it.
        arguments: of the command line.

    Attributes:
        rss_mb: at the end of each slice.
        found: codes, by those who had stopped.
        counted: by the server, of them.
    """

    def __init__(
        self, name: str, server: Server, load: Load, arguments: argparse.Namespace
    ) -> None:
        super().__init__(server, load)
        self.name = name
        self._arguments = arguments
        self.rss_mb: list[float] = []
        self.found, self.counted = Counter[int](), Counter[str]()

    def plan(self, index: int) -> Plan:
        plan = super().plan(index)
        for code in self.codes:
            self.create(code)
        return replace(plan, paths=self._paths(self._arguments.readers))

    def begin(self) -> None:
        hold, n = self._arguments.hold_seconds, self._arguments.stopped
        config = self.server.address | {"nice": _NICE, "paths": self._paths(n)}
        if self.name == _STOPPED:
            config |= {"n": n, "seconds": [hold, 1.5 * hold]}
            self._others, _ = self._start("harness.stopped", config)
        elif self.name == _READING:
            self._others, _ = self._start("harness.receiver", config)
            self._others.say({"end_ns": time.monotonic_ns() + int(3600e9)})

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        assert self.process is not None
        self.rss_mb.append(self.process.memory_info().rss / 1e6)
        if self.name == _STOPPED:
            self.found.update(dict(self._others.ask({}, _ANSWER_SECONDS)["codes"]))
        self.stop()
        for code in self.codes:
            stats = self.server.must("GET", f"/api/stats/{code}")
            self.counted.update({name: stats[name] for name in _COUNTED})
        return super().end()

    def _paths(self, n: int) -> list[str]:
        """Of so many clients, spread over the sessions."""
        return [f"/stream/{self.codes[k % _SESSIONS]}" for k in range(n)]


def measure(arguments: argparse.Namespace, server: Server, folder: Path) -> dict[str, Any]:
    """Run it all; the figures."""
    n = max(1, round(arguments.minutes * 60 / arguments.slice_seconds))
    scenario = Scenario(
        name="slow clients",
        about="",
        criteria=(),
        sessions=_SESSIONS,
        rate_hz=server.rate_hz,
        slices=n,
        slice_seconds=arguments.slice_seconds,
    )
    load = Load(scenario, [], folder, 0)
    stopped, _, alone = kinds = [
        Beside(name, server, load, arguments) for name in (_STOPPED, _READING, _ALONE)
    ]

    def say(name: str, index: int, _measured: Measured, _arrivals: object) -> None:
        rss_mb = [round(each) for kind in kinds for each in kind.rss_mb[-1:]]
        shown = f"{name}: {rss_mb} MB, codes {dict(stopped.found)}"
        print(f"{index + 1} of {n}, {shown}", file=sys.stderr)

    host = HostWatch(probe=False)
    measure_all([alone], replace(scenario, slices=1), host, [])  # what is made once, is made
    base_mb = alone.rss_mb.pop()
    results = measure_all(kinds, scenario, host, [say])
    for reason in results.not_measured.values():
        raise SystemExit(reason)
    if closed := [reason for each in results.everything for reason in each.closed]:
        raise SystemExit(f"the server closed a client that reads: {closed[0]}")
    assert server.process is not None
    return {
        "minutes_with_stopped_clients": n * arguments.slice_seconds / 60,
        "stopped": arguments.stopped,
        "readers": arguments.readers,
        "rss_before_mb": base_mb,
        "rss_most_mb": max(mb for kind in kinds for mb in kind.rss_mb),
        "rss_at_the_end_mb": alone.rss_mb[-1],
        "descriptors_at_the_end": server.process.num_fds(),
        "close_codes": {str(code): count for code, count in sorted(stopped.found.items())},
        **{name: sum(kind.counted[name] for kind in kinds) for name in _COUNTED},
        "packets_timed": sum(each.raw.packets for each in results.everything),
        "gaps_of_readers": sum(each.raw.gaps for each in results.everything),
        "latency": {
            kind: {p: _compared(results, kind, f"transit.{p}") for p in ("p50", "p99")}
            for kind in (_STOPPED, _READING)
        },
    }


def _compared(results: Results, kind: str, figure: str) -> dict[str, Any]:
    """From stamp to client, beside such clients and without them, slice by slice."""
    pick = attrgetter(figure)
    ratio, difference = (
        {"median": each.median, "low": each.low, "high": each.high}
        for each in (results.ratio(kind, _ALONE, pick), results.difference(kind, _ALONE, pick))
    )
    return {
        "with_us": results.counting(kind, pick).median / 1e3,
        "without_us": results.counting(_ALONE, pick).median / 1e3,
        "ratio": ratio,
        "difference_us": {name: ns / 1e3 for name, ns in difference.items()},
    }


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
    with tempfile.TemporaryDirectory() as folder:
        rate_hz = Fraction(arguments.rate_hz)
        with StartedServer(None, rate_hz, _SESSIONS, Path(folder)) as server:
            result = measure(arguments, server, Path(folder))
    growth = result["rss_most_mb"] - result["rss_before_mb"]
    verdict = f"{growth:+.1f} MB, less than {_MAX_GROWTH_MB}: {growth < _MAX_GROWTH_MB}"
    print(json.dumps(result) if arguments.json else f"{verdict}\n\n{figures_table(result)}")
    return int(growth >= _MAX_GROWTH_MB or result["gaps_of_readers"] > 0)


if __name__ == "__main__":
    sys.exit(main())
