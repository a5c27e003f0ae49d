"""Time that stands still while this process does: what clients may be blamed by.

A deadline on an ordinary clock passes while the process is stopped, a virtual machine frozen or
the lid of a laptop closed, and is judged when everything goes on, before what has arrived in the
meantime was looked at. So whoever answers in time would be closed for our stall.

Theory of operation. A task beats four times a second. From one beat to the next at most
`MOST_SECONDS` are counted, however long it took: time that did not run is found by the beat that
did not come. What was pending at the stall has had all of its turn when a deadline passes.
`RunningClock` makes it the time of a whole trio run, so that every timeout in it is fair; where the
run is another's (hypercorn's Trio worker), what may blame a client asks `running_seconds`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio
from trio.lowlevel import RunVar

BEAT_SECONDS = 0.25
MOST_SECONDS = 0.5
"""Counted of the time between two beats: a busy loop is late by less, and then time is time."""


class RunningTime:
    """Time without the time in which nothing ran.

    Args:
        clock: s, monotonic, which runs always.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counted = clock()
        self._beat_at = self._counted
        self._is_beating = False

    def now(self) -> float:
        """Running time, s; as the clock's until the first beat."""
        elapsed = self._clock() - self._beat_at
        if self._is_beating and elapsed > MOST_SECONDS:
            elapsed = MOST_SECONDS
        return self._counted + elapsed

    def beat(self) -> None:
        """Everything runs."""
        self._counted = self.now()
        self._beat_at = self._clock()
        self._is_beating = True

    def stop(self) -> None:
        """No beats come any more: all time counts."""
        self.beat()
        self._is_beating = False


class StallGrace:
    """Puts off what is judged by an ordinary clock until what waited at a stall had its chance.

    Args:
        seconds: that are put off by, from the end of a stall on.
        running: running time, s.
    """

    def __init__(self, seconds: float, running: Callable[[], float]) -> None:
        self._seconds = seconds
        self._running = running
        self._seen: tuple[float, float] | None = None
        self._not_before = 0.0

    def is_over(self, now: float) -> bool:
        """Whether may be judged; ask regularly.

        Args:
            now: s, of a monotonic clock that runs always.
        """
        running = self._running()
        if self._seen is not None:
            seen, seen_running = self._seen
            if now - seen - (running - seen_running) > MOST_SECONDS:
                self._not_before = running + self._seconds
        self._seen = now, running
        return running >= self._not_before


class RunningClock(trio.abc.Clock):
    """Running time as the clock of a trio run, in which `keep_running_time` runs."""

    def __init__(self) -> None:
        self.running = RunningTime()

    def start_clock(self) -> None:
        """Nothing is to be started."""

    def current_time(self) -> float:
        """Running time, s."""
        return self.running.now()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """How long to sleep, s."""
        return deadline - self.running.now()


_running_time: RunVar[RunningTime] = RunVar("running time")


async def keep_running_time() -> None:
    """Beat until cancelled; there is one such task in a run."""
    clock = trio.lowlevel.current_clock()
    if isinstance(clock, RunningClock):
        running = clock.running
    else:
        running = RunningTime(trio.current_time)
        _running_time.set(running)
    try:
        while True:
            running.beat()
            await trio.sleep(BEAT_SECONDS)
    finally:
        running.stop()


def running_seconds() -> float:
    """Running time of this run, s; trio's own where nobody keeps it."""
    try:
        return _running_time.get().now()
    except LookupError:
        return trio.current_time()


async def sleep_until_running(seconds: float) -> None:
    """Sleep until it is that running time. Always a checkpoint."""
    await trio.lowlevel.checkpoint()
    while (left := seconds - running_seconds()) > 0:  # noqa: ASYNC110 - time is the event
        await trio.sleep(left)
