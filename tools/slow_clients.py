"""Measure what clients that stop reading cost the server, and the clients that do not.

    python tools/slow_clients.py                       # a quarter of an hour: five minutes of each
    python tools/slow_clients.py --minutes 0.5 --slice-seconds 5
    PHANTOM_CLIENT_BEHIND_SECONDS=100000 PHANTOM_PING_TIMEOUT_SECONDS=100000 \\
        python tools/slow_clients.py --hold-seconds 100000     # nobody is closed, all are kept

Slices with stopped clients, with as many that read, and without either take turns, on one server,
so that a busy machine slows all. A stopped client connects, reads nothing for a while, then all
that there is, by which it learns why it was closed, and comes again: all in the sessions that the
others listen to. Of these every packet is timed, from its timestamp, which is when it left the
scheduler, to its arrival. What clients cost that read tells what of it is for having them, and what
for their having stopped.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import multiprocessing
import multiprocessing.synchronize
import os
import selectors
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from _bench.frames import CLOSE, PING, PONG, masked_frame, packet_fields, parse_frame
from _bench.server import StartedServer
from _bench.stats import Estimate, median_over_slices, paired_differences, paired_ratios, quantiles

_MAX_GROWTH_MB = 50
_SESSIONS = 4
_READ_SECONDS = 3.0
# Of those that are not timed: what they do must not keep the others from reading.
_NICE = 19


@dataclass
class Slice:
    """What the clients that read have seen of one slice; latencies in ns."""

    latencies: list[int] = field(default_factory=list)
    gaps: int = 0
    rss_mb: float = math.nan


def upgrade(host: str, port: int, path: str) -> socket.socket:
    """A WebSocket; what came behind the answer's head is not read."""
    connection = socket.create_connection((host, port), timeout=20)
    key = base64.b64encode(bytes(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade"
        f"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError(f"the server closed behind {head!r}")
        head += byte
    if b" 101 " not in head:
        raise ConnectionError(head.decode("latin-1"))
    return connection


def close_code_of(connection: socket.socket) -> int:
    """Read all that there is: the code in the close frame.

    1006 when the connection ends without one, 0 when it was not closed at all.
    """
    connection.settimeout(_READ_SECONDS)
    data, at = bytearray(), 0
    until = time.monotonic() + _READ_SECONDS
    with suppress(OSError):
        while received := connection.recv(1 << 16):
            if time.monotonic() > until:
                return 0
            data += received
            while (found := parse_frame(data, at, len(data))) is not None:
                opcode, start, at = found
                if opcode == CLOSE:
                    return int(struct.unpack_from(">H", data, start)[0])
    return 1006


def stop_again_and_again(
    host: str,
    port: int,
    n: int,
    hold_seconds: float,
    active: multiprocessing.synchronize.Event,
    answers: Any,
) -> None:
    """Be `n` clients that read nothing for a while, whenever `active` is set; for ever."""
    os.nice(_NICE)
    while True:
        active.wait()
        codes: Counter[int] = Counter()
        waiting: list[tuple[float, socket.socket]] = []
        for k in range(n):
            # Spread over the time for which they hold: their reading is a burst of work for us.
            due = time.monotonic() + hold_seconds * (1 + k / n / 2)
            waiting.append((due, upgrade(host, port, f"/stream/s{k % _SESSIONS}")))
        while active.is_set():
            waiting.sort(key=lambda each: each[0])
            due, connection = waiting[0]
            if time.monotonic() < due:
                time.sleep(0.02)
                continue
            codes[close_code_of(connection)] += 1
            connection.close()
            connection = upgrade(host, port, f"/stream/s{codes.total() % _SESSIONS}")
            waiting[0] = time.monotonic() + hold_seconds, connection
        for _, connection in waiting:
            connection.close()
        answers.put(dict(codes))


class Readers:
    """Clients that read whatever comes at once."""

    def __init__(self, host: str, port: int, n: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._connections = [upgrade(host, port, f"/stream/s{k % _SESSIONS}") for k in range(n)]
        self._buffers = [bytearray() for _ in range(n)]
        self._numbers: list[int | None] = [None] * n
        for k, connection in enumerate(self._connections):
            self._selector.register(connection, selectors.EVENT_READ, k)

    def close(self) -> None:
        """Leave."""
        for connection in self._connections:
            connection.close()
        self._selector.close()

    def read(self, seconds: float) -> Slice:
        """Read for a while."""
        found = Slice()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                arrived_ns = time.time_ns()
                self._take(key.data, arrived_ns, found)
        return found

    def _take(self, k: int, arrived_ns: int, found: Slice) -> None:
        buffer = self._buffers[k]
        received = self._connections[k].recv(1 << 16)
        if not received:
            raise SystemExit("the server closed a client that reads")
        buffer += received
        at = 0
        while (frame := parse_frame(buffer, at, len(buffer))) is not None:
            opcode, start, at = frame
            if opcode == PING:
                pong = masked_frame(PONG, bytes(buffer[start:at]))
                self._connections[k].sendall(pong)
            elif opcode == CLOSE:
                raise SystemExit(f"the server closed a client that reads: {buffer[start:at]!r}")
            elif (fields := packet_fields(buffer, start, at)) is not None:
                _, number, left_seconds = fields
                found.latencies.append(round(arrived_ns - left_seconds * 1e9))
                before = self._numbers[k]
                found.gaps += before is not None and number != before + 1
                self._numbers[k] = number
        del buffer[:at]


def read_along(
    host: str, port: int, n: int, active: multiprocessing.synchronize.Event, answers: Any
) -> None:
    """Be `n` clients that read, whenever `active` is set; for ever."""
    os.nice(_NICE)
    while True:
        active.wait()
        readers = Readers(host, port, n)
        while active.is_set():
            readers.read(0.1)
        readers.close()
        answers.put({})


class Others:
    """Clients beside those that are timed, in a process of their own, now and then.

    Args:
        run: what it does: called with `arguments`, an event that is set while the clients are to
            be there, and a queue that takes the codes they were closed with when they have gone.
        arguments: the first ones of `run`.
    """

    def __init__(self, run: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._active, self._answers = context.Event(), context.Queue()
        self._process = context.Process(
            target=run, args=(*arguments, self._active, self._answers), daemon=True
        )
        self._process.start()

    def come(self) -> None:
        """Connect."""
        self._active.set()

    def leave(self, meanwhile: Callable[[], object]) -> dict[int, int]:
        """Have them go, calling `meanwhile` until they have; how often they read which code."""
        self._active.clear()
        while self._answers.empty():
            if not self._process.is_alive():
                raise SystemExit("the process of the other clients has ended")
            meanwhile()
        codes: dict[int, int] = self._answers.get()
        return codes

    def end(self) -> None:
        """They are not needed any more."""
        self._process.kill()


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run it all; the figures."""
    server = StartedServer(None, Fraction(arguments.rate_hz), _SESSIONS, folder)
    assert server.process is not None
    where, n_others = (server.host, server.port), arguments.stopped
    kinds = {
        "stopped": Others(stop_again_and_again, *where, n_others, arguments.hold_seconds),
        "reading": Others(read_along, *where, n_others),
        "alone": None,
    }
    slices: dict[str, list[Slice]] = {name: [] for name in kinds}
    codes: Counter[int] = Counter()
    try:
        readers = Readers(server.host, server.port, arguments.readers)
        readers.read(arguments.slice_seconds)  # what is made once, is made
        n = max(1, round(arguments.minutes * 60 / arguments.slice_seconds))
        base_mb = server.process.memory_info().rss / 1e6
        for index in range(n):
            for name, others in list(kinds.items())[:: 1 if index % 2 else -1]:
                if others is not None:
                    others.come()
                    readers.read(min(2.0, arguments.slice_seconds))  # they are connecting
                found = readers.read(arguments.slice_seconds)
                found.rss_mb = server.process.memory_info().rss / 1e6
                slices[name].append(found)
                if others is not None:
                    codes.update(others.leave(lambda: readers.read(0.2)))
            show(f"{index + 1} of {n}: {slices['stopped'][-1].rss_mb:.1f} MB, codes {dict(codes)}")
        figures = [server.rest.call("GET", f"/api/stats/s{k}")[1] for k in range(_SESSIONS)]
        descriptors = server.process.num_fds()
    finally:
        for others in kinds.values():
            if others is not None:
                others.end()
        server.stop()
    return {
        "minutes_with_stopped_clients": n * arguments.slice_seconds / 60,
        "stopped": arguments.stopped,
        "readers": arguments.readers,
        "rss_before_mb": base_mb,
        "rss_most_mb": max(each.rss_mb for kind in slices.values() for each in kind),
        "rss_at_the_end_mb": slices["alone"][-1].rss_mb,
        "descriptors_at_the_end": descriptors,
        "close_codes": {str(code): count for code, count in sorted(codes.items())},
        "slow_clients": sum(each["slow_clients"] for each in figures),
        "slow_clients_closed": sum(each["slow_clients_closed"] for each in figures),
        "dropped_packets": sum(each["dropped_packets"] for each in figures),
        "packets_timed": sum(len(each.latencies) for kind in slices.values() for each in kind),
        "gaps_of_readers": sum(each.gaps for kind in slices.values() for each in kind),
        "latency": {
            name: compare(slices[name], slices["alone"]) for name in ("stopped", "reading")
        },
    }


def compare(beside: list[Slice], alone: list[Slice]) -> dict[str, Any]:
    """Percentiles beside other clients and without them, slice by slice."""
    result = {}
    for name in ("p50", "p99"):
        with_us, without_us = (
            [getattr(quantiles(np.array(each.latencies)), name) / 1e3 for each in slices]
            for slices in (beside, alone)
        )
        result[name] = {
            "with_us": float(np.median(with_us)),
            "without_us": float(np.median(without_us)),
            "ratio": _estimate(median_over_slices(paired_ratios(with_us, without_us))),
            "difference_us": _estimate(median_over_slices(paired_differences(with_us, without_us))),
        }
    return result


def _estimate(found: Estimate) -> dict[str, float]:
    return {"median": found.median, "low": found.low, "high": found.high}


def table(result: dict[str, Any]) -> str:
    """For a person."""
    growth = result["rss_most_mb"] - result["rss_before_mb"]
    verdict = "holds" if growth < _MAX_GROWTH_MB else "fails"
    lines = [
        f"{result['stopped']} stopped clients for {result['minutes_with_stopped_clients']:.1f} "
        f"minutes, beside {result['readers']} that read",
        f"memory: {result['rss_before_mb']:.1f} MB before, {result['rss_most_mb']:.1f} at most, "
        f"{result['rss_at_the_end_mb']:.1f} at the end: {growth:+.1f} MB "
        f"(under {_MAX_GROWTH_MB}: {verdict})",
        f"stopped clients were closed {result['slow_clients_closed']} times, lost "
        f"{result['dropped_packets']} packets that waited, and read the codes "
        f"{result['close_codes']}",
        f"those that read: {result['packets_timed']} packets timed, "
        f"{result['gaps_of_readers']} gaps",
    ]
    for kind, said in (("stopped", "that stopped"), ("reading", "that read too")):
        lines.append(f"  from stamp to client, beside {result['stopped']} {said}:")
        for name, found in result["latency"][kind].items():
            ratio, difference = found["ratio"], found["difference_us"]
            lines.append(
                f"    {name}: {found['with_us']:.0f} us, {found['without_us']:.0f} without; "
                f"ratio {ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}], difference"
                f" {difference['median']:+.0f} us [{difference['low']:+.0f}, "
                f"{difference['high']:+.0f}]"
            )
    return "\n".join(lines) + "\n"


def show(line: str) -> None:
    """Say how it goes."""
    sys.stderr.write(line + "\n")


def main() -> int:
    """0 when memory stayed bounded and nobody else lost a packet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=5.0, help="with stopped clients (%(default)s)")
    add("--slice-seconds", type=float, default=30.0, help="(%(default)s)")
    add("--stopped", type=int, default=50, help="clients that stop (%(default)s)")
    add("--readers", type=int, default=8, help="clients that read (%(default)s)")
    add("--hold-seconds", type=float, default=12.0, help="read nothing for so long (%(default)s)")
    add("--rate-hz", type=int, default=40, help="packets a second (%(default)s)")
    add("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    if min(arguments.stopped, arguments.readers) < 1 or arguments.slice_seconds <= 0:
        parser.error("--stopped and --readers take whole numbers from 1, --slice-seconds above 0")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    sys.stdout.write(json.dumps(result) + "\n" if arguments.json else table(result))
    bounded = result["rss_most_mb"] - result["rss_before_mb"] < _MAX_GROWTH_MB
    return 0 if bounded and not result["gaps_of_readers"] else 1


if __name__ == "__main__":
    sys.exit(main())
