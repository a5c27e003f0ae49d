"""Process: what people write with asyncio and websockets when they replay data.

Two loops, each started for every connection. `sleep`: send, `await asyncio.sleep(period)`, so
the time that everything takes adds up. `deadline`: sleep until the next multiple of the period,
which does not drift but wakes when asyncio's timers do, in milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from fractions import Fraction
from itertools import count
from typing import Any

import msgpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ..harness.children import Message, end_with_parent, tell


async def play(
    client: ServerConnection, packets: list[dict[str, Any]], period: float, drifts: bool
) -> None:
    """Send the packets over and over, numbered, until the receiver has seen enough."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    with contextlib.suppress(ConnectionClosed):
        for n in count():
            message = packets[n % len(packets)]
            message["data"] |= {
                "packet_id": n % len(packets),
                "sequence_number": n,
                "timestamp": time.monotonic(),
            }
            await client.send(msgpack.packb(message))
            due = start + (n + 1) * period
            await asyncio.sleep(period if drifts else max(due - loop.time(), 0))


async def serve_all(config: Message) -> None:
    """Tell the port, then serve until the process ends."""
    packets = [msgpack.unpackb(payload) for payload in config["packets"]]
    period, drifts = float(1 / Fraction(config["rate_hz"])), config["loop"] == "sleep"
    async with serve(
        lambda client: play(client, packets, period, drifts), "127.0.0.1", 0
    ) as server:
        tell({"port": next(iter(server.sockets)).getsockname()[1]})
        await server.serve_forever()


def run(config: Message) -> None:
    """Serve."""
    end_with_parent()
    asyncio.run(serve_all(config))
