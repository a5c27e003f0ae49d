"""Process: the floor. What this machine allows a Python program that does nothing else.

A bare loop makes the next frame, sleeps to a margin before its deadline, spins up to it, and writes
the same bytes as the server to one TCP socket, or to several whose deadlines are spread over a
period. There is no event loop and nobody else is served: the difference between a server and this
is what the server costs.
"""

from __future__ import annotations

import gc
import socket
import struct
import time
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

import msgpack

from phantomlink.wire.encoder import frame_message

from ..harness.children import Message, end_with_parent, tell

_NS = 1_000_000_000
_TIMESTAMP = msgpack.packb("timestamp")


def play(
    connections: list[socket.socket],
    packets: list[dict[str, Any]],
    rate_hz: Fraction,
    margin_ns: int,
) -> None:
    """Send until a receiver leaves.

    Args:
        connections: blocking sockets.
        packets: sent in turn.
        rate_hz: packets a second of each connection.
        margin_ns: how long before a deadline to stop sleeping.
    """
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    n_connections = len(connections)
    period, now, sleep = _NS / (rate_hz * n_connections), time.monotonic_ns, time.sleep
    period_num, period_den = period.numerator, period.denominator
    anchor_ns = now() + int(period)
    tick = 0
    while True:
        n = tick // n_connections
        packet = packets[n % len(packets)]
        packet["data"] |= {"packet_id": n % len(packets), "sequence_number": n, "timestamp": 0.0}
        frame = bytearray(frame_message(msgpack.packb(packet)))
        stamp_at = frame.index(_TIMESTAMP) + len(_TIMESTAMP) + 1
        deadline_ns = anchor_ns + tick * period_num // period_den
        left_ns = deadline_ns - margin_ns - now()
        if left_ns > 0:
            sleep(left_ns / _NS)
        while (now_ns := now()) < deadline_ns:
            pass
        struct.pack_into(">d", frame, stamp_at, now_ns / _NS)
        try:
            connections[tick % n_connections].sendall(frame)
        except (BrokenPipeError, ConnectionResetError):
            return
        tick += 1


def run(config: Message) -> None:
    """Tell the port, then serve so many connections, again and again."""
    end_with_parent()
    packets = [msgpack.unpackb(payload) for payload in config["packets"]]
    gc.disable()
    n_connections = config["connections"]
    with socket.create_server(("127.0.0.1", 0), backlog=n_connections) as listener:
        tell({"port": listener.getsockname()[1]})
        while True:
            with ExitStack() as stack:
                connections = [
                    stack.enter_context(listener.accept()[0]) for _ in range(n_connections)
                ]
                play(connections, packets, Fraction(config["rate_hz"]), int(config["margin_ns"]))
