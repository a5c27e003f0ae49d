"""Clients of `watching_cost` in a process of their own: views, or a listener that counts gaps.

    python -m tools.dashboard.watchers view URL N
    python -m tools.dashboard.watchers listen URL

Views come with each line `on` of standard input and go with each other line; each is answered with
a line when it is done. At the end of the input a listener prints how many packets it did not get.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import msgpack
from websockets.asyncio.client import ClientConnection, connect


async def watch(url: str, n_views: int) -> None:
    """Views that throw away what they get, while they are wanted."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() != "on":
            print("off", flush=True)
            continue
        async with AsyncExitStack() as stack:
            views = [await stack.enter_async_context(connect(url)) for _ in range(n_views)]
            drained = [asyncio.create_task(drain(each)) for each in views]
            print("on", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            ended = sum(task.done() for task in drained)
        await asyncio.gather(*drained)
        if ended:
            raise SystemExit(f"{ended} of {n_views} connections have ended by themselves")
        print("off", flush=True)


async def drain(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


async def listen(url: str) -> None:
    """A client that counts the packets that it did not get."""
    lost, last = 0, None
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with connect(url, max_size=None) as socket:
        while not end.done():
            record = msgpack.unpackb(await socket.recv())
            if record["type"] != "data":
                continue
            number = record["data"]["sequence_number"]
            lost += 0 if last is None else number - last - 1
            last = number
    print(lost, flush=True)


if __name__ == "__main__":
    kind, url, *n = sys.argv[1:]
    asyncio.run(listen(url) if kind == "listen" else watch(url, int(n[0])))
