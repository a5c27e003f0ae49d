"""A slice of the CPU of another length than others have: who wakes with the shorter one goes first.

An ordinary thread that becomes ready waits, beside programs that compute, until the one that runs
has had its slice: a millisecond at the median, four at the 99th percentile. From Linux 6.12 on a
thread may ask for a slice of its own (`sched_runtime` of sched_setattr(2)), and one that asks for a
shorter one goes first. It does not get more of the CPU for it: what it has had, it has to wait for.
A process that computes beside the server asks for a long one: it gets as much of the CPU as before,
and who wakes has not to wait until it has had it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable

from phantomlink.scheduling import libc

# struct sched_attr as it was first: size, policy, flags, nice, priority, runtime, deadline, period
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
_RUNTIME = 5
_RESET_ON_FORK = 1
# The C library has no functions for them before glibc 2.41. By machine: set, get.
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}
_SHORTEST_NS = 100_000


_LONGEST_NS = 100_000_000


def halve_time_slice() -> str:
    """Let this thread ask for half the slice it has; threads that it starts are as others.

    Returns:
        What it has now.

    Raises:
        OSError: this system has nothing of the kind.
    """
    return _ask(0, lambda slice_ns: max(slice_ns // 2, _SHORTEST_NS), _RESET_ON_FORK)


def longest_time_slice(process: int) -> str:
    """Let the main thread of a process, and what it starts, ask for the longest slice there is.

    Args:
        process: its id.

    Returns:
        What it has now.

    Raises:
        OSError: this system has nothing of the kind, or the process has gone.
    """
    return _ask(process, lambda _: _LONGEST_NS, 0)


def _ask(thread: int, wanted: Callable[[int], int], more_flags: int) -> str:
    """Ask for another slice; 0 is the calling thread."""
    numbers = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
    if numbers is None:
        raise OSError(f"not known for {sys.platform} on {platform.machine()}")
    set_number, get_number = numbers
    attributes = ctypes.create_string_buffer(_ATTRIBUTES.size)
    libc.call("syscall", get_number, thread, attributes, _ATTRIBUTES.size, 0)
    size, policy, flags, nice, priority, slice_ns, *rest = _ATTRIBUTES.unpack(attributes.raw)
    if policy != os.SCHED_OTHER or not slice_ns:
        raise OSError("a thread has no slice of its own here")
    asked = (size, policy, flags | more_flags, nice, priority, wanted(slice_ns), *rest)
    libc.call("syscall", set_number, thread, _ATTRIBUTES.pack(*asked), 0)
    libc.call("syscall", get_number, thread, attributes, _ATTRIBUTES.size, 0)
    return f"{_ATTRIBUTES.unpack(attributes.raw)[_RUNTIME] / 1e6:g} ms"
