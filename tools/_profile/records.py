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
_SUMS = {Event.SENT: "send", Event.ASSEMBLED: "assemble", Event.ENCODED: "encode"}
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
        is_first: of its turn.
        spin_from, spin_ns: how long it spun, from when.
        at: when what was written down, by kind.
        send_ns: in all its writes.
        sends: how many there were.
        last_sent: the end of the last; 0 without any.
        end: where the next one begins, or the turn ends.
        is_last: of its turn.
        arm_ns: how long it took to set the timer behind it; None where that was not done.
    """

    wake_up: WakeUp
    turn_from: int
    is_first: bool
    spin_from: int
    spin_ns: int = 0
    at: dict[int, int] = field(default_factory=dict)
    send_ns: int = 0
    sends: int = 0
    last_sent: int = 0
    end: int = 0
    is_last: bool = False
    arm_ns: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether a packet left in it: after a stall there may be none."""
        return self.at.keys() >= _WHOLE


@dataclass(slots=True, eq=False)
class Fill:
    """The packets that a playback built in one go, monotonic ns.

    Attributes:
        began, ended: when.
        sums: of parts of it.
        packets: how many.
        encoded: frames that were encoded.
        collect_ns: the garbage collector's turn behind it.
    """

    began: int
    ended: int = 0
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    packets: int = 0
    encoded: int = 0
    collect_ns: int = 0


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
    return _Reading().read(entries)


def pairs(entries: array[int]) -> Iterator[tuple[int, int]]:
    """The events, one by one."""
    for i in range(0, len(entries) - 1, 2):
        yield entries[i], entries[i + 1]


class _Reading:
    def __init__(self) -> None:
        self._found = Found()
        self._io_in = self._io_out = 0
        self._woke: int | None = None
        self._asked: int | None = None
        self._wake_up: WakeUp | None = None
        self._turn: list[Tick] = []
        self._n_ticks = 0
        self._is_turned = False
        self._fill: Fill | None = None
        self._filled: Fill | None = None
        self._began = 0

    def read(self, entries: array[int]) -> Found:
        for kind, value in pairs(entries):
            if kind in (Event.IO_IN, Event.IO_OUT):
                self._loop_edge(kind, value)
            elif kind in (Event.WOKE, Event.WAKE_LATE_NS):
                self._wakes(kind, value)
            elif kind in (Event.TURN, Event.TURNED, Event.ARM, Event.ARMED):
                self._turns(kind, value)
            elif self._wake_up is not None:
                self._ticks(kind, value)
            else:
                self._builds(kind, value)
        return self._found

    def _loop_edge(self, kind: int, value: int) -> None:
        # Whatever is going on, it has waited.
        self._fill = None
        if kind == Event.IO_IN:
            self._io_in = value
        else:
            self._io_out = value

    def _wakes(self, kind: int, value: int) -> None:
        if kind == Event.WOKE:
            self._woke = value
        elif self._woke is not None:
            self._asked = self._woke - value

    def _turns(self, kind: int, value: int) -> None:
        found = self._found
        if kind == Event.TURN:
            self._wake_up = WakeUp(self._asked, self._io_in, self._io_out)
            self._woke = self._asked = self._fill = None
        elif kind == Event.TURNED and self._wake_up is not None:
            if self._turn:
                self._turn[-1].end = value
                self._turn[-1].is_last = True
            # What began before the first look of the loop is not whole. A wake-up counts for the
            # ticks that count: else there would be fewer of them than of their wake-ups.
            if self._wake_up.io_in:
                whole = [tick for tick in self._turn if tick.is_whole]
                found.ticks += whole
                self._n_ticks += len(whole)
            self._wake_up, self._is_turned = None, True
        elif kind == Event.ARM:
            self._began = value
        elif kind == Event.ARMED and self._is_turned:
            # The timer is set by playbacks too, while the ticker sleeps.
            if self._turn:
                self._turn[-1].arm_ns = value - self._began
            found.wake_ups += 1
            found.idle += not self._n_ticks
            self._n_ticks, self._is_turned = 0, False
        if kind in (Event.TURN, Event.ARMED):
            self._turn = []

    def _ticks(self, kind: int, value: int) -> None:
        assert self._wake_up is not None
        turn = self._turn
        if kind == Event.SPIN:
            if turn:
                turn[-1].end = value
            first = turn[0].spin_from if turn else value
            turn.append(Tick(self._wake_up, first, not turn, value))
            return
        if not turn:
            return
        tick = turn[-1]
        if kind == Event.SPIN_NS:
            tick.spin_ns = value
        elif kind == Event.SEND:
            self._began = value
        elif kind == Event.SENT:
            tick.send_ns += value - self._began
            tick.sends += 1
            tick.last_sent = value
        else:
            tick.at[kind] = value

    def _builds(self, kind: int, value: int) -> None:
        fill = self._fill
        if kind == Event.FILL:
            self._fill = Fill(value)
        elif kind in (Event.ASSEMBLE, Event.ENCODE, Event.COLLECT):
            self._began = value
        elif kind == Event.COLLECTED and self._filled is not None:
            self._filled.collect_ns = value - self._began
            self._filled = None
        elif fill is None:
            return
        elif kind in _SUMS:
            fill.sums[_SUMS[Event(kind)]] += value - self._began
            fill.packets += kind == Event.ASSEMBLED
            fill.encoded += kind == Event.ENCODED
        elif kind == Event.FILLED:
            fill.ended, self._fill = value, None
            if fill.packets:
                self._found.fills.append(fill)
                self._filled = fill
