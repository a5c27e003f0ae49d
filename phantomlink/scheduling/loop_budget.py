"""Long work on the event loop, in stretches between which a tick that is due comes first."""

from __future__ import annotations

import time

import trio

# With the last step of it, no tick waits longer than about a third of a millisecond.
LONGEST_NS = 250_000
# A turn of the loop with a tick or two takes a third of this, one with ticks that are behind twice.
_LONG_TURN_NS = 1_000_000
_MOST_TURNS = 8
_monotonic_ns = time.monotonic_ns


class LoopBudget:
    """What a task has of the event loop without a break. It begins when this is made.

    Ask `is_over` after each step of the work: the steps of a small server are done in one turn,
    and going through the loop is not paid for where nobody has waited long.
    """

    __slots__ = ("_began_ns",)

    def __init__(self) -> None:
        self._began_ns = _monotonic_ns()

    @property
    def is_over(self) -> bool:
        """Whether the others have waited long enough."""
        return _monotonic_ns() - self._began_ns >= LONGEST_NS

    async def end(self) -> None:
        """Let the others have theirs; then the next one begins. A checkpoint."""
        await trio.lowlevel.checkpoint()
        self._began_ns = _monotonic_ns()

    async def end_after_late_ticks(self) -> None:
        """As `end`, for work that can wait without harm: it waits until ticks have caught up."""
        await after_late_ticks()
        self._began_ns = _monotonic_ns()


async def after_late_ticks() -> None:
    """Wait until ticks have caught up, for work that can wait without harm. A checkpoint.

    They are behind while a turn of the loop takes long. Where all turns do, it is waited for some
    of them.
    """
    for _ in range(_MOST_TURNS):
        began_ns = _monotonic_ns()
        await trio.lowlevel.checkpoint()
        if _monotonic_ns() - began_ns < _LONG_TURN_NS:
            return
