"""Where the loop's CPU time goes: which tasks used how much, and what is left for trio itself.

CPU time of the thread, not time: when somebody else has the CPU, that is nobody's work here.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager

import trio

_cpu = time.thread_time_ns
_TRIES = 300

TICKER, BUILDING, PREFETCH, OTHER = "ticker", "building", "prefetch", "other tasks"
_KINDS = {
    "Ticker._run": TICKER,
    # Its playback's: the ticks do not need it, it builds their packets.
    "Playheads._run": BUILDING,
    "Playback._prefetch": PREFETCH,
}


class LoopTimes(trio.abc.Instrument):
    """Takes the CPU time of every step of every task, ns.

    Attributes:
        steps: of each step of a task, by kind of task.
        awake: in all, outside the kernel's wait.
    """

    def __init__(self) -> None:
        self.steps = {kind: array("q") for kind in (*_KINDS.values(), OTHER)}
        self.awake = 0
        self._kinds: dict[trio.lowlevel.Task, array[int]] = {}
        self._step_ns = 0
        self._woke_ns = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task not in self._kinds:
            self._kinds[task] = self.steps[kind_of(task.name)]
        self._step_ns = _cpu()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        ended = _cpu()
        # From the same moment on as the time awake: what else is left of the turn in which this
        # was put here is in neither.
        if self._woke_ns:
            self._kinds[task].append(ended - self._step_ns)

    def before_io_wait(self, timeout: float) -> None:
        ended = _cpu()
        if self._woke_ns:
            self.awake += ended - self._woke_ns

    def after_io_wait(self, timeout: float) -> None:
        self._woke_ns = _cpu()


def kind_of(task_name: str) -> str:
    """What a task is for."""
    return next((kind for name, kind in _KINDS.items() if task_name.endswith(name)), OTHER)


@contextmanager
def metered() -> Iterator[LoopTimes]:
    """Meter the loop for a while."""
    times = LoopTimes()
    trio.lowlevel.add_instrument(times)
    try:
        yield times
    finally:
        trio.lowlevel.remove_instrument(times)


async def cost_of_a_step() -> float:
    """What metering adds to one step of a task and the loop's turn around it, ns."""
    without = await _turn_ns()
    with metered():
        return max(await _turn_ns() - without, 0.0)


async def _turn_ns() -> float:
    turns = []
    for _ in range(_TRIES):
        began = _cpu()
        await trio.lowlevel.checkpoint()
        turns.append(_cpu() - began)
    # The fastest ones: those in which nothing else ran.
    return statistics.quantiles(turns, n=20)[0]
