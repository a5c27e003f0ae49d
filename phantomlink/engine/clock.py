"""The clock that ticks are released by: monotonic nanoseconds and precise waiting.

Trio sleeps in whole milliseconds rounded up, so `trio.sleep_until` is up to 1.3 ms late by
construction. On Linux a waiter is a `timerfd` on CLOCK_MONOTONIC with an absolute deadline:
trio waits for it as for any descriptor, woken a little early, and a short spin does the rest.
Elsewhere it is `sleep_until` and a longer spin. Tests give the engine a clock that only waits:
a spin on a clock that stands still never ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

import trio

from phantomlink.engine.spin import SpinGovernor, WakeMargin

_NS = 1_000_000_000
_monotonic_ns = time.monotonic_ns
_sched_yield: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


class Alarm(Protocol):
    """Waits for one deadline at a time."""

    async def wait_until(self, deadline_ns: int) -> int:
        """Return at the deadline, or at once when it is past. Always a checkpoint.

        A cancellation that came before the last microseconds of the wait is raised: nothing but
        the waiter itself runs between that moment and its return.

        Returns:
            The time now, ns.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class Clock(Protocol):
    """Time for the engine."""

    def now_ns(self) -> int:
        """Monotonic time, ns."""
        ...

    def wall_seconds(self) -> float:
        """Unix time, s: for timestamps only, never for scheduling."""
        ...

    def give_way(self) -> None:
        """Let whoever was just sent something have this CPU, before the work behind a tick."""
        ...

    def alarm(self) -> Alarm:
        """A waiter of its own for one task."""
        ...


class SystemClock:
    """CLOCK_MONOTONIC, with waiters that learn how early to wake.

    Args:
        spin_share: share of one core that all waiters together may spin.
    """

    def __init__(self, spin_share: float = 0.15) -> None:
        self.margin = WakeMargin()
        self.governor = SpinGovernor(spin_share)
        self._timerfd = _timerfd_functions()

    @property
    def source(self) -> str:
        """What waiting is built on, for reports."""
        return "timerfd" if self._timerfd else "sleep"

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC, ns."""
        return _monotonic_ns()

    def wall_seconds(self) -> float:
        """Unix time, s."""
        return time.time()

    def give_way(self) -> None:
        """Let a client that a write has woken run now.

        The kernel likes to wake it on the CPU that wrote, where it would wait for this thread to
        build the next packet and go to sleep: that was nine tenths of the interval error that a
        client on the same machine saw.
        """
        _sched_yield()

    def alarm(self) -> Alarm:
        """A waiter of its own for one task."""
        if self._timerfd is None:
            return _SleepAlarm(self.governor)
        return _TimerfdAlarm(*self._timerfd, self.margin, self.governor)


def _spin(deadline_ns: int, governor: SpinGovernor) -> int:
    start = now = _monotonic_ns()
    # Before the spin, so that nothing is left to do behind it; the wake-up's own part is noise.
    governor.spun(max(deadline_ns - start, 0), start)
    while now < deadline_ns:
        now = _monotonic_ns()
    return now


class _TimerfdAlarm:
    def __init__(
        self,
        create: Callable[[], int],
        set_time: Callable[[int, int], None],
        margin: WakeMargin,
        governor: SpinGovernor,
    ) -> None:
        self._fd = create()
        self._set_time = set_time
        self._margin = margin
        self._governor = governor

    async def wait_until(self, deadline_ns: int) -> int:
        wake_ns = deadline_ns - min(self._margin.margin_ns, self._governor.cap_ns)
        if _monotonic_ns() < wake_ns:
            # Setting the time also clears an expiry that a cancelled wait has left unread.
            self._set_time(self._fd, wake_ns)
            await trio.lowlevel.wait_readable(self._fd)
            # It may have been cancelled between the wake-up and its turn to run.
            await trio.lowlevel.checkpoint_if_cancelled()
            self._margin.observe(_monotonic_ns() - wake_ns)
        else:
            await trio.lowlevel.checkpoint()
        return _spin(deadline_ns, self._governor)

    def close(self) -> None:
        trio.lowlevel.notify_closing(self._fd)
        os.close(self._fd)


class _SleepAlarm:
    """For systems without timerfd: trio's own sleep, and a spin over its millisecond."""

    _LEAD_NS = 1_500_000

    def __init__(self, governor: SpinGovernor) -> None:
        self._governor = governor

    async def wait_until(self, deadline_ns: int) -> int:
        remaining_ns = deadline_ns - self._LEAD_NS - _monotonic_ns()
        await trio.sleep(max(remaining_ns, 0) / _NS)
        await trio.lowlevel.checkpoint_if_cancelled()
        return _spin(deadline_ns, self._governor)

    def close(self) -> None:
        pass


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


_TFD_TIMER_ABSTIME = 1


def _timerfd_functions() -> tuple[Callable[[], int], Callable[[int, int], None]] | None:
    """Create a timer, arm one at an absolute time (ns); None where there is no timerfd."""
    if sys.platform != "linux":
        return None
    if sys.version_info >= (3, 13):
        flags = os.TFD_NONBLOCK | os.TFD_CLOEXEC

        def create() -> int:
            return os.timerfd_create(time.CLOCK_MONOTONIC, flags=flags)

        def set_time(fd: int, at_ns: int) -> None:
            os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=at_ns)

        return create, set_time
    return _timerfd_by_ctypes()


def _timerfd_by_ctypes() -> tuple[Callable[[], int], Callable[[int, int], None]] | None:
    libc = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(AttributeError):
        timerfd_create, timerfd_settime = libc.timerfd_create, libc.timerfd_settime
        spec = _Itimerspec()
        reference = ctypes.byref(spec)

        def create() -> int:
            fd: int = timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
            if fd < 0:
                code = ctypes.get_errno()
                raise OSError(code, f"timerfd_create: {os.strerror(code)}")
            return fd

        def set_time(fd: int, at_ns: int) -> None:
            spec.it_value.tv_sec, spec.it_value.tv_nsec = divmod(at_ns, _NS)
            if timerfd_settime(fd, _TFD_TIMER_ABSTIME, reference, None) < 0:
                code = ctypes.get_errno()
                raise OSError(code, f"timerfd_settime: {os.strerror(code)}")

        return create, set_time
    return None
