"""Plays many sessions on several processes or nodes, kills and freezes them, checks every packet.

    python -m tools.cluster play --processes 2 --sessions 440
    python -m tools.cluster kill --processes 2 --sessions 100 --times 20
    python -m tools.cluster freeze --processes 2 --sessions 100 --times 10
    python -m tools.cluster kill --nodes 4 --sessions 100 --times 20
    python -m tools.cluster freeze --nodes 4 --sessions 100 --times 10

The clients run in one process beside the servers: one WebSocket a session, which comes back at once
when it is cut off. Every packet is computed anew from the recording, the session's perturbation and
its seed, and compared in all it says; a number may come once to a client. With nodes, a Valkey from
a wheel is their directory; a whole node is killed and started again, or frozen for some seconds,
and what comes from it after the heir's first packet is counted.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from phantomlink.recordings.synthetic import synthesize
from tools.cluster_clients import Client, Crowd
from tools.cluster_oracle import RATE_HZ, Oracle
from tools.cluster_servers import NOISE, SEED, Server, servers

_SECONDS_BETWEEN = 6.0
_FROZEN_SECONDS = 4.0
_TRIALS = 60


@dataclass
class Verdict:
    """What all clients got."""

    packets: int = 0
    repeated: int = 0
    wrong: int = 0
    skipped: int = 0
    after_heir: int = 0
    intervals_ms: list[float] = field(default_factory=list)
    rates_hz: list[float] = field(default_factory=list)


def judge(clients: Sequence[Client], oracle: Oracle, since: float, until: float) -> Verdict:
    """Check every packet, and measure those between two times, monotonic s.

    A number may come twice to a client that has opened a second connection to the same owner; from
    two owners, or twice on one connection, it is repeated.
    """
    verdict = Verdict()
    for client in clients:
        owner, times = "", []
        owners: dict[int, str] = {}
        last: dict[int, int] = {}
        for connection, at, message in client.messages():
            data = message["data"]
            if message["type"] != "data":
                owner = _owner(client, connection, message)
                continue
            number = data["sequence_number"]
            verdict.packets += 1
            verdict.wrong += not oracle.is_right(data)
            before = last.get(connection)
            verdict.repeated += before is not None and number <= before
            verdict.repeated += owners.setdefault(number, owner) != owner
            if since <= at <= until:
                verdict.skipped += 0 if before is None else max(number - before - 1, 0)
                times.append(at)
            last[connection] = number
        verdict.after_heir += _after_heir(client)
        if len(times) > 1:
            verdict.intervals_ms += list(np.diff(times) * 1e3)
            verdict.rates_hz.append((len(times) - 1) / (times[-1] - times[0]))
    return verdict


def _owner(client: Client, connection: int, message: Any) -> str:
    """Who sends: a node by its URL; of one server, whatever process a connection is at."""
    url: str = message["session"]["url"]
    return url if client.tries_others else str(connection)


def _after_heir(client: Client) -> int:
    """Packets of an owner that came after the first one of its successor."""
    owners: dict[int, str] = {}
    times: dict[int, list[float]] = {}
    for number, at, message in client.messages():
        if message["type"] == "data":
            times.setdefault(number, []).append(at)
        else:
            owners[number] = _owner(client, number, message)
    late = 0
    for number, its in times.items():
        heirs = [times[n][0] for n in times if n > number and owners[n] != owners[number]]
        late += sum(at > min(heirs) for at in its) if heirs else 0
    return late


def _clients(started: Sequence[Server], n: int) -> list[Client]:
    clients = [Client(f"c{number}", number % len(started), len(started) > 1) for number in range(n)]
    for client in clients:
        started[client.at].create(client.code)
    return clients


def _play(started: Sequence[Server], oracle: Oracle, arguments: argparse.Namespace) -> None:
    clients = _clients(started, arguments.sessions)
    crowd = Crowd(clients, [server.address for server in started])
    crowd.listen(arguments.warm_up + 0.01 * arguments.sessions)
    since, cpu = time.monotonic(), sum(server.cpu_seconds() for server in started)
    crowd.listen(arguments.seconds)
    until, used = time.monotonic(), sum(server.cpu_seconds() for server in started) - cpu
    verdict = judge(clients, oracle, since, until)
    rates = np.array(verdict.rates_hz)
    print(
        json.dumps(
            {
                "processes": arguments.processes,
                "sessions": len(rates),
                "rate_hz_mean": round(float(rates.mean()), 3),
                "rate_hz_min": round(float(rates.min()), 3),
                "skipped": verdict.skipped,
                "repeated": verdict.repeated,
                "wrong": verdict.wrong,
                "interval_error_ms_p99": _p99(np.abs(np.array(verdict.intervals_ms) - 25)),
                "cpu_percent": round(100 * used / (until - since), 1),
            }
        )
    )


def _hurt(started: Sequence[Server], oracle: Oracle, arguments: argparse.Namespace) -> None:
    """Kill or freeze workers or nodes in turn, and see when streams are back."""
    clients = _clients(started, arguments.sessions)
    crowd = Crowd(clients, [server.address for server in started])
    blows: list[float] = []
    crowd.listen(arguments.warm_up + 0.01 * arguments.sessions)
    since = time.monotonic()
    for n in range(arguments.times):
        blows.append(time.monotonic())
        if len(started) > 1:
            _hit_node(started[n % len(started)], crowd, arguments.what)
        else:
            _hit_worker(started[0], crowd, arguments.what)
        print(f"{arguments.what} {n + 1} of {arguments.times}", file=sys.stderr)
    verdict = judge(clients, oracle, since, time.monotonic())
    back, others = _returns(clients, blows)
    print(
        json.dumps(
            {
                "what": arguments.what,
                "times": len(blows),
                "sessions": len(clients),
                "streams_cut_off": len(back),
                "back_s_p50": round(float(np.median(back)), 3),
                "back_s_p99": round(float(np.percentile(back, 99)), 3),
                "back_s_max": round(max(back), 3),
                "packets": verdict.packets,
                "repeated": verdict.repeated,
                "wrong": verdict.wrong,
                "after_heir": verdict.after_heir,
                "others_interval_error_ms_p99": _p99(np.array(others)),
            }
        )
    )


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


def _returns(clients: Sequence[Client], blows: Sequence[float]) -> tuple[list[float], list[float]]:
    """How long after each blow the streams that it cut off were back, s; others' interval errors.

    The others are those whose connection went on; their errors, ms, are of the second after it.
    """
    back, others = [], []
    for client in clients:
        first: dict[int, float] = {}
        times = []
        for connection, at, message in client.messages():
            if message["type"] == "data":
                first.setdefault(connection, at)
                times.append(at)
        all_times = np.array(times)
        for blow, following in zip(blows, [*blows[1:], float("inf")], strict=True):
            after = [at for at in first.values() if blow < at < following]
            if after:
                back.append(after[0] - blow)
            else:
                near = all_times[(all_times > blow) & (all_times < blow + 1)]
                others += list(np.abs(np.diff(near) * 1e3 - 1e3 / RATE_HZ))
    return back, others


def _p99(values: np.ndarray) -> float | None:
    return round(float(np.percentile(values, 99)), 2) if len(values) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("play", "kill", "freeze"))
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="of each node")
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=15.0, help="that are measured")
    parser.add_argument("--warm-up", type=float, default=4.0, help="seconds before")
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = folder / "recording.nwb"
        synthesize(recording, trials=_TRIALS)
        oracle = Oracle(recording, NOISE, SEED)
        with servers(
            recording,
            folder,
            nodes=arguments.nodes,
            processes=arguments.processes,
            sessions=arguments.sessions,
        ) as started:
            (_play if arguments.what == "play" else _hurt)(started, oracle, arguments)


if __name__ == "__main__":
    main()
