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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.alternation import clients_of, costs_of
from tools.bench.harness.server import Server, StartedServer, positive
from tools.bench.harness.text import number, table

_RATE_HZ = Fraction(40)


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
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["PHANTOM_MAX_CAPTURES"] = str(arguments.sessions)
        os.environ["PHANTOM_CAPTURE_DIR"] = str(folder / "captures")
        server = StartedServer(None, _RATE_HZ, arguments.sessions, folder)
        stack.callback(server.stop)
        n_bytes = seconds = 0.0

        @contextmanager
        def capturing() -> Iterator[None]:
            nonlocal n_bytes, seconds
            begun = [_start(server, code) for code in codes]
            yield
            for capture_id in begun:
                # Not stopped: it would be made an NWB file while the next slice is measured.
                ended = server.must("GET", f"/api/captures/{capture_id}", None)
                server.must("DELETE", f"/api/captures/{capture_id}", None)
                n_bytes, seconds = n_bytes + ended["bytes"], seconds + ended["seconds"]
                assert (ended["state"], ended["lost_packets"]) == ("running", 0), ended

        clients = stack.enter_context(clients_of(server, codes))
        rows = costs_of(
            capturing,
            server,
            clients,
            _RATE_HZ,
            arguments.slices,
            arguments.slice_seconds,
        )
    rows.append(["MB an hour and capture", number(".1f")(n_bytes / seconds * 3600 / 1e6)])
    print(table([f"{len(codes)} captures at 40 Hz", "median [95 % interval]"], rows))
    return 0


def _start(server: Server, code: str) -> str:
    status, answer = server.call("POST", "/api/captures", {"session": code})
    assert status == 201, answer
    return str(answer["id"])


if __name__ == "__main__":
    sys.exit(main())
