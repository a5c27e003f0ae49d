"""Process: the floor. What this machine allows a Python program that does nothing else.

A bare loop sleeps to a margin before each deadline, spins up to it, and writes the same bytes as
the server to one TCP socket, or to several whose deadlines are spread over a period. There is no
event loop, nothing is encoded, nobody else is served: the difference between a server and this is
what the server costs.
"""

from __future__ import annotations

import gc
import socket
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from ..harness.children import Message, end_with_parent, enter, tell
from ..harness.frames import PacketTemplate
from ..harness.payloads import load

_NS = 1_000_000_000


def play(
    connections: list[socket.socket],
    packets: list[PacketTemplate],
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
        packet.number(n % len(packets), n)
        deadline_ns = anchor_ns + tick * period_num // period_den
        left_ns = deadline_ns - margin_ns - now()
        if left_ns > 0:
            sleep(left_ns / _NS)
        while (now_ns := now()) < deadline_ns:
            pass
        packet.stamp(now_ns / _NS)
        try:
            connections[tick % n_connections].sendall(packet.frame)
        except (BrokenPipeError, ConnectionResetError):
            return
        tick += 1


def run(config: Message) -> None:
    """Tell the port, then serve so many connections, again and again."""
    end_with_parent()
    packets = [PacketTemplate(payload) for payload in load(Path(config["packets"]))]
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


if __name__ == "__main__":
    enter(run)
