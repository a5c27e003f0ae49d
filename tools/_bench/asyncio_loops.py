"""Process: what people write with asyncio and websockets when they replay data.

Two loops, each started for every connection. `sleep`: send, `await asyncio.sleep(period)`, so
the time that everything takes adds up. `deadline`: sleep until the next multiple of the period,
which does not drift but wakes when asyncio's timers do, in milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import msgpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from .payloads import load
from .talk import end_with_parent, hear, tell

Messages = Iterator[dict[str, Any]]


async def sleep_per_packet(client: ServerConnection, messages: Messages, period: float) -> None:
    """Send, sleep for a period, and so on."""
    for message in messages:
        message["data"]["timestamp"] = time.monotonic()
        await client.send(msgpack.packb(message))
        await asyncio.sleep(period)


async def deadline(client: ServerConnection, messages: Messages, period: float) -> None:
    """Send at every multiple of the period."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for n, message in enumerate(messages, start=1):
        message["data"]["timestamp"] = time.monotonic()
        await client.send(msgpack.packb(message))
        await asyncio.sleep(max(start + n * period - loop.time(), 0))


_LOOPS: dict[str, Callable[[ServerConnection, Messages, float], Awaitable[None]]] = {
    "sleep": sleep_per_packet,
    "deadline": deadline,
}


def numbered(packets: list[dict[str, Any]]) -> Messages:
    """The packets, over and over, numbered."""
    for n in count():
        message = packets[n % len(packets)]
        message["data"]["packet_id"] = n % len(packets)
        message["data"]["sequence_number"] = n
        yield message


async def run(loop: str, packets: list[dict[str, Any]], period: float) -> None:
    """Serve until the process ends."""

    async def play(client: ServerConnection) -> None:
        # It ends when the receiver has seen enough.
        with contextlib.suppress(ConnectionClosed):
            await _LOOPS[loop](client, numbered(packets), period)

    async with serve(play, "127.0.0.1", 0) as server:
        tell({"port": next(iter(server.sockets)).getsockname()[1]})
        await asyncio.get_running_loop().create_future()


def main() -> None:
    """Entry of the process: tells its port, then serves."""
    config = hear()
    end_with_parent()
    packets = [msgpack.unpackb(payload) for payload in load(Path(config["packets"]))]
    asyncio.run(run(config["loop"], packets, float(1 / Fraction(config["rate_hz"]))))


if __name__ == "__main__":
    main()
