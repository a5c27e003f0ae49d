"""What the host took away: steal time of /proc/stat, and the stalls that the probes saw."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .talk import Child, ChildError

Stall = tuple[int, int]

# Above this a stall is the host's: waking a real-time thread takes tens of microseconds.
THRESHOLD_NS = 500_000
# A wake-up of a probe takes some 45 us of its CPU from the others. At 2 ms the stalls seen add up
# to 0.8 to 0.9 of the steal time (both are kept by --json), as at 1 ms, for half of that.
_PERIOD_NS = 2_000_000
# user nice system idle iowait irq softirq steal (proc_stat(5))
_STEAL_FIELD = 7
_BUSY_FIELDS = (0, 1, 2, 5, 6)
_TALK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Lost:
    """What a slice lost to the host.

    Attributes:
        seconds: length of the slice.
        steal_seconds: by CPU, from /proc/stat; empty where there is none.
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


def parse_ticks(proc_stat: str) -> tuple[tuple[int, ...], int]:
    """Steal of each CPU, and what all of them were busy, in clock ticks.

    Args:
        proc_stat: the text of /proc/stat.
    """
    steal, busy = list[int](), 0
    for line in proc_stat.splitlines():
        name, *values = line.split() or [""]
        if name.startswith("cpu") and name != "cpu":
            ticks = [int(value) for value in values]
            steal.append(ticks[_STEAL_FIELD] if len(ticks) > _STEAL_FIELD else 0)
            busy += sum(ticks[field] for field in _BUSY_FIELDS if field < len(ticks))
    return tuple(steal), busy


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
        self._ticks: tuple[tuple[int, ...], int] = ((), 0)
        self._tick_seconds = 1 / os.sysconf("SC_CLK_TCK")
        if probe:
            self._start_probes()

    def begin(self) -> None:
        """A slice begins."""
        self._ticks = _read_ticks()

    def end(self, start_ns: int, end_ns: int) -> Lost:
        """The slice from `start_ns` to `end_ns` is over."""
        (steal_before, busy_before), (steal_after, busy_after) = self._ticks, _read_ticks()
        steal = tuple(
            (b - a) * self._tick_seconds for a, b in zip(steal_before, steal_after, strict=True)
        )
        busy_seconds = (busy_after - busy_before) * self._tick_seconds
        stalls: list[Stall] | None = None
        stalled: tuple[float, ...] | None = None
        if self._probes:
            by_cpu = [
                within(
                    [(due, woken) for due, woken in child.ask({}, _TALK_SECONDS)["stalls"]],
                    start_ns,
                    end_ns,
                )
                for child in self._probes
            ]
            stalls = sorted(stall for cpu in by_cpu for stall in cpu)
            stalled = tuple(sum(woken - due for due, woken in cpu) / 1e9 for cpu in by_cpu)
        return Lost(
            seconds=(end_ns - start_ns) / 1e9,
            steal_seconds=steal,
            busy_seconds=busy_seconds,
            stalls=None if stalls is None else tuple(stalls),
            stalled_seconds=stalled,
        )

    def stop(self) -> None:
        """End the probes."""
        for child in self._probes:
            child.stop()
        self._probes.clear()

    def _start_probes(self) -> None:
        try:
            for cpu in sorted(os.sched_getaffinity(0)):
                config = {"cpu": cpu, "period_ns": _PERIOD_NS, "threshold_ns": THRESHOLD_NS}
                child = Child("probe", config)
                self._probes.append(child)
                child.read(_TALK_SECONDS)
        except ChildError as error:
            self.not_permitted = str(error)
            self.stop()


def _read_ticks() -> tuple[tuple[int, ...], int]:
    try:
        return parse_ticks(Path("/proc/stat").read_text())
    except OSError:
        return (), 0
