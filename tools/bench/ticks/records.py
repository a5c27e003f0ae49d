"""From events to ticks, and to the building of packets. Pure.

Theory of operation. Between two waits the ticker is not interrupted, so what begins within one of
its turns are ticks, one after the other, each from its spin to the next one's or to the end of
the turn. What came before the first, the wake-up, is put together from the loop's latest look at
the kernel and from what the ticker said when it ran again. A turn behind one that had taken too
long has no wake-up, nor has one for which the timer had to be set anew while the ticker slept, or
whose ticks were called before another task of the loop went on: all that they waited for was the
loop. Nor has the next one, if the timer was set for a tick that had so been called already.

Packets are built by the playbacks' own tasks, between the ticker's turns.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np

from .events import Event

# Within the stages of a tick or of building.
PARTS = ("send", "assemble", "encode")
_WHOLE = frozenset({Event.RELEASE, Event.OFFER, Event.DEADLINE})


@dataclass(slots=True, eq=False)
class Tick:
    """One tick, monotonic ns.

    Attributes:
        asked: when its turn was to begin; None when no timer woke the ticker.
        io: begin and end of the loop's last look, before the turn, at what the kernel has ready;
            None of a tick before the first look.
        turn_from: when the first tick of the turn began to spin.
        spin_from, spin_ns: how long it spun, from when.
        end: where the next one begins, or the turn ends.
        at: begin and end of what else was written down, by kind.
        sends: begin and end of each write.
        is_last: of its turn.
        arm_ns: how long it took to set the timer behind it; None where that was not done.
    """

    asked: int | None
    io: tuple[int, int] | None
    turn_from: int
    spin_from: int
    spin_ns: int
    end: int
    at: dict[int, tuple[int, int]] = field(default_factory=dict)
    sends: list[tuple[int, int]] = field(default_factory=list)
    is_last: bool = True
    arm_ns: int | None = None

    @property
    def is_first(self) -> bool:
        """Of its turn."""
        return self.spin_from == self.turn_from

    @property
    def is_whole(self) -> bool:
        """Whether a packet left in it: after a stall there may be none."""
        return self.io is not None and self.at.keys() >= _WHOLE

    @property
    def yielded_ns(self) -> int:
        """For how long; not every tick does."""
        begin, end = self.at.get(Event.YIELD, (0, 0))
        return end - begin


@dataclass(slots=True, eq=False)
class Fill:
    """The packets that a playback built in one go, ns.

    Attributes:
        ns: how long that took.
        packets, encodings: how many.
        assembled_ns, encoded_ns: how long the parts took, all together.
        collect_ns: the garbage collector's turn behind it.
        has_waited: for the recording.
    """

    ns: int
    packets: int = 0
    encodings: int = 0
    assembled_ns: int = 0
    encoded_ns: int = 0
    collect_ns: int = 0
    has_waited: bool = False


@dataclass(slots=True, eq=False)
class Found:
    """What the events tell.

    Attributes:
        ticks: the whole ones, in order.
        fills: those that did not have to wait for the recording.
        wake_ups: after which the ticker slept again.
        idle: of these, without a whole tick.
    """

    ticks: list[Tick] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    wake_ups: int = 0
    idle: int = 0


def read(entries: array[int]) -> Found:
    """Put the events together."""
    found = Found()
    ticks: list[Tick] = []
    fills: list[Fill] = []
    turn: list[Tick] = []  # the latest one's ticks
    awake: list[Tick] | None = None  # ticks since the timer was set; None: no turn since then
    asked: int | None = None
    io: tuple[int, int] | None = None
    turn_end = fill_end = 0
    for kind, begin, end in _in_order(entries):
        if kind == Event.IO:
            io = (begin, end)
            if begin < fill_end:
                fills[-1].has_waited = True
        elif kind == Event.WAKE:
            # What it was to wake for may have been called already, before another task.
            asked = None if awake else begin - end
        elif kind == Event.TURN:
            turn, turn_end, woken_for, asked = [], end, asked, None
            awake = awake or []
        elif kind == Event.SPIN and begin < turn_end and awake is not None:
            if turn:
                turn[-1].end, turn[-1].is_last = begin, False
            turn_from = turn[0].spin_from if turn else begin
            turn.append(Tick(woken_for, io, turn_from, begin, end, turn_end))
            ticks.append(turn[-1])
            awake.append(turn[-1])
        elif begin < turn_end and turn:
            if kind == Event.SEND:
                turn[-1].sends.append((begin, end))
            else:
                turn[-1].at[kind] = (begin, end)
        elif kind == Event.ARM and awake is not None:
            # The timer is set by playbacks too, while the ticker sleeps.
            if turn:
                turn[-1].arm_ns = end - begin
            found.wake_ups += 1
            found.idle += not any(tick.is_whole for tick in awake)
            awake = None
        elif kind == Event.FILL:
            fills.append(Fill(end - begin))
            fill_end = end
        elif begin < fill_end and kind == Event.ASSEMBLE:
            fills[-1].packets += 1
            fills[-1].assembled_ns += end - begin
        elif begin < fill_end and kind == Event.ENCODE:
            fills[-1].encodings += 1
            fills[-1].encoded_ns += end - begin
        elif kind == Event.COLLECT and fills and not fills[-1].collect_ns:
            fills[-1].collect_ns = end - begin
    found.ticks = [tick for tick in ticks if tick.is_whole]
    found.fills = [fill for fill in fills if fill.packets and not fill.has_waited]
    return found


def _in_order(entries: array[int]) -> list[list[int]]:
    """The events in the order of their beginnings, what holds others before them."""
    events = np.array(entries).reshape(-1, 3)
    ordered: list[list[int]] = events[np.lexsort((events[:, 0], events[:, 1]))].tolist()
    return ordered
