"""How much later the first byte of an answer comes with two processes than with one.

The process that listens reads the head of a connection's first request and passes the connection
on. Both servers run beside each other, and are asked in turns, some connections at a time: who is
asked once in a while has to fetch its code from memory first, which two processes do twice.
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from tools.bench.harness.host import HostWatch
from tools.bench.harness.text import Verdict as Criterion
from tools.cluster_scene import Material
from tools.cluster_servers import Server, servers

_TURNS, _IN_A_TURN = 25, 20
_CODES = 4
_MORE_MS = 0.2
_PAUSE_SECONDS = 0.002
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
    spans: list[list[tuple[int, int]]] = [[] for _ in both]
    for _ in range(_TURNS):
        for server, its in zip(both, spans, strict=True):
            its += [_ask(server, path.format(n % _CODES)) for n in range(_IN_A_TURN)]
    stalls = watch.end(begin_ns, time.monotonic_ns()).stalls or ()
    watch.stop()
    one, two = (_took_ms(np.array(its), stalls) for its in spans)
    more_ms = float(np.median(two) - np.median(one))
    told = "; ".join(
        f"p50 {np.percentile(its, 50):.3f} p99 {np.percentile(its, 99):.3f} ms of {len(its)}"
        for its in (one, two)
    )
    return Criterion(
        f"first byte of a {what} at most {_MORE_MS:g} ms later",
        f"{more_ms:+.3f} ms at p50 (one process {told} with two, without what the host touched)",
        more_ms <= _MORE_MS,
    )


def _took_ms(spans: NDArray[np.int64], stalls: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """How long each of (n, 2) [begin, end) took that no stall touches."""
    is_kept = np.ones(len(spans), bool)
    for begin, end in stalls:
        is_kept &= (spans[:, 1] <= begin) | (spans[:, 0] >= end)
    took_ms: NDArray[np.float64] = (spans[is_kept, 1] - spans[is_kept, 0]) / 1e6
    return took_ms


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
