"""Plays many sessions on several processes, kills and freezes them, and checks every packet.

    python -m tools.cluster play --processes 2 --sessions 440
    python -m tools.cluster kill --sessions 100 --times 20
    python -m tools.cluster freeze --sessions 100 --times 10

The clients run in one process beside the server: one WebSocket a session, which comes back at once
when it is cut off. Every packet is computed anew from the recording, the session's perturbation and
its seed, and compared in all it says; a number may come once to a client.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import psutil

from phantomlink.recordings.synthetic import synthesize
from tools.cluster_oracle import RATE_HZ, Oracle

_SECONDS_BETWEEN = 6.0
_AGAIN_SECONDS = 0.01
_READ_SECONDS = 0.003
_BINARY = 2
_SEED = 11
_NOISE = {"transforms": [{"kind": "gaussian_noise", "noise_std": 0.5}]}
_TRIALS = 60


@dataclass
class Client:
    """What the client of one session got, over all its connections: bytes, read afterwards.

    Attributes:
        code: of the session.
        connections: of each, what was read, with when, monotonic s.
    """

    code: str
    connections: list[list[tuple[float, bytes]]] = field(default_factory=list)
    sock: socket.socket | None = None

    def connect(self, host: str, port: int) -> None:
        """Open a connection and ask for the stream; whatever fails is seen when it is read."""
        self.sock = socket.create_connection((host, port))
        self.sock.sendall(
            f"GET /stream/binary/{self.code} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        self.sock.setblocking(False)
        self.connections.append([])

    def read(self) -> bool:
        """Take what has come; whether the connection goes on."""
        assert self.sock is not None
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if data:
            self.connections[-1].append((time.monotonic(), data))
            return True
        self.sock.close()
        return False

    def messages(self) -> Iterator[tuple[int, float, Any]]:
        """(connection, when, decoded) of every message."""
        for number, chunks in enumerate(self.connections):
            yield from ((number, at, msgpack.unpackb(data)) for at, data in _frames(chunks))


def _frames(chunks: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """(when its last byte came, content) of every message of one connection."""
    buffer, is_open = bytearray(), False
    for at, data in chunks:
        buffer += data
        if not is_open:
            head, end, rest = bytes(buffer).partition(b"\r\n\r\n")
            if not end:
                continue
            if not head.startswith(b"HTTP/1.1 101"):
                return
            buffer, is_open = bytearray(rest), True
        while len(buffer) >= 2:
            length, start = buffer[1] & 127, 2
            if length >= 126:
                start = 4 if length == 126 else 10
                length = int.from_bytes(buffer[2:start], "big")
            if len(buffer) < start + length:
                break
            if buffer[0] & 15 == _BINARY:
                yield at, bytes(buffer[start : start + length])
            del buffer[: start + length]


class Crowd:
    """All clients, read by one thread that does nothing else.

    Args:
        clients: that listen.
        url: of the server.
    """

    def __init__(self, clients: Sequence[Client], url: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._waiting = deque((0.0, client) for client in clients)
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)

    def listen(self, seconds: float) -> None:
        """Read for so long; who is not connected comes, or comes back."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            if self._waiting and self._waiting[0][0] <= now:
                _, client = self._waiting.popleft()
                client.connect(self._host, self._port)
                self._selector.register(client.sock, selectors.EVENT_READ, client)
            # Many at a time: to wake for each packet would take the core that the server needs.
            time.sleep(_READ_SECONDS)
            for key, _ in self._selector.select(0):
                if not key.data.read():
                    self._selector.unregister(key.fileobj)
                    self._waiting.append((time.monotonic() + _AGAIN_SECONDS, key.data))


@dataclass
class Verdict:
    """What all clients got."""

    packets: int = 0
    repeated: int = 0
    wrong: int = 0
    skipped: int = 0
    intervals_ms: list[float] = field(default_factory=list)
    rates_hz: list[float] = field(default_factory=list)


def judge(clients: Sequence[Client], oracle: Oracle, since: float, until: float) -> Verdict:
    """Check every packet, and measure those between two times, monotonic s."""
    verdict = Verdict()
    for client in clients:
        last = None
        times = []
        for _, at, message in client.messages():
            data = message["data"]
            if message["type"] != "data":
                continue
            number = data["sequence_number"]
            verdict.packets += 1
            verdict.wrong += not oracle.is_right(data)
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
        recording = folder / "recording.nwb"
        synthesize(recording, trials=_TRIALS)
        self.oracle = Oracle(recording, _NOISE, _SEED)
        arguments = ["--port", "0", "--processes", str(processes), "--no-lsl-enabled"]
        arguments += ["--max-sessions", str(sessions), "--max-clients-per-address", "5000"]
        arguments += ["--max-requests-per-second", "0", "--log-level", "WARNING"]
        arguments += ["--max-clients", "5000", "--ready-file", str(self._ready), str(recording)]
        # The clients answer no pings.
        arguments += ["--ping-interval-seconds", "1000"]
        self._process = subprocess.Popen([sys.executable, "-m", "phantomlink", "serve", *arguments])

    def __enter__(self) -> Server:
        while not self._ready.exists():
            if self._process.poll() is not None:
                raise SystemExit("the server has ended while starting")
            time.sleep(0.1)
        self.url = json.loads(self._ready.read_text())["url"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def create(self, client: Client) -> None:
        """Make the session of a client, perturbed, as its record has to say."""
        asked = {"custom_code": client.code, "perturbation": _NOISE, "seed": _SEED}
        request = urllib.request.Request(
            f"{self.url}/api/sessions/create",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            answer.read()

    def processes(self) -> list[psutil.Process]:
        """All of it, the one that listens first."""
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """That all of them have used."""
        return sum(sum(each.cpu_times()[:2]) for each in self.processes())


def _clients(server: Server, n: int) -> list[Client]:
    clients = [Client(f"c{number}") for number in range(n)]
    for client in clients:
        server.create(client)
    return clients


def _play(server: Server, arguments: argparse.Namespace) -> None:
    clients = _clients(server, arguments.sessions)
    crowd = Crowd(clients, server.url)
    crowd.listen(arguments.warm_up + 0.01 * arguments.sessions)
    since, cpu = time.monotonic(), server.cpu_seconds()
    crowd.listen(arguments.seconds)
    until, used = time.monotonic(), server.cpu_seconds() - cpu
    verdict = judge(clients, server.oracle, since, until)
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


def _hurt(server: Server, arguments: argparse.Namespace) -> None:
    """Kill or freeze the workers in turn, and see when streams are back."""
    clients = _clients(server, arguments.sessions)
    crowd = Crowd(clients, server.url)
    blows: list[float] = []
    crowd.listen(arguments.warm_up + 0.01 * arguments.sessions)
    since = time.monotonic()
    for n in range(arguments.times):
        workers = sorted(server.processes()[1:], key=lambda each: each.create_time())
        # The oldest has the most sessions.
        os.kill(workers[0].pid, signal.SIGKILL if arguments.what == "kill" else signal.SIGSTOP)
        blows.append(time.monotonic())
        crowd.listen(_SECONDS_BETWEEN * (1 if arguments.what == "kill" else 2))
        print(f"{arguments.what} {n + 1} of {arguments.times}", file=sys.stderr)
    verdict = judge(clients, server.oracle, since, time.monotonic())
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
                "others_interval_error_ms_p99": _p99(np.array(others)),
            }
        )
    )


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
        (_play if arguments.what == "play" else _hurt)(server, arguments)


if __name__ == "__main__":
    main()
