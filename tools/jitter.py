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
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

from websockets.exceptions import WebSocketException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness.children import ChildError
from tools.bench.harness.frames import FrameError
from tools.bench.harness.host import HostWatch
from tools.bench.harness.payloads import capture, save
from tools.bench.harness.server import Server, StartedServer, add_arguments, chosen, positive
from tools.bench.harness.text import Verdict
from tools.bench.jitter import contestants as who
from tools.bench.jitter import criteria, report
from tools.bench.jitter.compute import computing
from tools.bench.jitter.memory import FIRST, FURTHER, measure_lsl_share, measure_memory
from tools.bench.jitter.plot import Picture
from tools.bench.jitter.raw import RawSlices
from tools.bench.jitter.routes import measure_routes
from tools.bench.jitter.run import Observer, measure_all
from tools.bench.jitter.scenarios import SCENARIOS, Scenario
from tools.bench.jitter.slices import Measured, Results

_QUICK_SLICES, _QUICK_SECONDS = 3, 3.0
_MEMORY = "memory"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. 0: every criterion holds; 1: one does not; 2: it could not run."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except (ChildError, FrameError, OSError, WebSocketException) as error:
        print(f"jitter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jitter-")))
        if arguments.scenario == _MEMORY:
            return _run_memory(arguments, folder, stack)
        return _run_scenario(_scenario(arguments), arguments, folder, stack)


def _run_scenario(
    scenario: Scenario, arguments: argparse.Namespace, folder: Path, stack: ExitStack
) -> int:
    observers: list[Observer] = []
    picture = Picture(scenario.rate_hz) if arguments.plot else None
    raw = RawSlices() if arguments.json else None
    observers += [observer for observer in (picture, raw) if observer is not None]
    n_sessions = scenario.sessions + scenario.other_sessions
    server = chosen(arguments, scenario.rate_hz, n_sessions, folder, lsl=scenario.lsl)
    stack.callback(server.stop)
    load = _load(scenario, arguments, server, folder)
    host = HostWatch(probe=not arguments.no_probe)
    stack.callback(host.stop)
    started, absent = _start(scenario, server, load, stack)
    stack.enter_context(computing(scenario.computing * len(os.sched_getaffinity(0))))

    def say(name: str, index: int, measured: Measured, _arrivals: object) -> None:
        line = report.progress(name, index, scenario.slices, measured)
        print(line, file=sys.stderr, flush=True)

    print(f"{scenario.name}: {scenario.about}; {_size(scenario)}", flush=True)
    results = measure_all(started, load, scenario.slices, host, [say, *observers])
    results.not_measured |= absent
    found = scenario.verdicts(results)
    if scenario.name == "churn":
        found += criteria.routes(measure_routes(server))
    print("\n" + report.text(results, not_permitted=host.not_permitted))
    print("\n" + report.verdicts(found, indication=arguments.quick))
    if raw is not None:
        about = report.environment() | {
            "criteria": [asdict(verdict) for verdict in found],
            "not_measured": results.not_measured,
            "scenario": scenario.name,
            "rate_hz": str(load.rate_hz),
            "sessions": scenario.sessions,
            "clients": scenario.clients,
            "quick": arguments.quick,
            "recording": server.metadata["dataset"],
            "probe_not_permitted": host.not_permitted,
        }
        raw.write(arguments.json, about)
    if picture is not None:
        picture.draw(arguments.plot, results)
    return _exit_code(found, results)


def _run_memory(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> int:
    if arguments.url:
        raise ChildError("--scenario memory needs a server of its own; leave out --url")
    server = StartedServer(arguments.recording, Fraction(40), FIRST + FURTHER, folder)
    stack.callback(server.stop)
    lines, found, figures = measure_memory(server)
    print(lines)
    with_lsl = StartedServer(arguments.recording, Fraction(40), FIRST, folder, lsl=True)
    stack.callback(with_lsl.stop)
    lines, share = measure_lsl_share(with_lsl, figures)
    print(lines)
    figures |= share
    print("\n" + report.verdicts(found, indication=False))
    if arguments.json:
        about = report.environment() | {
            "criteria": [asdict(verdict) for verdict in found],
            "not_measured": {},
            "scenario": _MEMORY,
            "bytes": figures,
        }
        RawSlices().write(arguments.json, about)
    return 0 if all(v.passed for v in found) else 1


def _scenario(arguments: argparse.Namespace) -> Scenario:
    """The scenario with what the command line says otherwise."""
    scenario = SCENARIOS[arguments.scenario]
    if arguments.quick:
        scenario = replace(scenario, slices=_QUICK_SLICES, slice_seconds=_QUICK_SECONDS)
    told = {
        "slices": arguments.slices,
        "slice_seconds": arguments.slice_seconds,
        "sessions": arguments.sessions,
        "clients": arguments.clients,
        "rate_hz": arguments.rate,
        "contestants": arguments.contestants,
    }
    return replace(scenario, **{name: value for name, value in told.items() if value is not None})


def _load(
    scenario: Scenario, arguments: argparse.Namespace, server: Server, folder: Path
) -> who.Load:
    packets = folder / "packets.bin"
    code = f"jitter-capture-{os.getpid()}"
    save(capture(server.host, server.port, code), packets)
    server.call("DELETE", f"/api/sessions/{code}")
    return who.Load(
        rate_hz=scenario.rate_hz,
        sessions=scenario.sessions,
        clients=scenario.clients,
        packets=packets,
        folder=folder,
        floor_margin_ns=int(arguments.floor_margin_us * 1000),
        seam=scenario.seam,
        slice_seconds=scenario.slice_seconds,
        lsl=scenario.lsl,
    )


def _start(
    scenario: Scenario, server: Server, load: who.Load, stack: ExitStack
) -> tuple[list[who.Contestant], dict[str, str]]:
    """Those that can be had here, and why the others cannot."""
    started: list[who.Contestant] = []
    absent: dict[str, str] = {}
    for name in scenario.contestants:
        try:
            contestant = who.STARTS[name](server, load)
        except ChildError as error:
            absent[name] = str(error)
            continue
        stack.callback(contestant.stop)
        started.append(contestant)
    return started, absent


def _exit_code(found: list[Verdict], results: Results) -> int:
    if who.PHANTOMLINK in results.not_measured:
        return 2
    return 1 if any(v.passed is False for v in found) else 0


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
    parser.add_argument(
        "--scenario", choices=[*SCENARIOS, _MEMORY], default="single", help="default: %(default)s"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{_QUICK_SLICES} slices of {_QUICK_SECONDS:g} s: shows that it runs, no measurement",
    )
    parser.add_argument("--slices", type=positive(int), help="rounds of the contestants")
    parser.add_argument("--slice-seconds", type=positive(float), help="length of each slice")
    parser.add_argument("--sessions", type=positive(int), help="sessions at once")
    parser.add_argument("--clients", type=positive(int), help="clients of each session")
    parser.add_argument("--rate", type=positive(Fraction), help="packets a second")
    parser.add_argument(
        "--contestants", type=_names, help="who is measured, in this order, joined by commas"
    )
    add_arguments(parser)
    parser.add_argument(
        "--floor-margin-us",
        type=positive(float),
        default=400.0,
        help="how long before a deadline the bare loop stops sleeping (default: %(default)g)",
    )
    parser.add_argument(
        "--no-probe", action="store_true", help="do not watch the host with real-time probes"
    )
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw it (needs matplotlib)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
