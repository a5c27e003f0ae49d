"""Letting clients that a write has woken have the CPU, as far as that may cost.

The kernel likes to wake a client on the CPU that wrote, where it would wait for this thread to
write to the others, build the next packet and go to sleep: that was nine tenths of the interval
error that a client on the same machine saw. So the thread yields. To whom it cannot say: on a busy
machine it is some other program, which keeps the CPU for a scheduler's slice, 3 ms or more. Behind
the last write of a tick few mind. Between two of thirty clients it is a stall: where nothing
bounded it, one session with 30 clients sent 17 packets a second instead of 40 beside four programs
that only computed. So what is given is measured, and paid for. A process of ours that computes is
such a program: it got the CPU until the next turn of the kernel's clock, 4 ms, and with 20 sessions
three deadlines pass meanwhile. So nothing is given then.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_sched_yield: Callable[[], None] = getattr(os, "sched_yield", lambda: None)
# Of a core; and how much may be given at once where nothing has been given for a while.
_SHARE = 0.15
_MOST_NS = 3_000_000
# A client reads its packet in a tenth of this. Who takes longer is none, or computes with it;
# clients who wait for their packet meanwhile have waited for nothing of theirs: it costs so many
# times as much. Behind the last write it does not: a stall of the host would stop it for too long.
_READING_NS = 1_000_000
_DEARER = 20


class YieldBudget:
    """How much of the CPU may still be given away.

    Args:
        now_ns: monotonic.
    """

    __slots__ = ("_keepers", "_left_ns", "_since_ns")

    def __init__(self, now_ns: int) -> None:
        self._left_ns: float = _MOST_NS
        self._since_ns = now_ns
        self._keepers = 0

    @contextmanager
    def none_left(self) -> Iterator[None]:
        """Nothing is given in here; then it begins anew."""
        self._keepers += 1
        self._left_ns = -math.inf
        try:
            yield
        finally:
            self._keepers -= 1
            if not self._keepers:
                self._left_ns = 0

    def may_give(self, now_ns: int) -> bool:
        """Whether there is anything left to give."""
        self._left_ns = min(self._left_ns + (now_ns - self._since_ns) * _SHARE, _MOST_NS)
        self._since_ns = now_ns
        return self._left_ns > 0

    def given(self, took_ns: int, *, others_wait: bool) -> None:
        """The CPU was away for so long.

        Args:
            took_ns: how long.
            others_wait: clients do, for what comes after it.
        """
        is_dear = others_wait and took_ns > _READING_NS
        self._left_ns -= took_ns * _DEARER if is_dear else took_ns


class CpuYielder:
    """Yields the CPU, as far as the budget allows.

    Args:
        sched_yield: does it.
        monotonic_ns: the time.

    Attributes:
        paused: a context in which nothing is yielded.
    """

    def __init__(
        self,
        sched_yield: Callable[[], None] = _sched_yield,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._yield = sched_yield
        self._now_ns = monotonic_ns
        self._budget = YieldBudget(monotonic_ns())
        self.paused = self._budget.none_left

    def __call__(self, *, others_wait: bool) -> None:
        """Let whoever waits for this CPU have it.

        Args:
            others_wait: clients do, for what this thread does next.
        """
        budget, before_ns = self._budget, self._now_ns()
        # Twice: a client that is interrupted while it reads, by a real-time thread say, is often
        # not who the kernel goes on with. Where nobody waits it takes 0.4 us.
        for _ in range(2):
            if not budget.may_give(before_ns):
                return
            self._yield()
            now_ns = self._now_ns()
            budget.given(now_ns - before_ns, others_wait=others_wait)
            before_ns = now_ns
