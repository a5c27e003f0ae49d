"""Say where the microseconds of a tick go, with the real server and real clients on this machine.

    python tools/tick_profile.py
    python tools/tick_profile.py --scenario 100x1 --rounds 1

docs/internals/tick.md says how it is measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness.host import HostWatch
from tools.bench.harness.server import positive
from tools.bench.harness.text import as_json
from tools.bench.ticks.live import SCENARIOS
from tools.bench.ticks.rounds import Round, measure_round
from tools.bench.ticks.summary import summarize
from tools.bench.ticks.tables import as_text
from tools.bench.ticks.tick_probes import can_profile


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile and print; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("recording", nargs="?", help="NWB file or dataset; else what `phantomlink serve` plays")
    rates = "sessions x clients of each, @ packets a second; may be repeated (default: all)"
    add("--scenario", action="append", choices=list(SCENARIOS), help=rates)
    add("--rounds", type=positive(int), default=3, help="of all scenarios in turn")
    add("--seconds", type=positive(float), default=2.0, help="of each slice of a round")
    add("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(arguments)
    if (reason := can_profile()) is not None:
        print(reason, file=sys.stderr)
        return 1
    scenarios = [SCENARIOS[name] for name in options.scenario or SCENARIOS]
    rounds: dict[str, list[Round]] = {scenario.name: [] for scenario in scenarios}
    host, began_ns = HostWatch(probe=False), time.monotonic_ns()
    # Scenarios take turns, so that an hour's noise does not fall on one of them.
    for n in range(options.rounds):
        for scenario in scenarios:
            print(f"round {n + 1}, {scenario.name}", file=sys.stderr)
            rounds[scenario.name].append(
                measure_round(scenario, options.recording, options.seconds)
            )
    lost = host.end(began_ns, time.monotonic_ns())
    of_all_cpus = lost.seconds * len(lost.steal_seconds)
    result = {
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
            "trio": trio.__version__,
        },
        "host": {
            "steal": sum(lost.steal_seconds) / of_all_cpus,
            "busy": lost.busy_seconds / of_all_cpus,
        },
        "rounds": options.rounds,
        "slice_seconds": options.seconds,
        "scenarios": [summarize(scenario, rounds[scenario.name]) for scenario in scenarios],
    }
    if options.json is not None:
        options.json.write_bytes(as_json(result))
    print(as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
