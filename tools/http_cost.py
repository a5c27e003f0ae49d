"""CPU of a request, beside that of a bare loop over h11 which sends the same bytes.

    python -m tools.http_cost [--seconds 2] [--repeats 5] [--limit 3]

The server and the loop run in turns, each as a process of its own that is asked over one kept-open
connection; CPU is that process's, by its own clock. Exit code 1 when the median ratio of a route
is above the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h11
import psutil
import trio

from phantomlink.recordings.synthetic import synthesize

CODE = "cost"
BODY = json.dumps({"custom_code": CODE}).encode()
JSON = f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
REQUESTS = {
    "GET /health": ("GET", "/health", "", b""),
    "GET /api/metadata": ("GET", "/api/metadata", "", b""),
    "GET /api/trials/5": ("GET", "/api/trials/5", "", b""),
    "GET /": ("GET", "/", "", b""),
    "POST /api/sessions/create": ("POST", "/api/sessions/create", JSON, BODY),
}


def request_bytes(method: str, path: str, headers: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n{headers}\r\n"
    return head.encode() + body


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """The whole answer, as it came."""
        self._socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._read()
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            more = self._read()
            body += more
            answer += more
        return answer

    def _read(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()


async def bare(answer: bytes) -> None:
    """Answer every request with the same status, headers and body, by h11 on Trio."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(answer)
    response = parser.next_event()
    assert isinstance(response, h11.Response)
    body = answer.partition(b"\r\n\r\n")[2]
    status, headers = response.status_code, list(response.headers)

    async def handle(stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(65536)))
            elif isinstance(event, h11.EndOfMessage):
                parts = (
                    connection.send(h11.Response(status_code=status, headers=headers)),
                    connection.send(h11.Data(data=body)),
                    connection.send(h11.EndOfMessage()),
                )
                await stream.send_all(b"".join(part for part in parts if part))
                connection.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listener.socket.getsockname()[1], flush=True)
    await trio.serve_listeners(handle, [listener])


@contextmanager
def bare_loop(answer: bytes, folder: Path) -> Iterator[tuple[int, int]]:
    """(pid, port) of a bare loop that sends this answer."""
    file = folder / "answer"
    file.write_bytes(answer)
    command = [sys.executable, "-m", "tools.http_cost", "--bare", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, int]]:
    """(pid, port) of `phantomlink serve`."""
    recording, ready = folder / "cost.nwb", folder / "ready.json"
    synthesize(recording, trials=60)
    command = [sys.executable, "-m", "phantomlink", "serve", str(recording), "--port", "0"]
    command += ["--no-lsl-enabled", "--log-level", "error", "--ready-file", str(ready)]
    command += ["--max-requests-per-second", "0"]
    process = subprocess.Popen(command)
    try:
        for _ in range(600):
            if ready.exists():
                break
            time.sleep(0.1)
        yield process.pid, json.loads(ready.read_text())["port"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def cost_us(pid: int, port: int, request: bytes, seconds: float) -> float:
    """CPU of the process a request, us."""
    client, process = Client(port), psutil.Process(pid)
    for _ in range(20):
        client.ask(request)
    before, n, until = _cpu_seconds(process), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        assert client.ask(request).startswith(b"HTTP/1.1 200")
        n += 1
    spent = _cpu_seconds(process) - before
    client.close()
    return spent / n * 1e6


def _cpu_seconds(process: psutil.Process) -> float:
    # To the nanosecond, where Linux says so.
    schedstat = Path(f"/proc/{process.pid}/schedstat")
    if schedstat.exists():
        tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=float, default=3.0)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare is not None:
        trio.run(bare, arguments.bare.read_bytes())
        return 0
    worst = 0.0
    print(f"{'CPU a request, us':28}{'server':>10}{'bare h11':>10}{'ratio':>8}   (medians)")
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as (pid, port):
        for label, parts in REQUESTS.items():
            request = request_bytes(*parts)
            client = Client(port)
            client.ask(request)
            answer = client.ask(request)
            client.close()
            assert answer.startswith(b"HTTP/1.1 200"), answer
            pairs = []
            with bare_loop(answer, Path(name)) as (bare_pid, bare_port):
                for _ in range(arguments.repeats):
                    ours = cost_us(pid, port, request, arguments.seconds)
                    pairs.append((ours, cost_us(bare_pid, bare_port, request, arguments.seconds)))
            ours, floor = (statistics.median(each) for each in zip(*pairs, strict=True))
            ratio = statistics.median(ours / floor for ours, floor in pairs)
            worst = max(worst, ratio)
            print(f"{label:28}{ours:10.0f}{floor:10.0f}{ratio:8.2f}", flush=True)
    return 1 if worst > arguments.limit else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    raise SystemExit(main())
