"""Several datasets on one server at once: what is sent is right, and opening others is not felt."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import msgpack
import numpy as np
from numpy.typing import NDArray

from tools.bench.harness.arrivals import Arrivals, arrivals
from tools.bench.harness.children import Child
from tools.bench.harness.host import HostWatch
from tools.bench.harness.server import Server, StartedServer
from tools.bench.harness.stats import paired_difference, quantiles
from tools.bench.harness.text import Verdict, number, us, with_interval
from tools.bench.jitter.series import Line

from .expected import Expected, expected_of
from .files import converted_xdf, flat, synthetic

RATE = 40
_LATE_NS = 5e6
_ANSWER_SECONDS = 60.0
_OTHERS = 4
# What plays takes 20 to 33 of them, and each further recording 19: one fits, two do not.
_MEMORY_MB = "56"


def measure(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> list[Verdict]:
    """Play, open and let go; what came of it."""
    first = synthetic(folder / "synthetic.nwb", 0)
    large = arguments.large or flat(folder / "large.nwb", 1024, 3600, 5, 0)
    xdf = converted_xdf(folder / "converted.nwb", first, folder)
    played = [first, *arguments.recordings, large, xdf]
    others = [synthetic(folder / f"other-{n}.nwb", n + 1) for n in range(_OTHERS)]
    os.environ["PHANTOM_RECORDINGS_MEMORY_MB"] = _MEMORY_MB
    server = StartedServer(
        first, Fraction(RATE), arguments.sessions, folder, more=[*played[1:], *others]
    )
    stack.callback(server.stop)
    names = [played[k % len(played)].stem for k in range(arguments.sessions)]
    codes = [f"load-{k}" for k in range(arguments.sessions)]
    for code, name in zip(codes, names, strict=True):
        create(server, code, name)
    expected = {path.stem: expected_from(server, path) for path in played}
    receiver = Child(
        "harness.receiver",
        {
            "host": server.host,
            "port": server.port,
            "paths": [f"/stream/{code}" for code in codes],
            "keeps": True,
        },
    )
    stack.callback(receiver.stop)
    receiver.read(_ANSWER_SECONDS)
    opener = _Opener(Server(f"http://{server.host}:{server.port}", None), others)
    heard: list[list[Arrivals]] = []
    lateness: dict[bool, list[NDArray[np.int64]]] = {True: [], False: []}
    wrong: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    gaps = 0
    # Packets that the machine under this one held up are no matter of ours.
    host = HostWatch(probe=True)
    stack.callback(host.stop)
    for n in range(arguments.slices + arguments.slices % 2):
        opens = bool(n % 2)
        host.begin()
        begin_ns = time.monotonic_ns()
        end_ns = begin_ns + int(arguments.slice_seconds * 1e9)
        receiver.say({"end_ns": end_ns})
        if opens:
            opener.open_until(end_ns)
        told = receiver.read(arguments.slice_seconds + _ANSWER_SECONDS)
        gaps += told["n_gaps"]
        arrived = arrivals(told)
        stalls = host.end(begin_ns, end_ns).stalls or ()
        lines = [Line(_sent(each, begin_ns, end_ns), Fraction(RATE), stalls) for each in arrived]
        lateness[opens].append(np.concatenate([line.release[line.kept] for line in lines]))
        heard.append(arrived)
        for name, packets in zip(names, told["payloads"], strict=True):
            for packet in packets:
                checked[name] += 1
                problem = expected[name].differs(msgpack.unpackb(packet)["data"])
                if problem is not None:
                    wrong[f"{name}, {problem}"] += 1
    rates = [_rate_hz(*ends) for ends in zip(heard[0], heard[-1], strict=True)]
    late = {
        opens: [float(np.sum(slice_ > _LATE_NS)) for slice_ in kind]
        for opens, kind in lateness.items()
    }
    all_of = {opens: quantiles(np.concatenate(kind)) for opens, kind in lateness.items()}
    more = paired_difference(late[True], late[False])
    some = "; ".join(list(wrong)[:3])
    return [
        Verdict(
            "every packet is what its own file says",
            f"{sum(wrong.values())} of {sum(checked.values())} packets are not {some}; checked "
            f"{dict(checked)}",
            not wrong and set(checked) == set(expected),
        ),
        Verdict("no gap", f"{gaps} gaps", gaps == 0),
        Verdict(
            f"{RATE} Hz",
            f"{min(rates):.4f} to {max(rates):.4f} Hz",
            max(abs(rate - RATE) for rate in rates) < 0.02,
        ),
        Verdict(
            "the latest tick while others are opened and let go is at most 5 ms later than without",
            f"{opener.opened} openings; latest {us(all_of[True].max)}, without "
            f"{us(all_of[False].max)}; p99.9 {us(all_of[True].p999)}, without "
            f"{us(all_of[False].p999)}",
            all_of[True].max - all_of[False].max <= _LATE_NS and opener.opened > 0,
        ),
        Verdict(
            "opening and letting go adds no tick that is later than 5 ms",
            f"in a slice {with_interval(more, number('+.1f'))} more of "
            f"{all_of[True].count / len(late[True]):.0f}; later than 5 ms in slices with openings "
            f"{_told(late[True])}, without {_told(late[False])}",
            more.low <= 0 and opener.opened > 0,
        ),
    ]


def _sent(by: Arrivals, begin_ns: int, end_ns: int) -> Arrivals:
    """Packets that left within [begin, end)."""
    part = slice(*np.searchsorted(by.stamp_ns, (begin_ns, end_ns)))
    return replace(by, **{field.name: getattr(by, field.name)[part] for field in fields(by)})


def _rate_hz(first: Arrivals, last: Arrivals) -> float:
    """Of a connection, from what it received in the first and in the last slice, by stamps."""
    steps = last.sequence[-1] - first.sequence[0]
    return float(steps * 1e9 / (last.stamp_ns[-1] - first.stamp_ns[0]))


def _told(counts: Sequence[float]) -> str:
    return ", ".join(f"{count:.0f}" for count in counts)


def create(server: Server, code: str, dataset: str) -> None:
    """A session that plays a dataset; one that is being opened is waited for."""
    while True:
        status, answer = server.call(
            "POST", "/api/sessions/create", {"custom_code": code, "dataset": dataset}
        )
        if status == 200:
            return
        if status != 503 or "is being opened" not in answer["detail"]:
            raise SystemExit(f"{dataset}: {status} {answer}")
        time.sleep(0.5)


def expected_from(server: Server, path: Path) -> Expected:
    """What a dataset's packets have to say; the server only says which series it plays."""
    card = server.must("GET", f"/api/datasets/{path.stem}")
    return expected_of(path, card["phantomlink"]["behaviour"], RATE)


class _Opener:
    """Has datasets opened one after the other, each of which makes room by letting another go."""

    def __init__(self, server: Server, paths: list[Path]) -> None:
        self._server, self._names = server, [path.stem for path in paths]
        self.opened = 0

    def open_until(self, end_ns: int) -> None:
        """In a thread, so that slices begin and end in time."""
        thread = threading.Thread(target=self._run, args=(end_ns,))
        thread.start()
        thread.join()

    def _run(self, end_ns: int) -> None:
        while time.monotonic_ns() < end_ns - 500_000_000:
            name = self._names[self.opened % len(self._names)]
            self._server.must("GET", f"/api/metadata?dataset={name}")
            self.opened += 1
            time.sleep(0.2)
