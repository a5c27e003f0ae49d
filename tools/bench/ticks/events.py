"""What the probes write down in an array: a kind and two numbers, when a probed call has ended."""

from __future__ import annotations

from array import array
from enum import IntEnum
from typing import TypeAlias

Log: TypeAlias = "array[int]"


class Event(IntEnum):
    """Kinds, in the order in which those that begin at the same time count.

    Their numbers are the begin and the end of a call, CLOCK_MONOTONIC ns, where nothing else is
    said.
    """

    IO = 0  # the loop asks the kernel what is ready, and sleeps if nothing is
    WAKE = 1  # when the ticker ran again, and by how much later than it had asked for, ns
    TURN = 2  # the ticker calls the ticks that are due, if any
    SPIN = 3  # a tick: from when the ticker spun to its deadline, and for how long, ns
    COUNTING = 4  # when, and whether the counters of the timing report are on in this tick
    RELEASE = 5
    OFFER = 6
    DEADLINE = 7  # when a packet was offered, and when it was due
    SEND = 8
    YIELD = 9  # to whom the write has woken
    FILL = 10  # a playback builds packets
    ASSEMBLE = 11
    ENCODE = 12
    COLLECT = 13
    ARM = 14  # the timer is set
    NOTHING = 15  # a probe around nothing: what a probe costs
