"""How much later the first byte of an answer comes with two processes than with one.

The process that listens reads the head of a connection's first request and passes the connection
on. Both servers run beside each other; new connections ask them in turns.
"""

from __future__ import annotations

import argparse
import socket
import time
from contextlib import ExitStack

import numpy as np

from tools.bench.harness.host import HostWatch
from tools.bench.harness.text import Verdict as Criterion
from tools.cluster_scene import Material
from tools.cluster_servers import Server, servers

_PAIRS = 500
_CODES = 4
_MORE_MS = 0.2
_PAUSE_SECONDS = 0.01
_ASKED = {"route": "/api/sessions/c{}", "stream": "/stream/binary/c{}"}


def first_byte(material: Material, _: argparse.Namespace) -> list[Criterion]:
    """Of a route and of a stream, each over a connection of its own."""
    with ExitStack() as stack:
        both: list[Server] = []
        for n in (1, 2):
            folder = material.folder / f"{n}"
            folder.mkdir()
            both += stack.enter_context(
                servers(material.recording, folder, nodes=1, processes=n, sessions=_CODES)
            )
        for number in range(_CODES):
            for server in both:
                server.create(f"c{number}")
        return [_compare(what, path, both) for what, path in _ASKED.items()]


def _compare(what: str, path: str, both: list[Server]) -> Criterion:
    watch, begin_ns = HostWatch(probe=True), time.monotonic_ns()
    spans = np.array(
        [[_ask(server, path.format(n % _CODES)) for server in both] for n in range(_PAIRS)]
    )
    stalls = watch.end(begin_ns, time.monotonic_ns()).stalls or ()
    watch.stop()
    is_kept = np.ones(_PAIRS, bool)
    for begin, end in stalls:
        is_kept &= (spans[:, 1, 1] <= begin) | (spans[:, 0, 0] >= end)
    took_ms = (spans[is_kept, :, 1] - spans[is_kept, :, 0]) / 1e6
    p50, p99 = np.percentile(took_ms, (50, 99), axis=0).round(3).tolist()
    return Criterion(
        f"first byte of a {what} at most {_MORE_MS:g} ms later",
        f"{p50[1] - p50[0]:+.3f} ms at p50 (one and two processes: p50 {p50} ms, p99 {p99} ms; "
        f"{len(took_ms)} of {_PAIRS} pairs, the host touched the others)",
        p50[1] - p50[0] <= _MORE_MS,
    )


def _ask(server: Server, path: str) -> tuple[int, int]:
    """When a connection was asked for and when the first byte of an answer came, monotonic ns."""
    time.sleep(_PAUSE_SECONDS)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    if not path.startswith("/stream"):
        request = f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n"
    begin_ns = time.monotonic_ns()
    with socket.create_connection(server.address, timeout=20) as sock:
        sock.sendall(request.encode())
        head = sock.recv(64)
        end_ns = time.monotonic_ns()
    if not head.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
        raise SystemExit(f"{path}: {head!r}")
    return begin_ns, end_ns
