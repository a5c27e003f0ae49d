"""From events to ticks, and to the building of packets. Pure.

Theory of operation. Between two waits the ticker is not interrupted, so what it writes down
between TURN and TURNED are ticks, one after the other, each from its SPIN to the next one's or to
the end of the turn. What came before the first, the wake-up, is put together from the latest
IO_IN and IO_OUT of the loop and from what the ticker said when it ran again. A turn behind one
that had taken too long has no wake-up, nor has one for which the timer had to be set anew while
the ticker slept: all that its ticks waited for was the loop.

Packets are built by the playbacks' own tasks, between the ticker's turns.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from .events import Event

# Within the stages of a tick or of building.
PARTS = ("send", "assemble", "encode")
_WHOLE = frozenset({Event.RELEASE, Event.RELEASED, Event.OFFER, Event.OFFERED, Event.DEADLINE_NS})


@dataclass(frozen=True, slots=True)
class WakeUp:
    """How a turn of the ticker began, ns.

    Attributes:
        asked: when it was to; None when no timer woke it.
        io_in, io_out: of the loop's last look at what the kernel has ready.
    """

    asked: int | None
    io_in: int
    io_out: int


@dataclass(slots=True, eq=False)
class Tick:
    """One tick, monotonic ns.

    Attributes:
        wake_up: of its turn.
        turn_from: when the first tick of the turn began to spin.
        spin_from, spin_ns: how long it spun, from when.
        at: when what was written down, by kind.
        sends: begin and end of each write.
        end: where the next one begins, or the turn ends.
        is_last: of its turn.
        arm_ns: how long it took to set the timer behind it; None where that was not done.
    """

    wake_up: WakeUp
    turn_from: int
    spin_from: int
    spin_ns: int = 0
    at: dict[int, int] = field(default_factory=dict)
    sends: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0
    is_last: bool = False
    arm_ns: int | None = None

    @property
    def is_first(self) -> bool:
        """Of its turn."""
        return self.spin_from == self.turn_from

    @property
    def is_whole(self) -> bool:
        """Whether a packet left in it: after a stall there may be none."""
        return self.at.keys() >= _WHOLE

    @property
    def yielded_ns(self) -> int:
        """For how long; not every tick does."""
        return self.at.get(Event.YIELDED_CPU, 0) - self.at.get(Event.YIELD_CPU, 0)


@dataclass(slots=True, eq=False)
class Fill:
    """The packets that a playback built in one go, ns.

    Attributes:
        ns: how long that took.
        assembled, encoded: how long the parts took, one after the other.
        collect_ns: the garbage collector's turn behind it.
    """

    ns: int
    assembled: list[int]
    encoded: list[int]
    collect_ns: int = 0

    @property
    def packets(self) -> int:
        """How many."""
        return len(self.assembled)


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


def pairs(entries: array[int]) -> Iterator[tuple[int, int]]:
    """The events, one by one."""
    for i in range(0, len(entries) - 1, 2):
        yield entries[i], entries[i + 1]


def read(entries: array[int]) -> Found:
    """Put the events together."""
    found, events = Found(), pairs(entries)
    latest: dict[int, int] = {}
    turn: list[Tick] = []
    n_ticks, has_turned = 0, False
    filled: Fill | None = None
    for kind, value in events:
        latest[kind] = value
        if kind == Event.WAKE_LATE_NS and Event.WOKE in latest:
            latest[kind] = latest.pop(Event.WOKE) - value
        elif kind == Event.TURN:
            asked = latest.pop(Event.WAKE_LATE_NS, None)
            io_in = latest.get(Event.IO_IN, 0)
            turn = _turn(events, WakeUp(asked, io_in, latest.get(Event.IO_OUT, 0)))
            has_turned = True
            # What began before the first look of the loop is not whole. A wake-up counts for the
            # ticks that count: else there would be fewer of them than of their wake-ups.
            whole = [tick for tick in turn if tick.is_whole] if io_in else []
            found.ticks += whole
            n_ticks += len(whole)
        elif kind == Event.ARMED and has_turned:
            # The timer is set by playbacks too, while the ticker sleeps.
            if turn:
                turn[-1].arm_ns = value - latest[Event.ARM]
            found.wake_ups += 1
            found.idle += not n_ticks
            n_ticks, has_turned, turn = 0, False, []
        elif kind == Event.FILL:
            filled = _fill(events, value, latest)
            found.fills += [filled] if filled else []
        elif kind == Event.COLLECTED and filled is not None:
            filled.collect_ns = value - latest[Event.COLLECT]
            filled = None
    return found


def _turn(events: Iterator[tuple[int, int]], wake_up: WakeUp) -> list[Tick]:
    """The ticks of a turn, up to its end; none when it has no end."""
    turn: list[Tick] = []
    sending = 0
    for kind, value in events:
        if kind in (Event.SPIN, Event.TURNED) and turn:
            turn[-1].end = value
        if kind == Event.TURNED:
            if turn:
                turn[-1].is_last = True
            return turn
        if kind == Event.SPIN:
            turn.append(Tick(wake_up, turn[0].spin_from if turn else value, value))
        elif not turn:
            continue
        elif kind == Event.SPIN_NS:
            turn[-1].spin_ns = value
        elif kind == Event.SEND:
            sending = value
        elif kind == Event.SENT:
            turn[-1].sends.append((sending, value))
        else:
            turn[-1].at[kind] = value
    return []


def _fill(events: Iterator[tuple[int, int]], began: int, latest: dict[int, int]) -> Fill | None:
    """What was built, unless nothing was or it had to wait."""
    parts: dict[int, list[int]] = {Event.ASSEMBLED: [], Event.ENCODED: []}
    for kind, value in events:
        if kind in parts:
            parts[kind].append(value - latest[kind - 1])
        latest[kind] = value
        if kind == Event.FILLED:
            fill = Fill(value - began, parts[Event.ASSEMBLED], parts[Event.ENCODED])
            return fill if fill.packets else None
        if kind in (Event.IO_IN, Event.IO_OUT):
            break
    return None
