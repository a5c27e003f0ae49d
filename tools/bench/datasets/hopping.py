"""Sessions that hop over many datasets: memory bounded, descriptors flat, the right file."""

from __future__ import annotations

import argparse
import itertools
import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import msgpack
from websockets.sync.client import connect

from tools.bench.harness.server import Server, StartedServer
from tools.bench.harness.text import Verdict

from .at_once import RATE, create, expected_from
from .expected import Expected
from .files import flat

_WORKERS = 6
_PACKETS = 30
_UNITS, _SECONDS, _SPIKES_HZ = 250, 180.0, 10.0
_SAMPLE_SECONDS = 2.0
_ALLOWED_MB = 512
# Beside what recordings are said to take: what the allocator keeps of those that are gone.
_BESIDE_MB = 256
_MAX_DESCRIPTORS = 20


def measure(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> list[Verdict]:
    """Hop; what came of it."""
    kept = arguments.folder or folder / "datasets"
    kept.mkdir(parents=True, exist_ok=True)
    paths = [kept / f"hop-{n}.nwb" for n in range(arguments.datasets)]
    for n, path in enumerate(paths):
        if not path.exists():
            flat(path, _UNITS + n, _SECONDS, _SPIKES_HZ, n)
    server = StartedServer(paths[0], Fraction(RATE), 64, folder, more=paths[1:])
    stack.callback(server.stop)
    process = server.process
    assert process is not None
    hops = _Hops(server, paths)
    end = time.monotonic() + arguments.minutes * 60
    threads = [threading.Thread(target=hops.run, args=(number, end)) for number in range(_WORKERS)]
    for thread in threads:
        thread.start()
    rss_mb, descriptors = [process.memory_info().rss / 1e6], [process.num_fds()]
    while time.monotonic() < end:
        time.sleep(_SAMPLE_SECONDS)
        rss_mb.append(process.memory_info().rss / 1e6)
        descriptors.append(process.num_fds())
    for thread in threads:
        thread.join()
    half = len(descriptors) // 2
    # The first samples are from before the hops began.
    before, after = max(descriptors[2:half]), max(descriptors[half:])
    tried = [name for name in hops.checked if hops.checked[name]]
    return [
        Verdict(
            "nothing from the wrong file",
            f"{sum(hops.wrong.values())} of {sum(hops.checked.values())} packets in {hops.n} "
            f"sessions of {len(tried)} datasets are wrong {'; '.join(list(hops.wrong)[:3])}; "
            f"refused: {dict(hops.refused)}; failures: {hops.failures[:3]}",
            not hops.wrong and not hops.failures and hops.n > 0,
        ),
        Verdict(
            "memory bounded",
            f"{rss_mb[0]:.0f} MB at the start, {max(rss_mb):.0f} MB at most, {rss_mb[-1]:.0f} MB "
            f"at the end; in four parts {[round(max(part)) for part in _parts(rss_mb)]}",
            max(rss_mb) < _ALLOWED_MB + _BESIDE_MB,
        ),
        Verdict(
            "descriptors flat",
            f"at most {before} in the first half, {after} in the second; {descriptors[-1]} at the "
            "end",
            after - before <= _MAX_DESCRIPTORS,
        ),
    ]


class _Hops:
    """Sessions that come, play a little and go, and what was seen of them."""

    def __init__(self, server: Server, paths: list[Path]) -> None:
        self._host, self._port = server.host, server.port
        self._paths = paths
        self._expected: dict[str, Expected] = {}
        self._reading = threading.Lock()
        self.n = 0
        self.checked: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.failures: list[str] = []

    def run(self, number: int, end: float) -> None:
        """Until a moment of the monotonic clock."""
        draw = random.Random(number)
        server = Server(f"http://{self._host}:{self._port}", None)
        for count in itertools.count():
            if time.monotonic() >= end or self.failures:
                return
            try:
                self._hop(server, f"hop-{number}-{count}", draw)
            except (OSError, SystemExit) as error:
                self.failures.append(str(error))

    def _hop(self, server: Server, code: str, draw: random.Random) -> None:
        path = draw.choice(self._paths)
        create(server, code, path.stem)
        expected = self._expected_of(server, path)
        server.must(
            "POST", f"/api/control/{code}/seek", {"packet_id": draw.randrange(expected.n_bins - 99)}
        )
        with connect(f"ws://{self._host}:{self._port}/stream/binary/{code}", proxy=None) as stream:
            while self.checked[code] < _PACKETS:
                message = msgpack.unpackb(stream.recv(20))
                if message["type"] != "data":
                    continue
                self.checked[code] += 1
                problem = expected.differs(message["data"])
                if problem is not None:
                    self.wrong[f"{path.stem}, {problem}"] += 1
        self.checked[path.stem] += self.checked.pop(code)
        server.must("DELETE", f"/api/sessions/{code}")
        self.n += 1

    def _expected_of(self, server: Server, path: Path) -> Expected:
        with self._reading:
            if path.stem not in self._expected:
                self._expected[path.stem] = expected_from(server, path)
            return self._expected[path.stem]


def _parts(values: list[float]) -> list[list[float]]:
    """In four, of the same length."""
    step = max(len(values) // 4, 1)
    return [values[k : k + step] for k in range(0, 4 * step, step) if values[k : k + step]]
