"""The ticks of all playheads, each at its deadline, from one task.

Theory of operation. Whoever has a tick due stands in a heap, by deadline. One task of the event
loop sleeps until shortly before the earliest, spins to it, calls that tick, which answers when
its next one is due, and goes on with the earliest that is left. So nobody spins for a deadline
while an earlier one waits, after a stall those who have waited longest come first, and ticks that
follow each other closely cost one wake-up together: no task is switched to, no timer set and the
loop is not gone through in between. The waiter's own task sleeps all the while, and is woken only
when its tick asks for it.

Trio lets all tasks that are ready go on before it looks at the timer again. Ticks do not wait for
all of them: those that have become due are called before each. With 100 clients that answer every
packet that halved the 99th percentile of lateness, and nearly so where nobody answers.

A tick is a plain function that waits for nothing. Where one raises, its waiter's task does. Where
the kernel's timer fails they go on, less punctually: see `alarm`.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import TypeAlias

import trio

from phantomlink.scheduling.alarm import Alarm
from phantomlink.scheduling.spin import SpinGovernor, WakeMargin, spin
from phantomlink.scheduling.timerfd import Timerfd

Tick: TypeAlias = Callable[[int], int | None]
"""A tick: given the time, monotonic ns, it answers when the next one is due; None when the task
that waits is to go on."""

# The ticks that are due may keep the loop for so long before other tasks run. A group of 25
# (`phases`) fits: else its last ones wait for what other tasks do, which is to build, and
# could as well be done after them.
_LONGEST_TURN_NS = 2_000_000
_AT_ONCE_NS = 1
_NEVER_NS = 1 << 62
# Where the loop's own sleep has to do, which is in whole milliseconds, rounded up: as much more of
# the lead that the governor allows.
_SLEEP_LEAD_NS = 1_500_000
_SLEEP_LEAD_TIMES = 4
_monotonic_ns = time.monotonic_ns


class _Waiter:
    """A task that waits while its ticks are called.

    Attributes:
        tick: what is called; None when the task does not wait any more.
    """

    __slots__ = ("_context", "_failure", "_task", "tick")

    def __init__(self, task: trio.lowlevel.Task, tick: Tick) -> None:
        self._task = task
        # The task's, for what lines of the log say of whom they are about.
        self._context: Context = task.context
        self._failure: Exception | None = None
        self.tick: Tick | None = tick

    async def wait(self) -> None:
        """Sleep until a tick has asked for the task, or failed."""
        await trio.lowlevel.wait_task_rescheduled(self._abort)
        if self._failure is not None:
            raise self._failure

    def call(self, tick: Tick, now_ns: int) -> int | None:
        """Tick; when the next one is due, None when there is none."""
        try:
            due_ns = self._context.run(tick, now_ns)
        except Exception as error:  # noqa: BLE001 - it is raised where it belongs
            self._failure = error
            due_ns = None
        # The tick itself may have had its task cancelled.
        if self.tick is None:
            return None
        if due_ns is None:
            self.tick = None
            trio.lowlevel.reschedule(self._task)
        return due_ns

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self.tick = None
        return trio.lowlevel.Abort.SUCCEEDED


class _BetweenTasks(trio.abc.Instrument):
    """Calls ticks that are due before a task goes on.

    Args:
        call_due: calls them.
    """

    def __init__(self, call_due: Callable[[], None]) -> None:
        self._call_due = call_due

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task is about to go on."""
        self._call_due()


