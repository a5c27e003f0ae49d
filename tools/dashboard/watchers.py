"""Clients of `watching_cost` in a process of their own: views, or a listener that counts gaps.

    python -m tools.dashboard.watchers view URL N
    python -m tools.dashboard.watchers listen URL

They go on until standard input ends; a listener then prints how many packets it did not get.
"""

from __future__ import annotations

import asyncio
import sys

import msgpack
from websockets.asyncio.client import connect


async def watch(url: str) -> None:
    """A view that throws away what it gets."""
    async with connect(url, max_size=None) as socket:
        async for _ in socket:
            pass


async def listen(url: str, lost: list[int]) -> None:
    """A client that notes the packets that it did not get."""
    last = None
    async with connect(url, max_size=None) as socket:
        async for message in socket:
            record = msgpack.unpackb(message)
            if record["type"] != "data":
                continue
            number = record["data"]["sequence_number"]
            if last is not None and number != last + 1:
                lost.append(number - last - 1)
            last = number


async def main() -> None:
    kind, url, *n = sys.argv[1:]
    lost: list[int] = []
    tasks = [listen(url, lost)] if kind == "listen" else [watch(url) for _ in range(int(n[0]))]
    running = [asyncio.create_task(task) for task in tasks]
    await asyncio.to_thread(sys.stdin.read)
    ended = [task for task in running if task.done()]
    for task in running:
        task.cancel()
    if ended:
        raise SystemExit(f"{len(ended)} of {len(running)} connections have ended by themselves")
    print(sum(lost))


if __name__ == "__main__":
    asyncio.run(main())
