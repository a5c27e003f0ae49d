"""What ten views of a session cost the server: alternating slices with and without them.

    python -m tools.dashboard.watching_cost [--pairs 10] [--seconds 60] [--block 4]

One session at 40 Hz with one client, in this process; client and views in others. A pair is so many
seconds with ten views and as many without, in blocks of a few seconds whose order alternates (with,
without, without, with, ...): a shared machine's speed drifts within a minute by more than what is
measured here. A second after each change does not count. Of each half of a pair: CPU of a tick
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from phantomlink.engine.departures import Departures
from phantomlink.engine.playback import Playback
from phantomlink.engine.session import Session
from phantomlink.recordings.synthetic import synthesize
from tools.bench.ticks.live import Live, Scenario, live
from tools.bench.ticks.tick_probes import replaced

N_VIEWS = 10
RATE_HZ = 40
LATE_NS = 5_000_000
SETTLE_SECONDS = 1.0
# Student's t at 97.5 %, by degrees of freedom.
T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}


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
    slices: dict[int, list[dict[str, float]]] = {0: [], N_VIEWS: []}
    tick_ns: list[int] = []
    async with live(Scenario(1, 1, RATE_HZ), recording) as running:
        with (
            metered_ticks(tick_ns),
            clients("listen", f"{running.url}/stream/binary/tick-0") as listener,
            clients("view", f"{running.url}/view/tick-0", str(N_VIEWS)) as views,
        ):
            for pair in range(pairs):
                spent = {0: Spent(), N_VIEWS: Spent()}
                for block in range(2 * blocks):
                    n_views = N_VIEWS if (block + 1) // 2 % 2 != pair % 2 else 0
                    await trio.to_thread.run_sync(views.ask, "on" if n_views else "off")
                    await trio.sleep(SETTLE_SECONDS)
                    await one_block(running, seconds, tick_ns, spent[n_views])
                    await trio.to_thread.run_sync(views.ask, "off")
                for n_views, each in spent.items():
                    slices[n_views].append(found := each.a_tick())
                    print(f"pair {pair + 1}, {n_views:2} views: {found}", flush=True)
            lost = await trio.to_thread.run_sync(listener.end)
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
    release = Departures._release
    now = time.thread_time_ns

    def metered(playback: Playback, *arguments: Any) -> None:
        began = now()
        release(playback, *arguments)
        spent_ns.append(now() - began)

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
        ticks_us: CPU of each tick.
        thread_ns: CPU of the loop's thread.
        process_ns: CPU of the process.
        late_ticks: that were later than 5 ms.
    """

    ticks_us: list[float] = field(default_factory=list)
    thread_ns: int = 0
    process_ns: int = 0
    late_ticks: int = 0

    def a_tick(self) -> dict[str, float]:
        """The same by tick; late ones by minute."""
        n = len(self.ticks_us)
        return {
            "tick_us": round(statistics.fmean(self.ticks_us), 2),
            "median_tick_us": round(statistics.median(self.ticks_us), 2),
            "thread_us_a_tick": round(self.thread_ns / n / 1000, 2),
            "process_us_a_tick": round(self.process_ns / n / 1000, 2),
            "late_ticks_a_minute": round(self.late_ticks * 60 * RATE_HZ / n, 2),
        }


async def one_block(running: Live, seconds: float, tick_ns: list[int], spent: Spent) -> None:
    """Add what the server takes in so many seconds."""
    (session,) = running.service.registry
    tick_ns.clear()
    before = (time.thread_time_ns(), time.process_time_ns(), n_late(session))
    await trio.sleep(seconds)
    spent.ticks_us += [ns / 1000 for ns in tick_ns]
    spent.thread_ns += time.thread_time_ns() - before[0]
    spent.process_ns += time.process_time_ns() - before[1]
    spent.late_ticks += n_late(session) - before[2]


def n_late(session: Session) -> int:
    """Ticks so far that were later than 5 ms."""
    return sum(n for edge, n in session.main.timing.lateness.buckets() if edge > LATE_NS)


if __name__ == "__main__":
    main()
