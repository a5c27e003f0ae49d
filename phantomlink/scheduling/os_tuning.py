"""What is asked of the system for better timing and even memory, and what it has allowed.

Everything here is for the process, or for the thread of the event loop, and is done once at the
start. What is not permitted is reported and does without: PhantomLink runs as any user.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from phantomlink.scheduling import libc
from phantomlink.scheduling.time_slice import halve_time_slice

_SWITCH_INTERVAL_SECONDS = 5e-4
_TIMER_SLACK_NS = 1
# Above ordinary threads, below what the kernel itself runs at.
_FIFO_PRIORITY = 10
_PR_SET_TIMERSLACK = 29
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_M_ARENA_MAX = -8
_ARENAS = 1
_M_MMAP_THRESHOLD = -3
# The C library's own, at which it begins.
_MMAP_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Tuning:
    """One thing that was asked of the system.

    Attributes:
        name: what.
        state: "done", "off", "not permitted" or "not available".
        detail: the value, or the system's own words.
    """

    name: str
    state: str
    detail: str = ""


def tune_memory() -> tuple[Tuning, ...]:
    """Ask for memory that stays as it is; to be called before threads have been given any."""
    return (
        _try("malloc arenas", _malloc_arenas),
        _try("mmap threshold", _mmap_threshold),
    )


def tune_system(*, realtime: bool, cpus: frozenset[int] | None) -> tuple[Tuning, ...]:
    """Ask for what the settings say; to be called in the thread of the event loop.

    Args:
        realtime: whether to ask for SCHED_FIFO, for a shorter slice of the CPU where that is not
            permitted, and for memory that is never paged out.
        cpus: the CPUs to stay on; None for all.
    """
    return (
        _try("switch interval", _switch_interval),
        _try("timer slack", _timer_slack),
        # Of an ordinary thread, so before the next one: for where that is not permitted.
        _try("time slice", halve_time_slice) if realtime else Tuning("time slice", "off"),
        _try("SCHED_FIFO", _fifo) if realtime else Tuning("SCHED_FIFO", "off"),
        _try("mlockall", _lock_memory) if realtime else Tuning("mlockall", "off"),
        _try("CPU affinity", lambda: _stay_on(cpus)) if cpus else Tuning("CPU affinity", "off"),
    )


def _try(name: str, ask: Callable[[], str]) -> Tuning:
    try:
        return Tuning(name, "done", ask())
    except PermissionError as error:
        return Tuning(name, "not permitted", error.strerror or str(error))
    except (OSError, AttributeError) as error:
        return Tuning(name, "not available", str(error))


def _switch_interval() -> str:
    # With the default of 5 ms a worker thread can hold the interpreter for a fifth of a tick.
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    return f"{_SWITCH_INTERVAL_SECONDS * 1e3:g} ms"


def _timer_slack() -> str:
    """Let sleeps of this thread end when they should: the default lets them be 50 us late."""
    libc.call("prctl", _PR_SET_TIMERSLACK, _TIMER_SLACK_NS, 0, 0, 0)
    return f"{_TIMER_SLACK_NS} ns"


def _malloc_arenas() -> str:
    """Let all threads share the C library's memory: with an arena for each, what one gave back
    was kept for it, and the process of a server that is used for hours grew by a few megabytes.
    They take turns in the interpreter anyway.
    """
    _set_malloc(_M_ARENA_MAX, _ARENAS)
    return f"{_ARENAS} for all threads"


def _mmap_threshold() -> str:
    """Give large arrays that are let go back to the system: of itself the C library keeps what is
    as large as any that went before, and 40 recordings that took turns in 512 MB took 970.
    """
    _set_malloc(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    return f"{_MMAP_BYTES // 1024} KiB"


def _set_malloc(parameter: int, value: int) -> None:
    if not libc.c_library().mallopt(parameter, value):
        raise OSError("the C library did not take it")


def _fifo() -> str:
    # Reset on fork: threads and processes that this one starts are ordinary ones.
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(0, policy, os.sched_param(_FIFO_PRIORITY))
    return f"priority {_FIFO_PRIORITY}"


def _lock_memory() -> str:
    libc.call("mlockall", _MCL_CURRENT | _MCL_FUTURE)
    return "all memory"


def _stay_on(cpus: frozenset[int] | None) -> str:
    os.sched_setaffinity(0, cpus or ())
    return ", ".join(map(str, sorted(os.sched_getaffinity(0))))
