"""Process: notes when this CPU was taken away, by being the first that would get it.

Bound to one CPU with a real-time priority it sleeps for 2 ms at a time; nothing else in this
machine may run before it when its time has come. What it still waits for is the host (or the
kernel with interrupts off). What its wake-ups cost, they cost all that is measured alike.

Talk: hears a config, tells `{"ready": True}` or why it may not; then hears `{}` and tells the
stalls since the last time, [due, woken] in CLOCK_MONOTONIC ns.
"""

from __future__ import annotations

import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor, wait

from .children import Message, fail, hear, tell

_PRIORITY = 80
_NS = 1_000_000_000


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
    while True:
        due_ns = now() + period_ns
        sleep(period)
        woken_ns = now()
        if woken_ns - due_ns > threshold_ns:
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
