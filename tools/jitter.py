"""Measure how evenly packets arrive, from PhantomLink and from what people would write instead.

    python tools/jitter.py --quick
    python tools/jitter.py --scenario many --json many.json

docs/internals/benchmark.md says what is measured, and how to read it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness.children import Child, ChildError
from tools.bench.harness.host import HostWatch
from tools.bench.harness.server import Server, StartedServer, add_arguments, chosen, positive
from tools.bench.harness.text import figures_table
from tools.bench.jitter import contestants as who
from tools.bench.jitter import criteria, report
from tools.bench.jitter.compute import computing
from tools.bench.jitter.memory import FIRST, FURTHER, measure_lsl_share, measure_memory
from tools.bench.jitter.plot import Picture
from tools.bench.jitter.raw import RawSlices
from tools.bench.jitter.routes import measure_routes
from tools.bench.jitter.run import measure_all
from tools.bench.jitter.scenarios import SCENARIOS, Scenario
from tools.bench.jitter.slices import Measured

_QUICK_SLICES, _QUICK_SECONDS = 3, 3.0
_MEMORY = "memory"
_ANSWER_SECONDS = 60.0
# That come and go beside the measured ones.
_OTHER_SESSIONS = 10
# Enough that no alternative sends the same bytes again and again.
_PACKETS_SECONDS, _MOST_PACKETS = 2.0, 80


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. 0: every criterion holds; 1: one does not; 2: it could not run."""
    arguments = _parser().parse_args(argv)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jitter-")))
            if arguments.scenario == _MEMORY:
                return _run_memory(arguments, folder)
            return _run_scenario(_scenario(arguments), arguments, folder, stack)
    except (ChildError, OSError) as error:
        print(f"jitter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run_scenario(
    scenario: Scenario, arguments: argparse.Namespace, folder: Path, stack: ExitStack
) -> int:
    picture = Picture(scenario.rate_hz) if arguments.plot else None
    raw = RawSlices() if arguments.json else None
    n_sessions = scenario.sessions + _OTHER_SESSIONS
    server = chosen(arguments, scenario.rate_hz, n_sessions, folder, lsl=scenario.lsl)
    stack.callback(server.stop)
    load = who.Load(scenario, _packets(server), folder, int(arguments.floor_margin_us * 1000))
    host = HostWatch(probe=not arguments.no_probe)
    stack.callback(host.stop)
    started, absent = _start(server, load, stack)
    stack.enter_context(computing(scenario.computing * len(os.sched_getaffinity(0))))

    def say(name: str, index: int, measured: Measured, _arrivals: object) -> None:
        line = report.progress(name, index, scenario.slices, measured)
        print(line, file=sys.stderr, flush=True)

    print(f"{scenario.name}: {scenario.about}; {_size(scenario)}", flush=True)
    observers = [say, *(each for each in (picture, raw) if each is not None)]
    results = measure_all(started, scenario, host, observers)
    results.not_measured |= absent
    found = [criterion(results) for criterion in scenario.criteria]
    if scenario.name == "churn":
        found += criteria.routes(measure_routes(server))
    print("\n" + report.text(results, not_permitted=host.not_permitted))
    print("\n" + report.verdicts(found, indication=arguments.quick))
    if raw is not None:
        about = {
            "scenario": scenario.name,
            "rate_hz": str(scenario.rate_hz),
            "sessions": scenario.sessions,
            "clients": scenario.clients,
            "quick": arguments.quick,
            "recording": server.metadata["dataset"],
            "probe_not_permitted": host.not_permitted,
        }
        raw.write(arguments.json, report.about(found, results.not_measured) | about)
    if picture is not None:
        picture.draw(arguments.plot, results)
    if who.PHANTOMLINK in results.not_measured:
        return 2
    return int(any(verdict.passed is False for verdict in found))


def _run_memory(arguments: argparse.Namespace, folder: Path) -> int:
    if arguments.url:
        raise ChildError("--scenario memory needs a server of its own; leave out --url")
    absent: dict[str, str] = {}
    with StartedServer(arguments.recording, Fraction(40), FIRST + FURTHER, folder) as server:
        figures = measure_memory(server)
    with StartedServer(arguments.recording, Fraction(40), FIRST, folder, lsl=True) as with_lsl:
        try:
            figures |= measure_lsl_share(with_lsl)
        except ChildError as error:
            absent["lsl"] = str(error)
    found = criteria.memory(figures["rss_first"], figures["uss_further_each"])
    print(figures_table(figures))
    print("\n" + report.verdicts(found, indication=False))
    if arguments.json:
        about = {"scenario": _MEMORY, "bytes": figures}
        RawSlices().write(arguments.json, report.about(found, absent) | about)
    return int(not all(verdict.passed for verdict in found))


