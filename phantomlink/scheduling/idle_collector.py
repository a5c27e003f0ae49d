"""Garbage is collected between ticks, not in them.

Python collects when enough objects have been made, which is in the middle of whatever makes
them: here, building or sending a packet. So automatic collection is off while playing, and each
playback offers the time after its tick; the same thresholds decide. What was loaded is frozen
first: a full collection then takes 0.01 ms instead of 60. When nothing plays, a slow tick of
the registry offers the time.
"""

from __future__ import annotations

import gc
import time
from types import TracebackType
from typing import Self

from phantomlink.metrics import Histogram


class IdleGarbageCollector:
    """Collects when it is offered time, while entered. There is one for the process.

    Attributes:
        pauses: how long each collection took, whoever asked for it.
        in_tick: collections that began between a tick's wake-up and the hand-over of its packet.
        is_tick: set by playbacks between those two moments.
    """

    def __init__(self) -> None:
        self.pauses = Histogram()
        self.in_tick = 0
        self.is_tick = False
        self._thresholds = gc.get_threshold()
        self._started_ns = 0
        self._was_enabled = False

    def __enter__(self) -> Self:
        gc.collect()
        gc.freeze()
        self._was_enabled = gc.isenabled()
        self._thresholds = gc.get_threshold()
        gc.disable()
        gc.callbacks.append(self._notice)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        gc.callbacks.remove(self._notice)
        gc.unfreeze()
        if self._was_enabled:
            gc.enable()

    def offer(self) -> None:
        """There is time now: collect the oldest generation that is due, if any."""
        counts = gc.get_count()
        if counts[0] <= self._thresholds[0]:
            return
        generation = 0
        if counts[1] > self._thresholds[1]:
            generation = 2 if counts[2] > self._thresholds[2] else 1
        gc.collect(generation)

    def _notice(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started_ns = time.monotonic_ns()
            self.in_tick += self.is_tick
        else:
            self.pauses.record(time.monotonic_ns() - self._started_ns)