class Ticker:
    """Calls ticks at their deadlines.

    It has one task, while it is in use: a system task of the trio run.

    Args:
        timer: what it sleeps by.
        margin: how early to wake; told how late wake-ups are.
        governor: of the time spun.
    """

    def __init__(self, timer: Timerfd, margin: WakeMargin, governor: SpinGovernor) -> None:
        self._timer = timer
        self._margin = margin
        self._governor = governor
        self._heap: list[tuple[int, int, _Waiter]] = []
        self._order = itertools.count()
        self._users = 0
        self._scope: trio.CancelScope | None = None
        self._alarm = Alarm(timer)
        # For when the alarm is set while the task sleeps by it; 0 while it is awake.
        self._armed_ns = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Enter this around `tick_from`: the task ends when the last one has left."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users and self._scope is not None:
                self._scope.cancel()
                self._scope = None
                self._heap.clear()

    async def tick_from(self, due_ns: int, tick: Tick) -> None:
        """Call `tick` at a deadline, and again at each that it answers, until it answers None.

        Always a checkpoint. Cancelled: at that moment, and not called again.

        Args:
            due_ns: monotonic ns; at once when it is past.
            tick: what to call.

        Raises:
            Exception: what `tick` raises.
        """
        waiter = _Waiter(trio.lowlevel.current_task(), tick)
        heapq.heappush(self._heap, (due_ns, next(self._order), waiter))
        if self._scope is None:
            self._alarm = Alarm(self._timer)
            self._alarm.open()
            self._armed_ns = 0
            self._scope = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._run, self._alarm, self._scope)
        elif self._armed_ns:
            wake_ns = due_ns - self._lead_ns
            if wake_ns < self._armed_ns:
                self._arm(self._alarm, _AT_ONCE_NS if wake_ns <= _monotonic_ns() else wake_ns)
        await waiter.wait()

    def call_due(self) -> None:
        """Call the ticks whose time has come, in the middle of what other tasks do.

        Not where they are behind by more than a turn: then others are to have theirs.
        """
        if self._armed_ns and self._heap:
            late_ns = _monotonic_ns() - self._heap[0][0]
            if 0 <= late_ns <= _LONGEST_TURN_NS:
                self._serve()

    @property
    def _lead_ns(self) -> int:
        cap_ns = self._governor.cap_ns
        if self._alarm.is_precise:
            return min(self._margin.margin_ns, cap_ns)
        return min(_SLEEP_LEAD_NS, _SLEEP_LEAD_TIMES * cap_ns)

    def _arm(self, alarm: Alarm, wake_ns: int) -> None:
        alarm.set(wake_ns)
        self._armed_ns = wake_ns

    async def _run(self, alarm: Alarm, scope: trio.CancelScope) -> None:
        instrument = _BetweenTasks(self.call_due)
        trio.lowlevel.add_instrument(instrument)
        try:
            with scope:
                while True:
                    await self._serve_once(alarm)
        finally:
            with suppress(KeyError):  # Trio takes out one that fails.
                trio.lowlevel.remove_instrument(instrument)
            alarm.close()

    async def _serve_once(self, alarm: Alarm) -> None:
        self._armed_ns = 0
        wake_ns = self._serve()
        if wake_ns is None:
            await trio.lowlevel.checkpoint()
            return
        self._arm(alarm, wake_ns)
        await alarm.wait()
        # One that was late already when it was asked for says nothing of the kernel.
        if self._armed_ns != _AT_ONCE_NS and alarm.is_precise:
            self._margin.observe(_monotonic_ns() - self._armed_ns, self._governor.used)

    def _serve(self) -> int | None:
        """Call the ticks that are due, or so soon that it is not worth sleeping.

        Returns:
            When to wake; never is a time far away. None: more are due, once other tasks have run.
        """
        heap, governor = self._heap, self._governor
        now_ns = _monotonic_ns()
        until_ns = now_ns + _LONGEST_TURN_NS
        # It hardly changes while ticks are called, and each of them would ask again.
        lead_ns = self._lead_ns
        while heap:
            due_ns, _, waiter = heap[0]
            tick = waiter.tick
            if tick is None:
                heapq.heappop(heap)
                continue
            wake_ns = due_ns - lead_ns
            if now_ns < wake_ns:
                return wake_ns
            if now_ns > until_ns:
                return None
            # It stays the first while it is called: only tasks put anything in here.
            next_ns = waiter.call(tick, spin(due_ns, governor))
            if next_ns is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (next_ns, next(self._order), waiter))
            now_ns = _monotonic_ns()
        return _NEVER_NS
