"""What the probes write down: pairs of a kind and a number, as they come."""

from __future__ import annotations

from array import array
from enum import IntEnum


class Event(IntEnum):
    """Kinds. The number behind one is a time, CLOCK_MONOTONIC ns, where nothing else is said.

    The end of a probed call is the kind of its beginning and 1.
    """

    IO_IN = 0  # the loop asks the kernel what is ready, and sleeps if nothing is
    IO_OUT = 1
    WOKE = 2  # the ticker runs again after its wait
    WAKE_LATE_NS = 3  # by how much that was after the wake-up it had asked for, ns
    SPIN = 4  # a tick begins: the ticker spins to its deadline
    SPIN_NS = 5  # for so long, ns
    RELEASE = 6
    RELEASED = 7
    OFFER = 8
    OFFERED = 9
    DEADLINE_NS = 10  # when that packet was due
    SEND = 12
    SENT = 13
    FILL = 14  # a playback builds packets
    FILLED = 15
    ASSEMBLE = 16
    ASSEMBLED = 17
    ENCODE = 18
    ENCODED = 19
    COLLECT = 20
    COLLECTED = 21
    ARM = 22  # the timer is set
    ARMED = 23
    NOTHING = 24  # a probe around nothing: what a probe costs
    NOTHING_DONE = 25
    YIELD_CPU = 26  # to whom the write has woken
    YIELDED_CPU = 27
    COUNTING = 28  # whether the counters of the timing report are on in this tick, 0 or 1
    TURN = 30  # the ticker calls the ticks that are due, if any
    TURNED = 31


class Log:
    """Events in memory, in order."""

    def __init__(self) -> None:
        self.entries = array("q")
