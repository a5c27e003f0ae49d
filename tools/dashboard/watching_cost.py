"""What ten views of a session cost the server: alternating slices with and without them.

    python -m tools.dashboard.watching_cost [--pairs 10] [--seconds 60]

One session at 40 Hz with one client, in a server of its own. In each pair one slice has ten views
and one has none, in an order that alternates. Of each slice: CPU of the server a tick, ticks later
than 5 ms, and gaps of the client. At the end the mean difference with its 95 % interval (Student).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

import msgpack
import psutil
from websockets.asyncio.client import connect

from phantomlink.recordings.synthetic import synthesize
from tests.servers import LiveServer, live_server

N_VIEWS = 10
LATE_US = 5000
# Student's t at 97.5 %, by degrees of freedom.
T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "reaches.nwb"
        synthesize(recording, trials=60)
        with live_server(recording) as server:
            asyncio.run(measure(server, options.pairs, options.seconds))


async def measure(server: LiveServer, pairs: int, seconds: float) -> None:
    """Print each slice, then the differences."""
    server.create("watched")
    gaps: list[int] = []
    listening = asyncio.create_task(listen(server, gaps))
    await asyncio.sleep(3)
    slices: dict[int, list[dict[str, float]]] = {0: [], N_VIEWS: []}
    for pair in range(pairs):
        for n_views in (0, N_VIEWS) if pair % 2 == 0 else (N_VIEWS, 0):
            found = await one_slice(server, n_views, seconds, gaps)
            slices[n_views].append(found)
            print(f"pair {pair + 1}, {n_views:2} views: {found}", flush=True)
    for name in ("cpu_us_a_tick", "late_ticks", "gaps"):
        differences = [
            with_views[name] - without[name]
            for with_views, without in zip(slices[N_VIEWS], slices[0], strict=True)
        ]
        mean = statistics.mean(differences)
        half = 0.0
        if len(differences) > 1:
            spread = statistics.stdev(differences) / len(differences) ** 0.5
            half = T.get(len(differences) - 1, 1.96) * spread
        without = statistics.mean(each[name] for each in slices[0])
        print(
            f"{name}: {without:.1f} without, with views {mean:+.2f} "
            f"[{mean - half:.2f}, {mean + half:.2f}]"
        )
    listening.cancel()


async def listen(server: LiveServer, gaps: list[int]) -> None:
    """A client that counts the packets that it did not get."""
    last = None
    async with connect(f"{server.ws}/stream/binary/watched", max_size=None) as socket:
        async for message in socket:
            record = msgpack.unpackb(message)
            if record["type"] != "data":
                continue
            number = record["data"]["sequence_number"]
            if last is not None and number != last + 1:
                gaps.append(number - last - 1)
            last = number


async def watch(server: LiveServer) -> None:
    """A view that throws away what it gets."""
    async with connect(f"{server.ws}/view/watched", max_size=None) as socket:
        async for _ in socket:
            pass


async def one_slice(
    server: LiveServer, n_views: int, seconds: float, gaps: list[int]
) -> dict[str, float]:
    """What the server took in so many seconds with so many views."""
    views = [asyncio.create_task(watch(server)) for _ in range(n_views)]
    await asyncio.sleep(2)
    process = psutil.Process(server.process.pid)
    before, lost = await reading(server, process), len(gaps)
    await asyncio.sleep(seconds)
    after = await reading(server, process)
    for view in views:
        view.cancel()
    await asyncio.gather(*views, return_exceptions=True)
    ticks = after["packets"] - before["packets"]
    return {
        "cpu_us_a_tick": round((after["cpu"] - before["cpu"]) / ticks * 1e6, 1),
        "late_ticks": after["late"] - before["late"],
        "gaps": len(gaps) - lost,
    }


async def reading(server: LiveServer, process: psutil.Process) -> dict[str, float]:
    """CPU of the process, packets and late ones so far."""
    status, timing = await asyncio.to_thread(server.get, "/api/sessions/watched/timing")
    assert status == 200, timing
    head: dict[str, Any] = timing["playheads"][0]
    cpu = process.cpu_times()
    late = sum(
        each["packets"] for each in head["lateness_us"]["histogram"] if each["up_to_us"] > LATE_US
    )
    return {"cpu": cpu.user + cpu.system, "packets": head["packets"], "late": late}


if __name__ == "__main__":
    main()
