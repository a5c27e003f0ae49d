"""What ten views of a session cost the server: alternating slices with and without them.

    python -m tools.dashboard.watching_cost [--pairs 10] [--seconds 60] [--block 4]

One session at 40 Hz with one client, in this process; client and views in others. A pair is so many
seconds with ten views and as many without, in blocks of a few seconds whose order alternates (with,
without, without, with, ...): a shared machine's speed drifts within a minute by more than what is
measured here. A second after each change does not count, so that a run takes a third longer than
its pairs. Of each half of a pair: CPU of a tick itself (from the release of the packet until it has
been offered to everybody; mean and median) and ticks later than 5 ms, of all ticks and of those
that no slow time of the host touched (where probes may watch it); CPU of the loop's thread and of
the process a tick. At the end the packets that the clients have not got, and the mean differences
with their 95 % intervals (Student): over the pairs, and over all neighbouring blocks.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trio
from scipy.stats import t as student

from phantomlink.engine.departures import Departures
from phantomlink.engine.fanout import Release
from phantomlink.engine.playback import Playback
from phantomlink.recordings.synthetic import synthesize
from tools.bench.harness.host import HostWatch, Stall, watched_host
from tools.bench.jitter.series import touched
from tools.bench.ticks.live import Scenario, live
from tools.bench.ticks.tick_probes import replaced

N_VIEWS = 10
RATE_HZ = 40
LATE_NS = 5_000_000
MOST_TICK_NS = 1_000_000
SETTLE_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each half of a pair")
    parser.add_argument("--block", type=float, default=4.0, help="seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "reaches.nwb"
        synthesize(recording, trials=60)
        blocks = max(1, round(options.seconds / options.block))
        trio.run(measure, str(recording), options.pairs, blocks, options.seconds / blocks)


async def measure(recording: str, pairs: int, blocks: int, seconds: float) -> None:
    """Print each pair of so many blocks with and without views, then the differences."""
    halves: dict[int, list[Spent]] = {0: [], N_VIEWS: []}
    all_blocks: dict[int, list[Spent]] = {0: [], N_VIEWS: []}
    ticks: list[Tick] = []
    with watched_host() as host:
        async with live(Scenario(1, 1, RATE_HZ), recording) as running:
            with (
                metered_ticks(ticks),
                clients("listen", f"{running.url}/stream/binary/tick-0") as listener,
                clients("view", f"{running.url}/view/tick-0", str(N_VIEWS)) as views,
            ):
                for pair in range(pairs):
                    half = {0: Spent(), N_VIEWS: Spent()}
                    for block in range(2 * blocks):
                        n_views = N_VIEWS if (block + 1) // 2 % 2 != pair % 2 else 0
                        await trio.to_thread.run_sync(views.ask, "on" if n_views else "off")
                        await trio.sleep(SETTLE_SECONDS)
                        spent = await one_block(host, seconds, ticks)
                        await trio.to_thread.run_sync(views.ask, "off")
                        half[n_views].add(spent)
                        all_blocks[n_views].append(spent)
                    for n_views, each in half.items():
                        halves[n_views].append(each)
                        found = {name: round(v, 2) for name, v in each.a_tick().items()}
                        print(f"pair {pair + 1}, {n_views:2} views: {found}", flush=True)
                lost = await trio.to_thread.run_sync(listener.end)
                (session,) = running.service.registry
                dropped = session.counters.dropped
    for title, spent_by in ((f"{pairs} pairs", halves), ("neighbouring blocks", all_blocks)):
        print(f"{title}:")
        without, with_views = (
            [each.a_tick() for each in spent_by[n_views]] for n_views in (0, N_VIEWS)
        )
        for name in without[0]:
            print_difference(
                name, [each[name] for each in without], [each[name] for each in with_views]
            )
    every = [each for half in halves.values() for each in half]
    n, n_kept = sum(len(each.ticks) for each in every), sum(len(each.kept) for each in every)
    watched = host.not_permitted or "seen by probes"
    print(f"slow times of the host touched {n - n_kept} of {n} ticks ({watched})")
    print(f"packets that the client has not got: {lost}; dropped for any: {dropped}")


def print_difference(name: str, without: list[float], with_views: list[float]) -> None:
    """Mean of the one, and by how much the other is more."""
    differences = [b - a for a, b in zip(without, with_views, strict=True)]
    mean, half, n = statistics.mean(differences), 0.0, len(differences)
    if n > 1:
        half = float(student.ppf(0.975, n - 1)) * statistics.stdev(differences) / n**0.5
    print(
        f"  {name}: {statistics.mean(without):.1f} without, with views {mean:+.2f} "
        f"[{mean - half:.2f}, {mean + half:.2f}]"
    )


class Tick(NamedTuple):
    """One tick.

    Attributes:
        cpu_us: of the loop's thread, until the packet has been offered to everybody.
        late_ns: from when it was due until it was released.
        ended_ns: CLOCK_MONOTONIC.
    """

    cpu_us: float
    late_ns: int
    ended_ns: int


@contextmanager
def metered_ticks(ticks: list[Tick]) -> Iterator[None]:
    """Note what each tick takes."""
    release = Departures._release
    cpu_ns, now_ns = time.thread_time_ns, time.monotonic_ns

    def metered(playback: Playback, released: Release, due_ns: int) -> None:
        late_ns, began_ns = now_ns() - due_ns, cpu_ns()
        release(playback, released, due_ns)
        ticks.append(Tick((cpu_ns() - began_ns) / 1000, late_ns, now_ns()))

    with replaced(Departures, "_release", metered):
        yield


class Clients:
    """A process of clients that are told what to do, see `watchers`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, line: str) -> None:
        """Let them do it; returns when it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline().strip() != line:
            raise SystemExit("the clients have failed")

    def end(self) -> str:
        """End them; what they say then."""
        said, _ = self._process.communicate()
        if self._process.returncode:
            raise SystemExit("the clients have failed")
        return said.strip()


@contextmanager
def clients(*arguments: str) -> Iterator[Clients]:
    """Clients that have ended when this is left."""
    command = [sys.executable, "-m", "tools.dashboard.watchers", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Clients(process)
        if process.returncode is None:
            process.communicate()


@dataclass
class Spent:
    """What some blocks have taken in all.

    Attributes:
        ticks: all of them.
        kept: those that no slow time of the host touched.
        thread_ns: CPU of the loop's thread.
        process_ns: CPU of the process.
    """

    ticks: list[Tick] = field(default_factory=list)
    kept: list[Tick] = field(default_factory=list)
    thread_ns: int = 0
    process_ns: int = 0

    def add(self, other: Spent) -> None:
        """Take what another block has taken as well."""
        self.ticks += other.ticks
        self.kept += other.kept
        self.thread_ns += other.thread_ns
        self.process_ns += other.process_ns

    def a_tick(self) -> dict[str, float]:
        """The same by tick; late ones by minute."""
        n = len(self.ticks)
        return {
            "tick_us": statistics.fmean(tick.cpu_us for tick in self.kept),
            "tick_us_of_all": statistics.fmean(tick.cpu_us for tick in self.ticks),
            "median_tick_us": statistics.median(tick.cpu_us for tick in self.kept),
            "thread_us_a_tick": self.thread_ns / n / 1000,
            "process_us_a_tick": self.process_ns / n / 1000,
            "late_ticks_a_minute": late_a_minute(self.kept),
            "late_ticks_a_minute_of_all": late_a_minute(self.ticks),
        }


def late_a_minute(ticks: list[Tick]) -> float:
    """Of so many ticks, those that were later than 5 ms, by the minute."""
    return sum(tick.late_ns > LATE_NS for tick in ticks) * 60 * RATE_HZ / len(ticks)


async def one_block(host: HostWatch, seconds: float, ticks: list[Tick]) -> Spent:
    """What the server takes in so many seconds."""
    ticks.clear()
    host.begin()
    begin_ns = time.monotonic_ns()
    before = (time.thread_time_ns(), time.process_time_ns())
    await trio.sleep(seconds)
    spent = Spent(
        list(ticks), [], time.thread_time_ns() - before[0], time.process_time_ns() - before[1]
    )
    # Probes answer within a few milliseconds, which the loop must not wait for.
    lost = await trio.to_thread.run_sync(host.end, begin_ns, time.monotonic_ns())
    spent.kept = untouched(spent.ticks, lost.stalls or ())
    return spent


def untouched(ticks: list[Tick], stalls: Sequence[Stall]) -> list[Tick]:
    """Ticks that no stall overlaps, from when each was due until it was done."""
    ended_ns = np.array([tick.ended_ns for tick in ticks], dtype=np.int64)
    late_ns = np.array([tick.late_ns for tick in ticks], dtype=np.int64)
    # A tick itself takes a fraction of this.
    way_ns = late_ns + MOST_TICK_NS
    is_touched = touched(ended_ns, way_ns, int(way_ns.max(initial=0)), stalls)
    return [tick for tick, is_out in zip(ticks, is_touched, strict=True) if not is_out]


if __name__ == "__main__":
    main()
