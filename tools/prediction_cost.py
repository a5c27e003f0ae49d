"""Measure what a prediction costs the server, beside a bare Trio loop that only receives them.

    python tools/prediction_cost.py                        # some six minutes
    python tools/prediction_cost.py --seconds 5 --rounds 1

In each slice clients answer every packet of `phantomlink serve`, each on a session of its own, or
listen to the same packets and say nothing: the difference of the server's CPU time between the two
is what predictions cost, scoring included. The floor is a bare Trio loop with as many connections
that reads the same frames at the same rate, takes off the mask and unpacks them. The three take
turns, so that a busy machine slows all; in every other round in the opposite order, so that what
drifts does it for all. The ratio is taken in each round: told is the median, with the interval that
a bootstrap over rounds gives.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import msgpack
import psutil
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness.frames import (
    BINARY,
    PING,
    PONG,
    masked_frame,
    packet_fields,
    parse_frame,
    prediction_frame,
)
from tools.bench.harness.server import StartedServer
from tools.bench.harness.stats import paired_ratio

# Connections, and packets a second of each.
LOADS = ((1, 40), (1, 1000), (100, 40))
LIMIT = 1.5
_RATE_HZ = 40
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Cost:
    """CPU time of a prediction, us, in the median over rounds.

    The ratio is the median of the rounds' own.

    Attributes:
        connections: that answered.
        rate_hz: packets a second of each.
        floor_us: of a bare loop.
        server_us: of the server.
        ratio: between them.
        ratio_low, ratio_high: its 95 % interval.
    """

    connections: int
    rate_hz: int
    floor_us: float
    server_us: float
    ratio: float
    ratio_low: float
    ratio_high: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of a slice (default: 10)")
    parser.add_argument("--rounds", type=int, default=4, help="default: 4")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything here")
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.floor:
        trio.run(_floor)
        return
    costs = [_measured(*load, arguments.seconds, arguments.rounds) for load in LOADS]
    print("| connections | predictions a second | bare loop, us | server, us | ratio |")
    print("|---|---|---|---|---|")
    for cost in costs:
        rate = cost.connections * cost.rate_hz
        print(
            f"| {cost.connections} | {rate} | {cost.floor_us:.0f} | {cost.server_us:.0f} "
            f"| {cost.ratio:.2f} [{cost.ratio_low:.2f}, {cost.ratio_high:.2f}] |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1))
    if any(cost.ratio > LIMIT for cost in costs):
        raise SystemExit(f"above {LIMIT} times the bare loop")


def _measured(connections: int, rate_hz: int, seconds: float, rounds: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        server = StartedServer(None, Fraction(_RATE_HZ), connections + 1, Path(folder))
        floor = subprocess.Popen(
            [sys.executable, __file__, "--floor"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert floor.stdout is not None
            floor_address = ("127.0.0.1", int(floor.stdout.readline()))
            floor_process = psutil.Process(floor.pid)
            speed = rate_hz / _RATE_HZ
            for k in range(connections):
                body = {"custom_code": f"s{k}", "speed": speed, "lsl": False}
                server.must("POST", "/api/sessions/create", body)
            assert server.process is not None
            at = (server.host, server.port)
            floors, servers = [], []
            for n in range(rounds):
                took: dict[str, float] = {}
                turns = ("floor", "silent", "answers")
                for turn in turns if n % 2 == 0 else reversed(turns):
                    if turn == "floor":
                        took[turn] = _floor_us(
                            floor_process, floor_address, connections, rate_hz, seconds
                        )
                        continue
                    is_answering = turn == "answers"
                    took[turn], sent = _server_us(
                        server.process, at, connections, seconds, answers=is_answering
                    )
                    if is_answering:
                        n_answers = sent
                floors.append(took["floor"])
                servers.append((took["answers"] - took["silent"]) / n_answers * 1e6)
            floor_us, server_us = statistics.median(floors), statistics.median(servers)
            ratio = paired_ratio(servers, floors)
        finally:
            floor.kill()
            floor.wait()
            server.stop()
    return Cost(*(connections, rate_hz, floor_us, server_us, ratio.median, ratio.low, ratio.high))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class Client:
    """One connection to the server."""

    def __init__(self, address: tuple[str, int], code: str) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            (
                f"GET /stream/binary/{code} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ).encode()
        )
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(65536)
        self.buffer = self.buffer.partition(b"\r\n\r\n")[2]

    def packets(self) -> list[int]:
        """Numbers of the packets that have come."""
        self.buffer += self.socket.recv(1 << 20)
        found = []
        while (frame := parse_frame(self.buffer, 0, len(self.buffer))) is not None:
            opcode, start, end = frame
            if opcode == PING:
                self.socket.sendall(masked_frame(PONG, self.buffer[start:end]))
            if opcode == BINARY and (fields := packet_fields(self.buffer, start, end)) is not None:
                found.append(fields[0])
            self.buffer = self.buffer[end:]
        return found


def _server_us(
    process: psutil.Process,
    address: tuple[str, int],
    connections: int,
    seconds: float,
    *,
    answers: bool,
) -> tuple[float, int]:
    """CPU seconds of the server in a slice, and predictions that were sent to it."""
    clients = {}
    for k in range(connections):
        client = Client(address, f"s{k}")
        clients[client.socket.fileno()] = client
    poll = select.epoll()
    for number in clients:
        poll.register(number, select.EPOLLIN)
    begins = time.monotonic() + _SETTLE_SECONDS
    ends = begins + seconds
    before, sent = None, 0
    while (now := time.monotonic()) < ends:
        if before is None and now >= begins:
            before, sent = _cpu_seconds(process), 0
        for number, _ in poll.poll(0.1):
            client = clients[number]
            for packet_id in client.packets():
                if answers:
                    client.socket.sendall(prediction_frame(packet_id))
                    sent += 1
    assert before is not None
    used = _cpu_seconds(process) - before
    for client in clients.values():
        client.socket.close()
    return used, sent


def _floor_us(
    process: psutil.Process,
    address: tuple[str, int],
    connections: int,
    rate_hz: int,
    seconds: float,
) -> float:
    """CPU time of the bare loop for each frame, us."""
    sockets = [socket.create_connection(address) for _ in range(connections)]
    for each in sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    period = 1 / (rate_hz * connections)
    begins = time.monotonic() + _SETTLE_SECONDS
    ends = begins + seconds
    due, n, before, sent = time.monotonic(), 0, None, 0
    while due < ends:
        time.sleep(max(0.0, due - time.monotonic()))
        if before is None and due >= begins:
            before, sent = _cpu_seconds(process), 0
        sockets[n % connections].sendall(prediction_frame(n))
        n, sent, due = n + 1, sent + 1, due + period
    assert before is not None
    used = _cpu_seconds(process) - before
    for each in sockets:
        each.close()
    return used / sent * 1e6


async def _floor() -> None:
    """A server that reads frames, takes off the mask and unpacks them."""

    async def receive(stream: trio.SocketStream) -> None:
        data = b""
        while chunk := await stream.receive_some():
            data += chunk
            while len(data) >= 8:
                length, start = data[1] & 0x7F, 2
                if length == 126:
                    length, start = struct.unpack(">H", data[2:4])[0], 4
                end = start + 4 + length
                if len(data) < end:
                    break
                mask = (data[start : start + 4] * (length // 4 + 1))[:length]
                payload = int.from_bytes(data[start + 4 : end]) ^ int.from_bytes(mask)
                msgpack.unpackb(payload.to_bytes(length))
                data = data[end:]

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        print(listeners[0].socket.getsockname()[1], flush=True)
        nursery.start_soon(trio.serve_listeners, receive, listeners)


if __name__ == "__main__":
    main()
