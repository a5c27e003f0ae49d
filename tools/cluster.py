"""Plays many sessions on several processes or nodes, kills and freezes them, checks every packet.

    python -m tools.cluster play --processes 2 --sessions 440
    python -m tools.cluster capacity         # 440 sessions: two processes hold them, one does not
    python -m tools.cluster cost             # 200 sessions: lateness and CPU of two and of one
    python -m tools.cluster first-byte       # of an answer, with two and with one
    python -m tools.cluster kill --processes 2 --times 20
    python -m tools.cluster freeze --processes 2 --times 10
    python -m tools.cluster kill --nodes 4 --times 20
    python -m tools.cluster freeze --nodes 4 --times 10
    python -m tools.cluster away             # and what else befalls nodes: tools/cluster_nodes.py

The clients run in one process beside the servers: one WebSocket a session, which comes back at once
when it is cut off. Every packet is computed anew from the recording, the session's perturbation and
its seed, and compared in all it says; a number may come once to a client. With nodes, a Valkey from
a wheel is their directory; a whole node is killed and started again, or frozen for some seconds,
and what comes from it after the heir's first packet is counted. A server with processes ends when
more than five have ended within a minute, so it is a new one for each five.

Each takes less than five minutes. Exit code 0: all of it holds; 1: something does not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil

from phantomlink.recordings.synthetic import synthesize
from tools.bench.harness.host import HostWatch
from tools.bench.harness.text import Verdict as Criterion
from tools.cluster_clients import Client, Crowd
from tools.cluster_cpu import CpuLooks, usage
from tools.cluster_first_byte import first_byte
from tools.cluster_judge import Returns, Verdict, judge, returns
from tools.cluster_nodes import NODE_RUNS
from tools.cluster_oracle import RATE_HZ, Oracle
from tools.cluster_scene import Material
from tools.cluster_servers import NOISE, SEED, Server, servers

_SECONDS_BETWEEN = 6.0
_FROZEN_SECONDS = 4.0
_TRIALS = 60
_MOST_AT_A_TIME = 5
_SESSIONS = {"play": 100, "capacity": 440, "cost": 200, "kill": 100, "freeze": 100}
_SESSIONS["takeover"] = 1000
_NODE_SESSIONS = 40
_SECONDS = {"away": 60.0}
_USUAL_SECONDS, _USUAL_TIMES = 20.0, 3
# What has to hold.
_RATE_ERROR_HZ = 0.05
_MORE_LATENESS_MS = 1.0
_CPU_RATIO = 1.1
_BACK_SECONDS = {"processes": 1.0, "nodes": 2.0}
_OTHERS_LATE_MS = 5.0
# A lease ends, heirs come and with them the clients; then nothing; then what was killed starts.
_AFTER_S = (0.0, 0.9, 2.0, 6.0, 9.0, 60.0)


@dataclass(frozen=True, slots=True)
class Played:
    """Figures of sessions that played for a while."""

    processes: int
    sessions: int
    silent: int
    rate_hz_mean: float
    rate_hz_min: float
    rate_hz_max: float
    skipped: int
    repeated: int
    wrong: int
    lateness_ms_p50: float | None
    lateness_ms_p99: float | None
    cpu_percent: float
    left_out_percent: float
    clients_cpu_percent: float

    @property
    def keeps_rate(self) -> bool:
        """Whether every session plays at its rate, with no gap."""
        within = all(
            abs(rate - RATE_HZ) <= _RATE_ERROR_HZ for rate in (self.rate_hz_min, self.rate_hz_max)
        )
        return within and not self.skipped and not self.silent

    def __str__(self) -> str:
        return (
            f"{self.processes} process{'es' * (self.processes > 1)}: {self.rate_hz_mean:.3f} Hz "
            f"({self.rate_hz_min:.3f} to {self.rate_hz_max:.3f}), {self.skipped} skipped, "
            f"{self.silent} silent"
        )


@dataclass
class Hurt:
    """Figures of all blows."""

    verdict: Verdict = field(default_factory=Verdict)
    returns: Returns = field(default_factory=Returns)
    blows: int = 0

    def add(self, verdict: Verdict, found: Returns, blows: int) -> None:
        """Those of one server."""
        self.blows += blows
        for name in ("packets", "repeated", "wrong", "after_heir"):
            setattr(self.verdict, name, getattr(self.verdict, name) + getattr(verdict, name))
        self.returns.back_s += found.back_s
        self.returns.others_late_ms += found.others_late_ms
        self.returns.others_after_s += found.others_after_s
        self.returns.not_back += found.not_back
        self.returns.left_out += found.left_out


class Bench:
    """A recording, what its packets are, and servers that play it.

    Args:
        folder: for all files.
        arguments: of the command.
    """

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self._folder = folder
        self._recording = folder / "recording.nwb"
        synthesize(self._recording, trials=_TRIALS)
        self._oracle = Oracle(self._recording, NOISE, SEED)
        self.material = Material(self._recording, folder, self._oracle)
        self._arguments = arguments

    def play(self, processes: int) -> Played:
        """Play for a while on a new server, and see what came."""
        told = self._arguments
        clock = time.time() - time.monotonic()
        with servers(
            self._recording,
            self._folder,
            nodes=told.nodes,
            processes=processes,
            sessions=told.sessions,
        ) as started:
            clients, crowd = _connected(started, told)
            watch = HostWatch(probe=True)
            since, own = time.monotonic(), time.process_time()
            looks = CpuLooks([each.pid for server in started for each in server.processes()])
            crowd.collect(told.seconds)
            until, own = time.monotonic(), time.process_time() - own
            stalls = _stalls(watch, since, until)
            used = usage(looks.end(), stalls)
            # What left before the end is still to be read.
            crowd.collect(0.3)
        stalls = [(begin + clock, end + clock) for begin, end in stalls]
        verdict = judge(clients, self._oracle, since + clock, until + clock, stalls)
        rates = np.array(verdict.rates_hz or [0.0])
        return Played(
            processes,
            told.sessions,
            verdict.silent,
            round(float(rates.mean()), 3),
            round(float(rates.min()), 3),
            round(float(rates.max()), 3),
            verdict.skipped,
            verdict.repeated,
            verdict.wrong,
            _percentile(verdict.lateness_ms, 50),
            _percentile(verdict.lateness_ms, 99),
            round(100 * used.share, 1),
            round(100 * used.left_out, 1),
            round(100 * own / (until - since), 1),
        )

    def hurt(self) -> Hurt:
        """Kill or freeze workers or nodes in turn, and see when streams are back."""
        told, hurt = self._arguments, Hurt()
        most = told.times if told.nodes > 1 else _MOST_AT_A_TIME
        for first in range(0, told.times, most):
            self._hurt_one_server(hurt, first, min(told.times - first, most))
        return hurt

    def _hurt_one_server(self, hurt: Hurt, first: int, times: int) -> None:
        told = self._arguments
        blows: list[float] = []
        with servers(
            self._recording,
            self._folder,
            nodes=told.nodes,
            processes=told.processes,
            sessions=told.sessions,
        ) as started:
            clients, crowd = _connected(started, told)
            watch, begin = HostWatch(probe=True), time.monotonic()
            for n in range(times):
                blows.append(time.monotonic())
                if len(started) > 1:
                    _hit_node(started[n % len(started)], crowd, told.what)
                else:
                    _hit_worker(started[0], crowd, told.what)
                print(f"{told.what} {first + n + 1} of {told.times}", file=sys.stderr)
            end = time.monotonic()
            stalls = _stalls(watch, begin, end)
        found = returns(clients, blows, end, stalls)
        hurt.add(judge(clients, self._oracle, 0, float("inf")), found, times)


def _stalls(watch: HostWatch, begin: float, end: float) -> list[tuple[float, float]]:
    """When the host stood still or was slow between two times, monotonic s; the watch is over."""
    lost = watch.end(int(begin * 1e9), int(end * 1e9))
    watch.stop()
    return [(since / 1e9, until / 1e9) for since, until in lost.stalls or ()]


def _connected(
    started: Sequence[Server], told: argparse.Namespace
) -> tuple[Sequence[Client], Crowd]:
    """A session and its client for each, as they are once all have been there for a while."""
    n = told.sessions
    clients = [Client(f"c{number}", number % len(started), len(started) > 1) for number in range(n)]
    for client in clients:
        started[client.at].create(client.code)
    crowd = Crowd(clients, [server.address for server in started])
    crowd.listen(told.warm_up + 0.01 * n)
    return clients, crowd


def _hit_worker(server: Server, crowd: Crowd, what: str) -> None:
    workers = sorted(server.processes()[1:], key=psutil.Process.create_time)
    # The oldest has the most sessions.
    os.kill(workers[0].pid, signal.SIGKILL if what == "kill" else signal.SIGSTOP)
    crowd.listen(_SECONDS_BETWEEN * (1 if what == "kill" else 2))


def _hit_node(server: Server, crowd: Crowd, what: str) -> None:
    if what == "kill":
        server.kill()
        crowd.listen(_SECONDS_BETWEEN)
        server.begin()
        crowd.listen(_SECONDS_BETWEEN)
        server.wait()
        return
    server.signal(signal.SIGSTOP)
    crowd.listen(_FROZEN_SECONDS)
    server.signal(signal.SIGCONT)
    crowd.listen(_SECONDS_BETWEEN)


def play(bench: Bench, told: argparse.Namespace) -> list[Criterion]:
    played = bench.play(told.processes)
    _print(played)
    return [
        Criterion(f"{told.sessions} sessions: 40 Hz, no gap", str(played), played.keeps_rate),
        _all_right(played),
    ]


def capacity(bench: Bench, told: argparse.Namespace) -> list[Criterion]:
    """What two processes can do and one cannot."""
    one, two = bench.play(1), bench.play(2)
    _print(one, two)
    return [
        Criterion(f"{told.sessions} sessions: 40 Hz, no gap", str(two), two.keeps_rate),
        Criterion("one process cannot do it", str(one), not one.keeps_rate),
        _all_right(one, two),
    ]


def cost(bench: Bench, told: argparse.Namespace) -> list[Criterion]:
    """What two processes cost that one does not, in turns."""
    played = [bench.play(processes) for _ in range(told.turns) for processes in (1, 2)]
    _print(*played)
    late = {
        n: [each.lateness_ms_p99 or 0 for each in played if each.processes == n] for n in (1, 2)
    }
    cpu = {n: [each.cpu_percent for each in played if each.processes == n] for n in (1, 2)}
    more_ms = float(np.median(late[2]) - np.median(late[1]))
    ratio = float(np.median(cpu[2]) / np.median(cpu[1]))
    return [
        Criterion(
            f"{told.sessions} sessions: lateness p99 at most {_MORE_LATENESS_MS:g} ms more",
            f"{more_ms:+.2f} ms (one {late[1]} ms, two {late[2]} ms)",
            more_ms <= _MORE_LATENESS_MS,
        ),
        Criterion(
            f"CPU a session at most {_CPU_RATIO:g} times",
            f"{ratio:.2f} times (one {cpu[1]} %, two {cpu[2]} % of a core)",
            ratio <= _CPU_RATIO,
        ),
        Criterion(
            "40 Hz, no gap", "; ".join(map(str, played)), all(each.keeps_rate for each in played)
        ),
        _all_right(*played),
    ]


def hurt(bench: Bench, told: argparse.Namespace) -> list[Criterion]:
    """What the clients get when workers or nodes are killed or frozen."""
    found = bench.hurt()
    verdict, back, others = found.verdict, found.returns.back_s, found.returns.others_late_ms
    limit_s = _BACK_SECONDS["nodes" if told.nodes > 1 else "processes"]
    back_s, others_ms = _percentile(back, 99), _percentile(others, 99)
    is_back = not found.returns.not_back and back_s is not None
    criteria = [
        Criterion(
            f"{found.blows} times, {told.sessions} sessions: all streams are back"
            + (f" within {limit_s:g} s at p99" if told.what == "kill" else ""),
            f"{len(back)} cut off, {found.returns.not_back} not back; "
            f"p50 {_percentile(back, 50)} s, p99 {back_s} s, latest {_percentile(back, 100)} s",
            is_back and (told.what != "kill" or (back_s or 0) <= limit_s),
        ),
        Criterion(
            "none repeated, none wrong, none of the old owner after the heir's first",
            f"{verdict.repeated} repeated, {verdict.wrong} wrong, {verdict.after_heir} after, "
            f"of {verdict.packets}",
            not (verdict.repeated or verdict.wrong or verdict.after_heir),
        ),
    ]
    if told.what == "kill":
        criteria.append(
            Criterion(
                f"other clients not later than {_OTHERS_LATE_MS:g} ms at p99",
                f"p50 {_percentile(others, 50)} ms, p99 {others_ms} ms, "
                f"p99.9 {_percentile(others, 99.9)} ms, latest {_percentile(others, 100)} ms, "
                f"without {found.returns.left_out} that the host held up; "
                f"p99 by the time after it: {_by_time(found.returns)}",
                others_ms is not None and others_ms <= _OTHERS_LATE_MS,
            )
        )
    return criteria


def _by_time(found: Returns) -> str:
    """p99 of the others' lateness in stretches of the time after a blow."""
    after_s, late_ms = np.array(found.others_after_s), np.array(found.others_late_ms)
    told = []
    for begin_s, end_s in pairwise(_AFTER_S):
        within = late_ms[(after_s >= begin_s) & (after_s < end_s)]
        if len(within):
            told.append(f"{begin_s:g} to {end_s:g} s {np.percentile(within, 99):.1f} ms")
    return ", ".join(told)


