"""What a playback measures of itself: fixed in size, cheap enough to be always on."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from phantomlink.engine.counters import TickCounters
from phantomlink.metrics import Histogram

_EVENTS_KEPT = 64
# Long enough that the least late of its ticks was not late by accident.
_WINDOW_TICKS = 400


class EventKind(Enum):
    """What can go wrong with a tick."""

    STALL = "stall"
    OVERRUN = "overrun"


@dataclass(frozen=True, slots=True)
class TimingEvent:
    """One tick that went wrong.

    Attributes:
        kind: a stall moved the anchor; an overrun was caught up.
        at_seconds: when, Unix time.
        late_ns: by how much the tick was late when that was noticed.
        sequence_number: of the packet.
    """

    kind: EventKind
    at_seconds: float
    late_ns: int
    sequence_number: int


class EventLog:
    """The latest ticks that went wrong, oldest first. Takes its memory at once."""

    # Not a deque of events: the objects of 64 of them are 10 KB, which a session of hours would
    # come to in its own time.
    __slots__ = ("_at_seconds", "_is_stall", "_late_ns", "_n", "_sequence_numbers")

    def __init__(self) -> None:
        self._n = 0
        self._is_stall = bytearray(_EVENTS_KEPT)
        self._at_seconds = array("d", bytes(8 * _EVENTS_KEPT))
        self._late_ns = array("q", bytes(8 * _EVENTS_KEPT))
        self._sequence_numbers = array("q", bytes(8 * _EVENTS_KEPT))

    def append(self, event: TimingEvent) -> None:
        """One more; the oldest goes when there is no room."""
        at = self._n % _EVENTS_KEPT
        self._is_stall[at] = event.kind is EventKind.STALL
        self._at_seconds[at] = event.at_seconds
        self._late_ns[at] = event.late_ns
        self._sequence_numbers[at] = event.sequence_number
        self._n += 1

    def __len__(self) -> int:
        return min(self._n, _EVENTS_KEPT)

    def __iter__(self) -> Iterator[TimingEvent]:
        for n in range(self._n - len(self), self._n):
            at = n % _EVENTS_KEPT
            yield TimingEvent(
                EventKind.STALL if self._is_stall[at] else EventKind.OVERRUN,
                self._at_seconds[at],
                self._late_ns[at],
                self._sequence_numbers[at],
            )


class DriftGauge:
    """How far ticks move away from their ideal grid over time: the slope of the lower envelope.

    A tick is late by chance, never early, so the least late of many ticks shows where the grid
    is. Compared are the first window of ticks after an anchor and the latest whole one.
    """

    __slots__ = ("_first", "_latest", "_n", "_window")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """The anchor has moved: a new grid begins."""
        self._n = 0
        self._first: tuple[int, int] | None = None
        self._latest: tuple[int, int] | None = None
        self._window: tuple[int, int] | None = None

    def record(self, deadline_ns: int, lateness_ns: int) -> None:
        """A tick was released."""
        if self._window is None or lateness_ns < self._window[1]:
            self._window = (deadline_ns, lateness_ns)
        self._n += 1
        if self._n % _WINDOW_TICKS == 0:
            if self._first is None:
                self._first = self._window
            else:
                self._latest = self._window
            self._window = None

    @property
    def ppm(self) -> float | None:
        """Drift in millionths; None until two windows have been seen."""
        if self._first is None or self._latest is None:
            return None
        elapsed_ns = self._latest[0] - self._first[0]
        return (self._latest[1] - self._first[1]) / elapsed_ns * 1e6


class TimingCounters(TickCounters):
    """The figures of one playback since it was made.

    Attributes:
        handover: from a packet's release to its having been offered to the last listener, which
            is the last write that a socket took at once.
        drift: of the releases against CLOCK_MONOTONIC, since the last anchor.
        anchors: times the grid of deadlines began: at the start, after each hold, each stall.
        events: the latest stalls and overruns, oldest first.
        lowest_depth: fewest bins that were read ahead when a tick was due; None before the first.
        latest_depth: how many there were when a block had last been used up; None before.
    """

    __slots__ = ("anchors", "drift", "events", "handover", "latest_depth", "lowest_depth")

    def __init__(self) -> None:
        super().__init__()
        self.handover = Histogram()
        self.drift = DriftGauge()
        self.anchors = 0
        self.events = EventLog()
        self.lowest_depth: int | None = None
        self.latest_depth: int | None = None

    def anchored(self) -> None:
        """A new grid of deadlines begins."""
        self.anchors += 1
        self.drift.restart()

    def released(self, due_ns: int, released_ns: int, offered_ns: int) -> None:
        """A packet that was due has left, and has been offered to everybody."""
        lateness_ns = released_ns - due_ns
        self.lateness.record(lateness_ns)
        self.handover.record(offered_ns - released_ns)
        self.drift.record(due_ns, lateness_ns)
        self.packets += 1

    def went_wrong(self, event: TimingEvent) -> None:
        """A tick stalled or overran."""
        if event.kind is EventKind.STALL:
            self.stalls += 1
        else:
            self.overruns += 1
        self.events.append(event)

    def depth(self, bins_ahead: int) -> None:
        """So many bins are ready beyond the next packet."""
        self.latest_depth = bins_ahead
        if self.lowest_depth is None or bins_ahead < self.lowest_depth:
            self.lowest_depth = bins_ahead
