"""Process: the floor. What this machine allows a Python program that does nothing else.

A bare loop sleeps to a margin before each deadline, spins up to it, and writes the same bytes as
the server to one TCP socket. There is no event loop, nothing is encoded, nobody else is served:
the difference between a server and this is what the server costs.
"""

from __future__ import annotations

import gc
import socket
import time
from fractions import Fraction
from pathlib import Path

from .frames import PacketTemplate
from .payloads import load
from .talk import end_with_parent, hear, tell

_NS = 1_000_000_000


def play(
    connection: socket.socket, packets: list[PacketTemplate], rate_hz: Fraction, margin_ns: int
) -> None:
    """Send until the receiver leaves.

    Args:
        connection: a blocking socket.
        packets: sent in turn.
        rate_hz: packets a second.
        margin_ns: how long before a deadline to stop sleeping.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    period, now, sleep = _NS / rate_hz, time.monotonic_ns, time.sleep
    period_num, period_den = period.numerator, period.denominator
    anchor_ns = now() + int(period)
    n = 0
    while True:
        packet = packets[n % len(packets)]
        packet.number(n % len(packets), n)
        deadline_ns = anchor_ns + n * period_num // period_den
        left_ns = deadline_ns - margin_ns - now()
        if left_ns > 0:
            sleep(left_ns / _NS)
        while (now_ns := now()) < deadline_ns:
            pass
        packet.stamp(now_ns / _NS)
        try:
            connection.sendall(packet.frame)
        except (BrokenPipeError, ConnectionResetError):
            return
        n += 1


def main() -> None:
    """Entry of the process: tells its port, then serves one connection after the other."""
    config = hear()
    end_with_parent()
    packets = [PacketTemplate(payload) for payload in load(Path(config["packets"]))]
    gc.disable()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tell({"port": listener.getsockname()[1]})
        while True:
            connection, _ = listener.accept()
            with connection:
                play(connection, packets, Fraction(config["rate_hz"]), int(config["margin_ns"]))


if __name__ == "__main__":
    main()
