"""What ten views of a session cost the server: alternating slices with and without them.

    python -m tools.dashboard.watching_cost [--pairs 10] [--seconds 60]

One session at 40 Hz with one client, in this process; client and views in others. In each pair one
slice has ten views and one has none, in an order that alternates. Of each slice: CPU of a tick
itself (from the release of the packet until it has been offered to everybody; mean and median), of
the loop's thread and of the process a tick, ticks later than 5 ms; at the end the packets that the
clients have not got, and the mean differences with their 95 % intervals (Student).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import trio

from phantomlink.engine.playback import Playback
from phantomlink.engine.session import Session
from phantomlink.recordings.synthetic import synthesize
from tools.bench.ticks.live import Live, Scenario, live
from tools.bench.ticks.tick_probes import replaced

N_VIEWS = 10
LATE_NS = 5_000_000
SETTLE_SECONDS = 2.0
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
        trio.run(measure, str(recording), options.pairs, options.seconds)


async def measure(recording: str, pairs: int, seconds: float) -> None:
    """Print each slice, then the differences."""
    slices: dict[int, list[dict[str, float]]] = {0: [], N_VIEWS: []}
    tick_ns: list[int] = []
    async with live(Scenario(1, 1), recording) as running:
        with metered_ticks(tick_ns), ExitStack() as stack:
            listener = stack.enter_context(clients("listen", f"{running.url}/stream/binary/tick-0"))
            await trio.sleep(SETTLE_SECONDS)
            for pair in range(pairs):
                for n_views in (0, N_VIEWS) if pair % 2 == 0 else (N_VIEWS, 0):
                    found = await one_slice(running, n_views, seconds, tick_ns)
                    slices[n_views].append(found)
                    print(f"pair {pair + 1}, {n_views:2} views: {found}", flush=True)
            lost = await trio.to_thread.run_sync(listener)
            (session,) = running.service.registry
            dropped = session.counters.dropped
    for name in slices[0][0]:
        print_difference(
            name, [each[name] for each in slices[0]], [each[name] for each in slices[N_VIEWS]]
        )
    print(f"packets that the client has not got: {lost}; dropped for any: {dropped}")


def print_difference(name: str, without: list[float], with_views: list[float]) -> None:
    """Mean of the one, and by how much the other is more."""
    differences = [b - a for a, b in zip(without, with_views, strict=True)]
    mean, half = statistics.mean(differences), 0.0
    if len(differences) > 1:
        spread = statistics.stdev(differences) / len(differences) ** 0.5
        half = T.get(len(differences) - 1, 1.96) * spread
    print(
        f"{name}: {statistics.mean(without):.1f} without, with views {mean:+.2f} "
        f"[{mean - half:.2f}, {mean + half:.2f}]"
    )


@contextmanager
def metered_ticks(spent_ns: list[int]) -> Iterator[None]:
    """Note the CPU of each tick."""
    release = Playback._release
    now = time.thread_time_ns

    def metered(playback: Playback, *arguments: Any) -> None:
        began = now()
        release(playback, *arguments)
        spent_ns.append(now() - began)

    with replaced(Playback, "_release", metered):
        yield


@contextmanager
def clients(*arguments: str) -> Iterator[Any]:
    """A process of clients; what is given ends it and says what it printed."""
    command = [sys.executable, "-m", "tools.dashboard.watchers", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end() -> str:
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} has failed")
        return said.strip()

    with process:
        yield end
        if process.returncode is None:
            end()


async def one_slice(
    running: Live, n_views: int, seconds: float, tick_ns: list[int]
) -> dict[str, float]:
    """What the server took in so many seconds with so many views."""
    (session,) = running.service.registry
    with ExitStack() as stack:
        if n_views:
            end = stack.enter_context(clients("view", f"{running.url}/view/tick-0", str(n_views)))
        await trio.sleep(SETTLE_SECONDS)
        tick_ns.clear()
        before = reading(running, session)
        await trio.sleep(seconds)
        after = reading(running, session)
        ticks_us = [ns / 1000 for ns in tick_ns]
        if n_views:
            await trio.to_thread.run_sync(end)
    ticks = after["ticks"] - before["ticks"]
    spent = {name: (after[name] - before[name]) / ticks / 1000 for name in CPU_NS}
    spent = {
        "tick_us": statistics.fmean(ticks_us),
        "median_tick_us": statistics.median(ticks_us),
        **spent,
    }
    return {name: round(us, 2) for name, us in spent.items()} | {
        "late_ticks": after["late"] - before["late"]
    }


CPU_NS = ("thread_us_a_tick", "process_us_a_tick")


def reading(running: Live, session: Session) -> dict[str, float]:
    """CPU so far, ns, packets and late ones."""
    cpu = (time.thread_time_ns(), time.process_time_ns())
    return dict(zip(CPU_NS, cpu, strict=True)) | {
        "ticks": running.n_ticks,
        "late": sum(n for edge, n in session.main.timing.lateness.buckets() if edge > LATE_NS),
    }


if __name__ == "__main__":
    main()
