"""The command line of the jitter benchmark."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import psutil

from . import contestants as who
from . import criteria, report
from .compute import computing
from .frames import FrameError
from .host import HostWatch
from .memory import FIRST, FURTHER, measure_lsl_share, measure_memory
from .names import PHANTOMLINK
from .payloads import capture, save
from .plot import Picture
from .raw import RawSlices, verdicts_json
from .routes import measure_routes
from .run import Observer, measure_all
from .scenarios import SCENARIOS, Scenario
from .server import Server, StartedServer
from .slices import Measured, Results
from .talk import ChildError

_QUICK_SLICES, _QUICK_SECONDS = 3, 3.0
_MEMORY = "memory"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. 0: every criterion holds; 1: one does not; 2: it could not run."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except (ChildError, FrameError, OSError) as error:
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
    server = _server(arguments, scenario.sessions + scenario.other_sessions, scenario, folder)
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
    found = scenario.criteria(results)
    if scenario.name == "churn":
        found += criteria.routes(measure_routes(server))
    print("\n" + report.text(results, not_permitted=host.not_permitted))
    print("\n" + report.verdicts(found, indication=arguments.quick))
    if raw is not None:
        about = report.environment() | verdicts_json(found, results)
        about |= {
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
    lines, found, figures = measure_memory(server, folder)
    print(lines)
    with_lsl = StartedServer(arguments.recording, Fraction(40), FIRST, folder, lsl=True)
    stack.callback(with_lsl.stop)
    lines, share = measure_lsl_share(with_lsl, folder, figures)
    print(lines)
    figures |= share
    print("\n" + report.verdicts(found, indication=False))
    if arguments.json:
        about = report.environment() | verdicts_json(found, Results())
        RawSlices().write(arguments.json, about | {"scenario": _MEMORY, "bytes": figures})
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


def _server(
    arguments: argparse.Namespace, sessions: int, scenario: Scenario, folder: Path
) -> Server:
    if not arguments.url:
        return StartedServer(
            arguments.recording, scenario.rate_hz, sessions, folder, lsl=scenario.lsl
        )
    process = psutil.Process(arguments.pid) if arguments.pid else None
    server = Server(arguments.url, process)
    if server.rate_hz != scenario.rate_hz:
        raise ChildError(
            f"the server at {arguments.url} sends {server.rate_hz} packets a second, this run "
            f"wants {scenario.rate_hz}: start it with --stream-frequency-hz {scenario.rate_hz}"
        )
    return server


def _load(
    scenario: Scenario, arguments: argparse.Namespace, server: Server, folder: Path
) -> who.Load:
    packets = folder / "packets.bin"
    code = f"jitter-capture-{os.getpid()}"
    save(capture(server.host, server.port, code), packets)
    server.rest.call("DELETE", f"/api/sessions/{code}")
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
            contestant = who.start(name, server, load)
        except ChildError as error:
            absent[name] = str(error)
            continue
        stack.callback(contestant.stop)
        started.append(contestant)
    return started, absent


def _exit_code(found: list[criteria.Verdict], results: Results) -> int:
    if PHANTOMLINK in results.not_measured:
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


def _positive(kind: type[int | float | Fraction]) -> Callable[[str], int | float | Fraction]:
    def parse(text: str) -> int | float | Fraction:
        value = kind(text)
        if value <= 0:
            raise ValueError(text)
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


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
    parser.add_argument("--slices", type=_positive(int), help="rounds of the contestants")
    parser.add_argument("--slice-seconds", type=_positive(float), help="length of each slice")
    parser.add_argument("--sessions", type=_positive(int), help="sessions at once")
    parser.add_argument("--clients", type=_positive(int), help="clients of each session")
    parser.add_argument("--rate", type=_positive(Fraction), help="packets a second")
    parser.add_argument(
        "--contestants", type=_names, help="who is measured, in this order, joined by commas"
    )
    parser.add_argument(
        "--recording", type=Path, help="an NWB file (default: the synthetic recording)"
    )
    parser.add_argument("--url", help="a server that runs already, http://host:port")
    parser.add_argument(
        "--pid", type=_positive(int), help="process of that server, for its CPU and memory"
    )
    parser.add_argument(
        "--floor-margin-us",
        type=_positive(float),
        default=400.0,
        help="how long before a deadline the bare loop stops sleeping (default: %(default)g)",
    )
    parser.add_argument(
        "--no-probe", action="store_true", help="do not watch the host with real-time probes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep everything, raw")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw it (needs matplotlib)")
    return parser
