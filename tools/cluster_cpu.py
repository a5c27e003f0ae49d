"""CPU time that a server's processes take, without the times at which the host slowed the CPUs.

A host that gives a CPU only in part counts the rest as the programs' own time, so that a second of
it can show twice the CPU time of the next one. The time is looked at often, and the looks between
which `HostWatch` saw anything are left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

LOOK_SECONDS = 0.05
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """CPU time of all processes together.

    Attributes:
        at: when, monotonic s.
        cpu_seconds: that they have used until then.
    """

    at: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time between looks.

    Attributes:
        share: of one core.
        left_out: part of the time that the host touched, 0 to 1.
    """

    share: float
    left_out: float


def usage(looks: Sequence[Look], stalls: Sequence[tuple[float, float]]) -> Usage:
    """What was used in the time that the host left alone; in all of it where it left none.

    Args:
        looks: in order, two at least.
        stalls: [begin, end) at which a CPU was taken away or slow, monotonic s.
    """
    kept = [
        (before, after)
        for before, after in pairwise(looks)
        if not any(begin < after.at and before.at < end for begin, end in stalls)
    ]
    all_seconds = looks[-1].at - looks[0].at
    kept_seconds = sum(after.at - before.at for before, after in kept)
    if not kept:
        return Usage((looks[-1].cpu_seconds - looks[0].cpu_seconds) / all_seconds, 1.0)
    used = sum(after.cpu_seconds - before.cpu_seconds for before, after in kept)
    return Usage(used / kept_seconds, 1 - kept_seconds / all_seconds)


class CpuLooks:
    """Looks at processes in a thread of its own until `end`.

    Args:
        pids: of the processes, which do not end meanwhile.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._folders = [Path(f"/proc/{pid}/task") for pid in pids]
        self._ran_ns: dict[Path, int] = {}
        self._looks = [self._look()]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> Sequence[Look]:
        """All that was seen."""
        self._is_over.set()
        self._thread.join()
        return self._looks

    def _run(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            self._looks.append(self._look())

    def _look(self) -> Look:
        # psutil knows it in steps of 10 ms only; here it is ns, by thread.
        for folder in self._folders:
            for thread in folder.iterdir():
                try:
                    self._ran_ns[thread] = int((thread / "schedstat").read_text().split()[0])
                except OSError:
                    continue  # it has ended; what it had run until the last look stays
        return Look(time.monotonic(), sum(self._ran_ns.values()) / _NS)
