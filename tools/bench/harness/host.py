"""What the host took away: steal time, and when the probes saw a CPU away or slow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil
from numpy.typing import NDArray

from .children import Child, ChildError

Stall = tuple[int, int]

# Above this a stall is the host's: waking a real-time thread takes tens of microseconds.
THRESHOLD_NS = 500_000
# A wake-up of a probe takes some 45 us of its CPU from the others. At 2 ms the stalls seen add up
# to 0.8 to 0.9 of the steal time (both are kept by --json), as at 1 ms, for half of that.
_PERIOD_NS = 2_000_000
_TALK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Lost:
    """What a slice lost to the host.

    Attributes:
        seconds: length of the slice.
        steal_seconds: by CPU; zeros where the system does not say.
        busy_seconds: CPU time that this machine's programs and kernel got, all CPUs together.
        stalls: [due, woken] of every stall the probes saw, CLOCK_MONOTONIC ns; None: no probe.
        stalled_seconds: by CPU, from the probes; None: no probe.
    """

    seconds: float
    steal_seconds: tuple[float, ...]
    busy_seconds: float
    stalls: tuple[Stall, ...] | None
    stalled_seconds: tuple[float, ...] | None

    @property
    def fraction(self) -> float:
        """Share of the slice that the CPU which lost most was away."""
        worst = max((*self.steal_seconds, *(self.stalled_seconds or ())), default=0.0)
        return worst / self.seconds if self.seconds > 0 else 0.0


def within(stalls: list[Stall], start_ns: int, end_ns: int) -> list[Stall]:
    """The parts of stalls that lie in [start, end)."""
    cut = ((max(due, start_ns), min(woken, end_ns)) for due, woken in stalls)
    return [(due, woken) for due, woken in cut if due < woken]


class HostWatch:
    """Watches the host while slices are measured.

    Args:
        probe: whether to start a probe on every CPU that this process may use.
    """

    def __init__(self, *, probe: bool) -> None:
        self.not_permitted: str | None = None if probe else "switched off by --no-probe"
        self._probes: list[Child] = []
        self._before = _times()
        try:
            for cpu in sorted(os.sched_getaffinity(0)) if probe else ():
                config = {"cpu": cpu, "period_ns": _PERIOD_NS, "threshold_ns": THRESHOLD_NS}
                self._probes.append(Child("harness.probe", config))
                self._probes[-1].read(_TALK_SECONDS)
        except ChildError as error:
            self.not_permitted = str(error)
            self.stop()

    def begin(self) -> None:
        """A slice begins."""
        self._before = _times()

    def end(self, start_ns: int, end_ns: int) -> Lost:
        """The slice from `start_ns` to `end_ns` is over."""
        spent = _times() - self._before
        by_cpu = [
            within(child.ask({}, _TALK_SECONDS)["stalls"], start_ns, end_ns)
            for child in self._probes
        ]
        stalled = tuple(sum(woken - due for due, woken in cpu) / 1e9 for cpu in by_cpu)
        return Lost(
            seconds=(end_ns - start_ns) / 1e9,
            steal_seconds=tuple(spent[:, 0].tolist()),
            busy_seconds=float(spent[:, 1].sum()),
            stalls=tuple(sorted(s for cpu in by_cpu for s in cpu)) if by_cpu else None,
            stalled_seconds=stalled or None,
        )

    def stop(self) -> None:
        """End the probes."""
        for child in self._probes:
            child.stop()
        self._probes.clear()


@contextmanager
def watched_host() -> Iterator[HostWatch]:
    """A watch with probes, which have ended when this is left."""
    host = HostWatch(probe=True)
    try:
        yield host
    finally:
        host.stop()


def _times() -> NDArray[np.float64]:
    """(CPUs, 2) steal and busy time of each since the machine started, s."""
    return np.array(
        [
            (getattr(cpu, "steal", 0.0), cpu.user + cpu.nice + cpu.system + cpu.irq + cpu.softirq)
            for cpu in psutil.cpu_times(percpu=True)
        ]
    )