def _all_right(*played: Played) -> Criterion:
    repeated, wrong = sum(each.repeated for each in played), sum(each.wrong for each in played)
    return Criterion("none wrong", f"{repeated} repeated, {wrong} wrong", not repeated + wrong)


def _percentile(values: Sequence[float], share: float) -> float | None:
    return round(float(np.percentile(values, share)), 3) if values else None


def _print(*played: Played) -> None:
    for each in played:
        print(json.dumps(asdict(each)), flush=True)


# They need no more than a recording and its oracle.
_SCENES = NODE_RUNS | {"first-byte": first_byte}
_RUNS = {"play": play, "capacity": capacity, "cost": cost, "kill": hurt, "freeze": hurt}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=[*_RUNS, *_SCENES])
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="of each node")
    parser.add_argument("--sessions", type=int, help=f"{_SESSIONS}")
    parser.add_argument("--seconds", type=float, help="that are measured, or are away")
    parser.add_argument("--warm-up", type=float, default=4.0, help="seconds before")
    parser.add_argument("--times", type=int, help="of kill, freeze (3) and takeover (1)")
    parser.add_argument("--old", action="store_true", help="Valkey is not empty after away")
    parser.add_argument("--turns", type=int, default=2, help="of cost")
    arguments = parser.parse_args()
    what = arguments.what
    arguments.sessions = arguments.sessions or _SESSIONS.get(what, _NODE_SESSIONS)
    arguments.seconds = arguments.seconds or _SECONDS.get(what, _USUAL_SECONDS)
    arguments.times = arguments.times or (1 if what in _SCENES else _USUAL_TIMES)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments)
        if what in _SCENES:
            criteria = _SCENES[what](bench.material, arguments)
        else:
            criteria = _RUNS[what](bench, arguments)
    for each in criteria:
        print(f"{'PASS' if each.passed else 'FAIL'}  {each.criterion}: {each.figure}", flush=True)
    return 0 if all(each.passed for each in criteria) else 1


if __name__ == "__main__":
    sys.exit(main())
