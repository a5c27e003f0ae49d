"""What each further open recording costs: memory and time."""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from tools.bench.harness.server import StartedServer
from tools.bench.harness.text import Verdict

from .at_once import RATE, create
from .files import synthetic

_MAX_MB = 25.0
_MAX_MS = 200.0
_DATASETS = 8


def measure(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> list[Verdict]:
    """Open synthetic recordings of 142 units one after the other, each with a session."""
    n = min(arguments.datasets, _DATASETS)
    paths = [synthetic(folder / f"open-{k}.nwb", k) for k in range(n + 1)]
    verdicts = []
    # The first time a file is opened in a child process first; what is known of it is kept.
    for known in (False, True):
        server = StartedServer(paths[0], Fraction(RATE), 64, folder, more=paths[1:])
        process = server.process
        assert process is not None
        create(server, "first", paths[0].stem)
        costs_mb, costs_ms = [], []
        for k, path in enumerate(paths[1:]):
            before, begun = process.memory_info().rss, time.monotonic()
            create(server, f"further-{k}", path.stem)
            costs_ms.append((time.monotonic() - begun) * 1e3)
            costs_mb.append((process.memory_info().rss - before) / 1e6)
        server.stop()
        when = "that was open before" if known else "opened for the first time"
        figure = (
            f"median {statistics.median(costs_mb):.1f} MB and {statistics.median(costs_ms):.0f} ms,"
            f" at most {max(costs_mb):.1f} MB and {max(costs_ms):.0f} ms"
        )
        is_cheap = statistics.median(costs_mb) <= _MAX_MB and statistics.median(costs_ms) <= _MAX_MS
        verdicts.append(
            Verdict(
                f"a further recording of 142 units {when} costs at most {_MAX_MB:g} MB and "
                f"{_MAX_MS:g} ms",
                figure,
                is_cheap if known else None,
            )
        )
    return verdicts
