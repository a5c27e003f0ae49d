"""Plays many sessions on several processes, kills and freezes them, and checks every packet.

    python -m tools.cluster play --processes 2 --sessions 440
    python -m tools.cluster kill --sessions 100 --times 20
    python -m tools.cluster freeze --sessions 100 --times 10

The clients run in one process beside the server: one WebSocket a session, which comes back at once
when it is cut off. What each got is compared with what the recording says: a packet's bin must be
that of its sequence number, a number may come once, and its spikes must be those of its bin.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import numpy as np
import psutil
import trio
from trio_websocket import ConnectionClosed, HandshakeError, open_websocket_url

RATE_HZ = 40
_SECONDS_BETWEEN = 6.0
_CONNECT_SECONDS = 5.0


@dataclass
class Client:
    """What the client of one session got, over all its connections.

    Attributes:
        code: of the session.
        messages: as they came, with when, monotonic s.
        starts: number of the first message of each connection.
        n_bins: of the recording.
    """

    code: str
    messages: list[tuple[float, bytes]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    n_bins: int = 0

    async def run(self, url: str) -> None:
        """Listen until cancelled, and come back whenever the connection ends."""
        while True:
            try:
                with trio.fail_after(_CONNECT_SECONDS) as connecting:
                    async with open_websocket_url(f"{url}/stream/binary/{self.code}") as websocket:
                        first = msgpack.unpackb(await websocket.get_message())
                        self.n_bins = first["data"]["total_packets"]
                        connecting.deadline = float("inf")
                        self.starts.append(len(self.messages))
                        while True:
                            message = await websocket.get_message()
                            self.messages.append((time.monotonic(), message))
            except (ConnectionClosed, HandshakeError, OSError, trio.TooSlowError):
                await trio.sleep(0.01 + 0.02 * random.random())


@dataclass
class Verdict:
    """What all clients got."""

    packets: int = 0
    repeated: int = 0
    wrong: int = 0
    skipped: int = 0
    intervals_ms: list[float] = field(default_factory=list)
    rates_hz: list[float] = field(default_factory=list)


def judge(clients: Sequence[Client], since: float, until: float) -> Verdict:
    """Check every packet, and measure those between two times, monotonic s."""
    verdict = Verdict()
    spikes: dict[int, object] = {}
    for client in clients:
        last: int | None = None
        shift: int | None = None
        times = []
        for at, message in client.messages:
            data = msgpack.unpackb(message)["data"]
            number, bin_index = data["sequence_number"], data["packet_id"]
            verdict.packets += 1
            shift = (bin_index - number) % client.n_bins if shift is None else shift
            said = (data["spikes"], data["kinematics"], data["trial_id"])
            is_wrong = (bin_index - number) % client.n_bins != shift
            is_wrong |= spikes.setdefault(bin_index, said) != said
            verdict.wrong += is_wrong
            if last is not None:
                verdict.repeated += number <= last
                if since <= at <= until:
                    verdict.skipped += max(number - last - 1, 0)
            last = number
            if since <= at <= until:
                times.append(at)
        if len(times) > 1:
            verdict.intervals_ms += list(np.diff(times) * 1e3)
            verdict.rates_hz.append((len(times) - 1) / (times[-1] - times[0]))
    return verdict


class Server:
    """`phantomlink serve` with some processes, for as long as the block lasts."""

    def __init__(self, processes: int, sessions: int, folder: Path) -> None:
        self._ready = folder / "ready.json"
        arguments = ["--port", "0", "--processes", str(processes), "--no-lsl-enabled"]
        arguments += ["--max-sessions", str(sessions), "--max-clients-per-address", "5000"]
        arguments += ["--max-requests-per-second", "0", "--log-level", "WARNING"]
        arguments += ["--max-clients", "5000", "--ready-file", str(self._ready)]
        self._process = subprocess.Popen([sys.executable, "-m", "phantomlink", "serve", *arguments])

    def __enter__(self) -> Server:
        while not self._ready.exists():
            if self._process.poll() is not None:
                raise SystemExit("the server has ended while starting")
            time.sleep(0.1)
        self.url = json.loads(self._ready.read_text())["url"].replace("http", "ws")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def processes(self) -> list[psutil.Process]:
        """All of it, the one that listens first."""
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """That all of them have used."""
        return sum(sum(each.cpu_times()[:2]) for each in self.processes())


async def _play(server: Server, arguments: argparse.Namespace) -> None:
    clients = [Client(f"c{n}") for n in range(arguments.sessions)]
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(client.run, server.url)
            await trio.sleep(0.01)
        await trio.sleep(arguments.warm_up)
        since, cpu = time.monotonic(), server.cpu_seconds()
        await trio.sleep(arguments.seconds)
        until, used = time.monotonic(), server.cpu_seconds() - cpu
        nursery.cancel_scope.cancel()
    verdict = judge(clients, since, until)
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


async def _hurt(server: Server, arguments: argparse.Namespace) -> None:
    """Kill or freeze the workers in turn, and see when streams are back."""
    clients = [Client(f"c{n}") for n in range(arguments.sessions)]
    hurt: list[float] = []
    wait_seconds = _SECONDS_BETWEEN * (2 if arguments.what == "freeze" else 1)
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(client.run, server.url)
            await trio.sleep(0.01)
        await trio.sleep(arguments.warm_up)
        since = time.monotonic()
        for n in range(arguments.times):
            workers = sorted(server.processes()[1:], key=lambda each: each.create_time())
            number = signal.SIGKILL if arguments.what == "kill" else signal.SIGSTOP
            # The oldest has the most sessions.
            os.kill(workers[0].pid, number)
            hurt.append(time.monotonic())
            await trio.sleep(wait_seconds)
            print(f"{arguments.what} {n + 1} of {arguments.times}", file=sys.stderr)
        nursery.cancel_scope.cancel()
    verdict = judge(clients, since, time.monotonic())
    back, others = _returns(clients, hurt)
    print(
        json.dumps(
            {
                "what": arguments.what,
                "times": len(hurt),
                "sessions": len(clients),
                "streams_cut_off": len(back),
                "back_s_p50": round(float(np.median(back)), 3),
                "back_s_p99": round(float(np.percentile(back, 99)), 3),
                "back_s_max": round(max(back), 3),
                "packets": verdict.packets,
                "repeated": verdict.repeated,
                "wrong": verdict.wrong,
                "others_interval_error_ms_p99": _p99(np.array(others)),
            }
        )
    )


def _returns(clients: Sequence[Client], hurt: Sequence[float]) -> tuple[list[float], list[float]]:
    """How long after each blow the streams that it cut off were back, s; others' interval errors.

    The others are those whose connection went on; their errors, ms, are of the second after it.
    """
    back, others = [], []
    for client in clients:
        returned = [client.messages[at][0] for at in client.starts if at < len(client.messages)]
        times = np.array([at for at, _ in client.messages])
        for blow, following in zip(hurt, [*hurt[1:], float("inf")], strict=True):
            after = [at for at in returned if blow < at < following]
            if after:
                back.append(after[0] - blow)
            else:
                near = times[(times > blow) & (times < blow + 1)]
                others += list(np.abs(np.diff(near) * 1e3 - 1e3 / RATE_HZ))
    return back, others


def _p99(values: np.ndarray) -> float | None:
    return round(float(np.percentile(values, 99)), 2) if len(values) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("play", "kill", "freeze"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=15.0, help="that are measured")
    parser.add_argument("--warm-up", type=float, default=4.0, help="seconds before")
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(arguments.processes, arguments.sessions, Path(folder)) as server,
    ):
        trio.run(_play if arguments.what == "play" else _hurt, server, arguments)


if __name__ == "__main__":
    main()
