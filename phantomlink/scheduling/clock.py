"""The clock that ticks are released by: monotonic nanoseconds and precise waiting.

Trio sleeps in whole milliseconds rounded up, so `trio.sleep_until` is up to 1.3 ms late by
construction. On Linux ticks are called by a `Ticker`, which sleeps by a timer of the kernel, is
woken a little early, and spins for the rest. Elsewhere it is `sleep_until` and a longer spin.
Tests give the engine a clock that only waits: a spin on a clock that stands still never ends.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import trio

from phantomlink.scheduling.cpu_yield import CpuYielder
from phantomlink.scheduling.spin import SpinGovernor, WakeMargin, spin
from phantomlink.scheduling.ticker import Tick, Ticker
from phantomlink.scheduling.timerfd import timerfd

_NS = 1_000_000_000
_monotonic_ns = time.monotonic_ns


class Clock(Protocol):
    """Time for the engine."""

    def now_ns(self) -> int:
        """Monotonic time, ns."""
        ...

    def wall_seconds(self) -> float:
        """Unix time, s: for timestamps only, never for scheduling."""
        ...

    def yield_cpu(self, *, others_wait: bool = True) -> None:
        """Let whoever was just sent something have this CPU.

        Args:
            others_wait: clients do, for what this thread does next.
        """
        ...

    def keep_cpu(self) -> AbstractContextManager[None]:
        """Yield nothing in here: a process of ours computes, and would get what clients should."""
        ...

    def in_use(self) -> AbstractContextManager[None]:
        """Enter this around `tick_from`."""
        ...

    def call_due(self) -> None:
        """Call the ticks whose time has come: for a task with much to do in one turn of the loop.

        It costs next to nothing where there are none, and spares them the wait for the next turn.
        """
        ...

    async def tick_from(self, due_ns: int, tick: Tick) -> None:
        """Call `tick` at a deadline, and again at each that it answers, until it answers None.

        Always a checkpoint. A cancellation is noticed up to the moment of each call: nothing runs
        between that and the call.

        Args:
            due_ns: monotonic ns; at once when it is past.
            tick: a function of the time, monotonic ns, that waits for nothing.

        Raises:
            Exception: what `tick` raises.
        """
        ...


class WaitingTicks(ABC):
    """Ticks that the waiting task calls itself, for what can only wait for a time."""

    @abstractmethod
    async def wait_until(self, due_ns: int) -> int:
        """Return at a time or, when it is past, at once. Always a checkpoint.

        A cancellation that came before the return is raised: nothing else runs in between.

        Returns:
            The time now, monotonic ns.
        """

    def keep_cpu(self) -> AbstractContextManager[None]:
        """As `Clock.keep_cpu`: nothing is yielded."""
        return nullcontext()

    def in_use(self) -> AbstractContextManager[None]:
        """As `Clock.in_use`: there is nothing to hold."""
        return nullcontext()

    def call_due(self) -> None:  # noqa: B027 - there are none but those of who waits
        """As `Clock.call_due`: who waits calls its own."""

    async def tick_from(self, due_ns: int, tick: Tick) -> None:
        """As `Clock.tick_from`."""
        following: int | None = due_ns
        while following is not None:
            following = tick(await self.wait_until(following))


class SystemClock:
    """CLOCK_MONOTONIC, with wake-ups that learn how early they have to be.

    Args:
        spin_share: share of one core that may be spun in all.

    Attributes:
        source: what waiting is built on, for reports.
    """

    def __init__(self, spin_share: float = 0.15) -> None:
        self.margin = WakeMargin()
        self.governor = SpinGovernor(spin_share)
        self._yield_cpu = CpuYielder()
        timer = timerfd()
        self._ticks: Ticker | WaitingTicks
        if timer is None:
            self.source = "sleep"
            self._ticks = _SleepingTicks(self.governor)
        else:
            self.source = "timerfd"
            self._ticks = Ticker(timer, self.margin, self.governor)

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC, ns."""
        return _monotonic_ns()

    def wall_seconds(self) -> float:
        """Unix time, s."""
        return time.time()

    def yield_cpu(self, *, others_wait: bool = True) -> None:
        """As `Clock.yield_cpu`: as far as the budget of `CpuYielder` allows."""
        self._yield_cpu(others_wait=others_wait)

    def keep_cpu(self) -> AbstractContextManager[None]:
        """As `Clock.keep_cpu`."""
        return self._yield_cpu.paused()

    def in_use(self) -> AbstractContextManager[None]:
        """As `Clock.in_use`."""
        return self._ticks.in_use()

    def call_due(self) -> None:
        """As `Clock.call_due`."""
        self._ticks.call_due()

    async def tick_from(self, due_ns: int, tick: Tick) -> None:
        """As `Clock.tick_from`."""
        await self._ticks.tick_from(due_ns, tick)


class _SleepingTicks(WaitingTicks):
    """For systems without timerfd: trio's own sleep, and a spin over its millisecond."""

    _LEAD_NS = 1_500_000

    def __init__(self, governor: SpinGovernor) -> None:
        self._governor = governor

    async def wait_until(self, due_ns: int) -> int:
        remaining_ns = due_ns - self._LEAD_NS - _monotonic_ns()
        await trio.sleep(max(remaining_ns, 0) / _NS)
        await trio.lowlevel.checkpoint_if_cancelled()
        return spin(due_ns, self._governor)
