"""Measure what captures cost: lateness and CPU with as many captures as sessions, and without.

    python tools/capture_cost.py                       # two minutes
    python tools/capture_cost.py --sessions 30 --slices 3 --slice-seconds 5

Slices with a capture of every session and slices without take turns on one server. Lateness is how
late packets left to the grid of each stream, by their stamps; CPU is that of the whole process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness.arrivals import read_columns
from tools.bench.harness.children import Child
from tools.bench.harness.server import Server, StartedServer, UsageMeter, positive
from tools.bench.harness.stats import paired_difference
from tools.bench.harness.text import number, table, us, with_interval
from tools.bench.jitter.series import figures

_RATE_HZ = Fraction(40)
_READY_SECONDS = 60.0
_ANSWER_SECONDS = 60.0
_SETTLE_SECONDS = 1.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sessions", type=positive(int), default=30, help="at once (%(default)s)")
    add("--slices", type=positive(int), default=6, help="of each kind (%(default)s)")
    add("--slice-seconds", type=positive(float), default=8.0, help="(%(default)s)")
    arguments = parser.parse_args()
    codes = [f"cost-{n}" for n in range(arguments.sessions)]
    found: dict[str, dict[bool, list[float]]] = {
        name: {True: [], False: []} for name in ("p50", "p99", "cpu")
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["PHANTOM_MAX_CAPTURES"] = str(arguments.sessions)
        os.environ["PHANTOM_CAPTURE_DIR"] = str(folder / "captures")
        server = StartedServer(None, _RATE_HZ, arguments.sessions, folder)
        stack.callback(server.stop)
        paths = [f"/stream/{code}" for code in codes]
        where = {"host": server.host, "port": server.port, "paths": paths}
        receiver = Child("harness.receiver", where)
        stack.callback(receiver.stop)
        receiver.read(_READY_SECONDS)
        n_bytes = seconds = 0.0
        for n in range(2 * arguments.slices):
            captured = bool(n % 2)
            begun = [_start(server, code) for code in codes] if captured else []
            time.sleep(_SETTLE_SECONDS)
            meter = UsageMeter(server.process)
            end_ns = time.monotonic_ns() + int(arguments.slice_seconds * 1e9)
            out = folder / "columns.bin"
            told = receiver.ask({"end_ns": end_ns, "out": str(out)}, _ANSWER_SECONDS)
            cpu, lasted = meter.seconds()
            slice_ = figures(read_columns(out, told, wall_clock=True), _RATE_HZ)
            for name, value in (
                ("p50", slice_.release.p50),
                ("p99", slice_.release.p99),
                ("cpu", cpu / lasted / (float(_RATE_HZ) * len(codes)) * 1e9),
            ):
                found[name][captured].append(value)
            for capture_id in begun:
                # Not stopped: it would be made an NWB file while the next slice is measured.
                ended = server.must("GET", f"/api/captures/{capture_id}", None)
                server.must("DELETE", f"/api/captures/{capture_id}", None)
                n_bytes, seconds = n_bytes + ended["bytes"], seconds + ended["seconds"]
                assert (ended["state"], ended["lost_packets"]) == ("running", 0), ended
    rows = [
        [label, with_interval(paired_difference(found[name][True], found[name][False]), us)]
        for label, name in (
            ("lateness p50, more", "p50"),
            ("lateness p99, more", "p99"),
            ("CPU of the process a packet, more", "cpu"),
        )
    ]
    rows.append(["MB an hour and capture", number(".1f")(n_bytes / seconds * 3600 / 1e6)])
    print(table([f"{len(codes)} captures at 40 Hz", "median [95 % interval]"], rows))
    return 0


def _start(server: Server, code: str) -> str:
    status, answer = server.call("POST", "/api/captures", {"session": code})
    assert status == 201, answer
    return str(answer["id"])


if __name__ == "__main__":
    sys.exit(main())