def _scenario(arguments: argparse.Namespace) -> Scenario:
    """The scenario with what the command line says otherwise."""
    scenario = SCENARIOS[arguments.scenario]
    if arguments.quick:
        scenario = replace(scenario, slices=_QUICK_SLICES, slice_seconds=_QUICK_SECONDS)
    told = {field.name: vars(arguments).get(field.name) for field in fields(Scenario)}
    return replace(scenario, **{name: value for name, value in told.items() if value is not None})


def _packets(server: Server) -> list[bytes]:
    """The first of a session, as they came, to be sent again by what it is compared with."""
    code = f"jitter-capture-{os.getpid()}"
    config = {"paths": [f"/stream/binary/{code}"], "keeps": True}
    with Child("harness.receiver", server.address | config) as receiver:
        receiver.read(_ANSWER_SECONDS)
        end_ns = time.monotonic_ns() + int(_PACKETS_SECONDS * 1e9)
        packets: list[bytes] = receiver.ask({"end_ns": end_ns}, _ANSWER_SECONDS)["payloads"][0]
    server.call("DELETE", f"/api/sessions/{code}")
    return packets[:_MOST_PACKETS]


def _start(
    server: Server, load: who.Load, stack: ExitStack
) -> tuple[list[who.Contestant], dict[str, str]]:
    """Those that can be had here, and why the others cannot."""
    started: list[who.Contestant] = []
    absent: dict[str, str] = {}
    for name in load.scenario.contestants:
        try:
            contestant = who.STARTS[name](server, load)
        except ChildError as error:
            absent[name] = str(error)
            continue
        stack.callback(contestant.stop)
        started.append(contestant)
    return started, absent


def _size(scenario: Scenario) -> str:
    seconds = scenario.slices * len(scenario.contestants) * (scenario.slice_seconds + 2)
    return (
        f"{scenario.sessions} x {scenario.clients} at {scenario.rate_hz} Hz, {scenario.slices} "
        f"slices of {scenario.slice_seconds:g} s of {', '.join(scenario.contestants)}: "
        f"about {seconds / 60:.0f} min"
    )


def _names(text: str) -> tuple[str, ...]:
    known = {name for scenario in SCENARIOS.values() for name in scenario.contestants}
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(
            f"got {', '.join(unknown)}, takes {', '.join(sorted(known))} joined by commas"
        )
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jitter.py",
        description="Measures how evenly packets arrive at clients: from PhantomLink, from the "
        "loops that people would write instead, and from the floor, a bare loop that does nothing "
        "else. docs/internals/benchmark.md says how to read it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scenarios:\n"
        + "\n".join(f"  {s.name:<8} {s.about}" for s in SCENARIOS.values())
        + f"\n  {_MEMORY:<8} memory with 10 sessions, of 100 more, and of LSL outlets",
    )
    add, whole, number = parser.add_argument, positive(int), positive(float)
    add("--scenario", choices=[*SCENARIOS, _MEMORY], default="single", help="default: %(default)s")
    size = f"{_QUICK_SLICES} slices of {_QUICK_SECONDS:g} s"
    add("--quick", action="store_true", help=f"{size}: shows that it runs, no measurement")
    add("--slices", type=whole, help="rounds of the contestants")
    add("--slice-seconds", type=number, help="length of each slice")
    add("--sessions", type=whole, help="sessions at once")
    add("--clients", type=whole, help="clients of each session")
    add("--rate", dest="rate_hz", type=positive(Fraction), help="packets a second")
    add("--contestants", type=_names, help="who is measured, in this order, joined by commas")
    add_arguments(parser)
    early = "how long before a deadline the bare loop stops sleeping (default: %(default)g)"
    add("--floor-margin-us", type=number, default=400.0, help=early)
    add("--no-probe", action="store_true", help="do not watch the host with real-time probes")
    add("--plot", type=Path, metavar="PNG", help="draw it (needs matplotlib)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
