"""The command: which scenarios, how often, and what is written where."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .host import HostMeter, machine
from .probes import can_profile
from .report import as_text
from .scenarios import SCENARIOS
from .slices import Round, measure_round
from .summary import summarize


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile and print; the exit code."""
    parser = argparse.ArgumentParser(
        description="Say where the microseconds of a tick go, with the real server and real "
        "clients on this machine."
    )
    parser.add_argument(
        "recording",
        nargs="?",
        help="NWB file or dataset; without it, what `phantomlink serve` would play",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        choices=list(SCENARIOS),
        help="sessions x clients of each, @ packets a second; may be repeated (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="of all scenarios in turn")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each slice of a round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("a run takes at least one round, and slices longer than 0 s")
    if (reason := can_profile()) is not None:
        print(reason, file=sys.stderr)
        return 1
    scenarios = [SCENARIOS[name] for name in options.scenario or SCENARIOS]
    rounds: dict[str, list[Round]] = {scenario.name: [] for scenario in scenarios}
    meter = HostMeter()
    # Scenarios take turns, so that an hour's noise does not fall on one of them.
    for n in range(options.rounds):
        for scenario in scenarios:
            print(f"round {n + 1}, {scenario.name}", file=sys.stderr)
            rounds[scenario.name].append(
                measure_round(scenario, options.recording, options.seconds)
            )
    result = {
        "machine": machine(),
        "host": meter.shares(),
        "rounds": options.rounds,
        "slice_seconds": options.seconds,
        "scenarios": [summarize(scenario, rounds[scenario.name]) for scenario in scenarios],
    }
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(as_text(result))
    return 0
