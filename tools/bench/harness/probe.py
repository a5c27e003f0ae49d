"""Process: notes when this CPU was taken away or slowed, by being the first that would get it.

Bound to one CPU with a real-time priority it sleeps for 2 ms at a time; nothing else in this
machine may run before it when its time has come. What it still waits for is the host (or the
kernel with interrupts off). Then it does the same small piece of work each time: a host that gives
a CPU only in part makes it take several times as long, and counts that as the machine's own time
(seen: a fifth of the usual speed for 0.1 s in every 2). What its wake-ups cost, they cost all that
is measured alike.

Talk: hears a config, tells `{"ready": True}` or why it may not; then hears `{}` and tells the
stalls since the last time, [due, woken] in CLOCK_MONOTONIC ns.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor, wait

from .children import Message, fail, hear, tell

_PRIORITY = 80
_NS = 1_000_000_000
_WORK_STEPS = 1000
_FIRST_WORKS = 100
# What the server leaves in the CPU's caches makes it take up to 1.6 times as long.
_SLOW_TIMES = 2.5
# Of what is usual, at each work: a slow time of 0.1 s moves it by a twentieth.
_STEP = 0.001


class UsualTime:
    """What a piece of work usually takes: the median, followed.

    Args:
        first_ns: what it took so far, any number of times.
    """

    def __init__(self, first_ns: list[int]) -> None:
        self._usual_ns = statistics.median(first_ns)

    def is_exceeded(self, took_ns: int) -> bool:
        """Whether this was far longer."""
        self._usual_ns *= 1 + _STEP if took_ns > self._usual_ns else 1 - _STEP
        return took_ns > _SLOW_TIMES * self._usual_ns


def probe(cpu: int, period_ns: int, threshold_ns: int, stalls: list[tuple[int, int]]) -> None:
    """Run forever; appends to `stalls`.

    Raises:
        OSError: real-time priority or the CPU are not permitted.
    """
    # In a thread these set the thread alone; the one that talks stays ordinary.
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    sleep, now = time.sleep, time.monotonic_ns
    period = period_ns / _NS

    def work() -> int:
        began_ns = now()
        for _ in range(_WORK_STEPS):
            pass
        return now() - began_ns

    first_ns = []
    for _ in range(_FIRST_WORKS):
        sleep(period)
        first_ns.append(work())
    usual, ended_ns = UsualTime(first_ns), 0
    while True:
        due_ns = now() + period_ns
        sleep(period)
        woken_ns = now()
        if usual.is_exceeded(work()):
            # Since when is not known, but since the last time at most.
            began_ns, ended_ns = max(due_ns - period_ns, ended_ns), now()
            stalls.append((began_ns, ended_ns))
        elif woken_ns - due_ns > threshold_ns:
            stalls.append((due_ns, woken_ns))


def run(config: Message) -> None:
    """Probe in a thread, and talk."""
    stalls: list[tuple[int, int]] = []
    gc.disable()
    with ThreadPoolExecutor(1) as pool:
        probing = pool.submit(probe, stalls=stalls, **config)
        # Not permitted shows at once; what is permitted never returns.
        wait([probing], 0.2)
        if probing.done():
            fail(f"SCHED_FIFO on CPU {config['cpu']}: {probing.exception()}")
        tell({"ready": True})
        while True:
            hear()
            n_seen = len(stalls)  # the probe goes on appending
            tell({"stalls": stalls[:n_seen]})
            del stalls[:n_seen]
