"""Faults of transport that are played on purpose: which packets leave, in which order, and when.

Theory of operation. A packet belongs to the playhead until it has been handed over, and that is
so here too. One that is to be overtaken stays with the playhead, which does not advance, until
its successor has left; if anything comes between (a pause, a seek), it was never sent and the
playhead begins with it again. A lost one is passed over: its number is used up, so that clients
see the gap. Delays move no deadline: a packet leaves so much after its own, those behind it wait
for it, as in any queue, and then leave at once. All of that is meant, so none of it is lateness
of ours: lateness counts from when a packet was to leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one packet.

    Attributes:
        lost: nobody gets it.
        duplicated: everybody gets it twice.
        swapped: it leaves after its successor, in that one's tick.
        delay_ns: it leaves so much after its deadline, at the speed of the recording.
    """

    lost: bool = False
    duplicated: bool = False
    swapped: bool = False
    delay_ns: int = 0


NO_FAULT = Fault()


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What one tick does.

    Attributes:
        leaving: in this order.
        overtaken: how many of them leave after a later one.
        passed: bins that the playhead has done with, those that are lost included.
    """

    leaving: tuple[T, ...]
    overtaken: int
    passed: int


class Line(Generic[T]):
    """The order in which packets leave."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: T | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no packet waits for its successor."""
        return self._held is None

    def tick(self, packet: T, fault: Fault, *, is_last: bool) -> Outcome[T]:
        """It is a packet's tick.

        Args:
            packet: whose it is.
            fault: what becomes of it; a loss outweighs the others.
            is_last: no successor comes that it could be swapped with.
        """
        held, self._held = self._held, None
        waited = () if held is None else (held,)
        if fault.lost:
            return Outcome(waited, 0, len(waited) + 1)
        if fault.swapped and not is_last:
            # One that waited for this one has had its successor's tick: it goes now.
            self._held = packet
            return Outcome(waited, 0, len(waited))
        return Outcome((packet, *waited), len(waited), len(waited) + 1)


class Delays:
    """When packets leave, given that none overtakes the one before it."""

    __slots__ = ("_free_ns",)

    def __init__(self) -> None:
        self._free_ns = 0

    def due_ns(self, deadline_ns: int, fault: Fault | None, speed: float) -> int:
        """When a packet leaves: its deadline, unless it or one before it is delayed.

        A lost packet does not leave, and one that is swapped leaves with its successor. Delays
        are times of the stream: played twice as fast, they are half as long.
        """
        if fault is not None and not fault.lost and not fault.swapped:
            deadline_ns += round(fault.delay_ns / speed)
        return max(deadline_ns, self._free_ns)

    def left(self, now_ns: int) -> None:
        """A packet that was delayed has left, or never will: the next one need not wait."""
        self._free_ns = now_ns
