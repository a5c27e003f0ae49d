"""A timer of the kernel that is a descriptor: trio waits for it as for any other.

On CLOCK_MONOTONIC, with absolute times. `os.timerfd_create` is there from Python 3.13 on; below
that it is the C library's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Timerfd:
    """What can be done with such a timer.

    Attributes:
        create: makes one, not armed; answers its descriptor, which does not block.
        arm: lets it become readable at a time, monotonic ns; 0: never. Either way it is not
            readable until then.
    """

    create: Callable[[], int]
    arm: Callable[[int, int], None]


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


_TFD_TIMER_ABSTIME = 1


def timerfd() -> Timerfd | None:
    """This system's; None where there is none."""
    if sys.platform != "linux":
        return None
    if sys.version_info >= (3, 13):
        flags = os.TFD_NONBLOCK | os.TFD_CLOEXEC

        def create() -> int:
            return os.timerfd_create(time.CLOCK_MONOTONIC, flags=flags)

        def arm(fd: int, at_ns: int) -> None:
            os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=at_ns)

        return Timerfd(create, arm)
    return _timerfd_by_ctypes()


def _timerfd_by_ctypes() -> Timerfd | None:
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

        def arm(fd: int, at_ns: int) -> None:
            spec.it_value.tv_sec, spec.it_value.tv_nsec = divmod(at_ns, _NS)
            if timerfd_settime(fd, _TFD_TIMER_ABSTIME, reference, None) < 0:
                code = ctypes.get_errno()
                raise OSError(code, f"timerfd_settime: {os.strerror(code)}")

        return Timerfd(create, arm)
    return None
