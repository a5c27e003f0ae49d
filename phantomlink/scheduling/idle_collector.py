"""Garbage is collected between ticks, a little at a time.

Python collects when enough objects have been made, which is in the middle of whatever makes them:
here, building or sending a packet. And it looks at all that is alive: 20 to 60 ms where many
clients connect, 14 with 300 sessions, and each tick that is due meanwhile is so late.

Theory of operation. Automatic collection is kept for bursts; otherwise each playback offers the
time after its tick. A collection looks at what was made since the last ones, of which there is at
most a bounded number, so that none takes long; what is still alive after two of them is frozen and
not looked at again. Python's count does not tell that number: each older object that goes is taken
off it, so 300 sessions, which read ahead and send what they read, have 100,000 objects to look at
before it says 700. So the objects are counted at each collection, and by what an offer brings, the
next one is made so early that they are few. Freezing is safe where what is frozen does not become
garbage that only a collector finds: connections and sessions take their cycles apart when they go,
which `tests/e2e/test_garbage.py` holds. Whatever else there is goes when nothing plays: then all is
looked at once more.
"""

from __future__ import annotations

import gc
import time
from types import TracebackType
from typing import Self

from phantomlink.metrics import Histogram

YOUNG_OBJECTS = 400
"""So many more than went are worth a collection where time is offered."""
BURST_OBJECTS = 600
"""So many new ones are collected at once, also in a tick."""
MOST_OBJECTS = 1_200
"""No collection looks at many more, except when nothing plays.

With hundreds of sessions the objects have left the CPU's caches and cost some 2 us each: 5,000 of
them, which are collected in 0.4 ms where they have not, took 11 ms, 1,200 took 2.4. All collections
together take the same time.
"""
_BURSTS = MOST_OBJECTS // BURST_OBJECTS - 1
_FULL_AFTER = 10
_FIRST_OFFERS, _MOST_OFFERS = 50, 250
_NEVER = 1_000_000_000


class IdleGarbageCollector:
    """Collects when it is offered time, while entered. There is one for the process.

    Args:
        freezes: False in a process that is not ours alone: what others made of cycles has to be
            looked at again, and then a collection may look at everything.

    Attributes:
        pauses: how long each collection took, whoever asked for it.
        in_tick: collections that began between a tick's wake-up and the hand-over of its packet.
        is_tick: set by playbacks between those two moments.
    """

    def __init__(self, *, freezes: bool = True) -> None:
        self.pauses = Histogram()
        self.in_tick = 0
        self.is_tick = False
        self._freezes = freezes
        self._thresholds = gc.get_threshold()
        self._was_enabled = False
        self._started_ns = 0
        # At most so many objects have been looked at once, and not yet twice.
        self._survivors = 0
        self._has_frozen = False
        # Of an offer that is about to collect; 0 where none is.
        self._young = 0
        # Since the last collection, and how many of them may bring `BURST_OBJECTS`.
        self._offers = 0
        self._most_offers = _FIRST_OFFERS

    def __enter__(self) -> Self:
        gc.collect()
        gc.freeze()
        self._was_enabled = gc.isenabled()
        self._thresholds = gc.get_threshold()
        self._survivors = 0
        gc.set_threshold(BURST_OBJECTS, _BURSTS, _NEVER)
        gc.enable()
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
        gc.set_threshold(*self._thresholds)
        if not self._was_enabled:
            gc.disable()

    def offer(self) -> None:
        """There is time now: collect if enough has been made."""
        self._offers += 1
        counts = gc.get_count()
        if counts[0] <= YOUNG_OBJECTS and self._offers < self._most_offers:
            return
        young = self._young = len(gc.get_objects(0))
        self._most_offers = min(max(BURST_OBJECTS * self._offers // (young + 1), 1), _MOST_OFFERS)
        if self._survivors + young + BURST_OBJECTS <= MOST_OBJECTS:
            gc.collect(0)
        else:
            gc.collect(1 if self._freezes or counts[2] <= _FULL_AFTER else 2)

    def collect_all(self) -> None:
        """Look at everything, if anything has been frozen. For when nothing plays: takes 60 ms."""
        if self._has_frozen:
            gc.unfreeze()
            gc.collect()
            self._has_frozen = False

    def _notice(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            if info["generation"] == 0:
                # Counted already where it was an offer that began it.
                self._survivors += self._young or len(gc.get_objects(0))
            self._young = self._offers = 0
            self._started_ns = time.monotonic_ns()
            self.in_tick += self.is_tick
            return
        self.pauses.record(time.monotonic_ns() - self._started_ns)
        if info["generation"] == 0:
            return
        self._survivors = 0
        if self._freezes:
            # Python lets that be done here: the collection is over.
            gc.freeze()
            self._has_frozen = True
