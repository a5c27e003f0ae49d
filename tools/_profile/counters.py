"""What the timing report costs a tick: its counters are on in half of them, as a coin says.

In turn would not do: a client that is still busy with one packet makes the next one slower, and
that has a rhythm.

Not the classes are changed but the objects that a playback and its clients' streams hold, which
costs the interpreter nothing of what it has learned about the code.
"""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.engine.playback import Playback
from phantomlink.engine.session import Session
from phantomlink.outputs.websocket.client import WebSocketSink
from phantomlink.scheduling.clock import SystemClock
from phantomlink.scheduling.spin import SpinGovernor
from phantomlink.scheduling.ticker import Ticker

from .events import Event, Log
from .probes import replaced

_now = time.monotonic_ns
_SEED = 20_240_305


class _Nothing:
    """Instead of TimingCounters, and of the Histogram of the send latency."""

    packets = 0

    def nothing(self, *_: object) -> None:
        pass

    anchored = released = went_wrong = depth = record = nothing


class _Switch:
    """The counters of one playback and of its clients."""

    def __init__(self, playback: Playback) -> None:
        self._playback: Any = playback
        # What a client's stream is, nobody else has to know.
        self._streams: list[Any] = [
            sink._stream for sink in playback.fanout if isinstance(sink, WebSocketSink)
        ]
        self._timing = playback.timing
        self._latencies = [stream._latency for stream in self._streams]
        self._nothing = (_Nothing(), [_Nothing() for _ in self._streams])
        self.is_on = True

    def turn(self, on: bool) -> None:
        self.is_on = on
        timing, latencies = (self._timing, self._latencies) if on else self._nothing
        self._playback.timing = timing
        for stream, latency in zip(self._streams, latencies, strict=True):
            stream._latency = latency


@contextmanager
def switched_counters(log: Log, sessions: Iterable[Session]) -> Iterator[None]:
    """Toss for the counters of these sessions at every tick, and write down what a tick takes.

    A tick is written down as whether they are on, the beginning of its release, the time in which
    it gave way to its clients, and its end: where the next one begins to spin, or where none is due
    any more. Behind that the coin is tossed for its playback's next tick.
    """
    switches = {
        playback: _Switch(playback)
        for session in sessions
        for playback in session.playbacks().values()
    }
    append = log.entries.append
    coin = random.Random(_SEED).random
    release, give_way = Playback._release, SystemClock.give_way
    serve, spun = Ticker._serve, SpinGovernor.spun
    counting, begin = int(Event.COUNTING), int(Event.RELEASE)
    giving, gave, end = int(Event.GIVE_WAY), int(Event.GAVE_WAY), int(Event.TURNED)
    ticked: list[_Switch] = []

    def probed_release(playback: Playback, *args: Any) -> None:
        switch = switches[playback]
        ticked.append(switch)
        append(counting)
        append(switch.is_on)
        append(begin)
        append(_now())
        release(playback, *args)

    def probed_give_way(clock: SystemClock, *, others_wait: bool = True) -> None:
        append(giving)
        append(_now())
        give_way(clock, others_wait=others_wait)
        ended = _now()
        append(gave)
        append(ended)

    def toss(ended_ns: int) -> None:
        append(end)
        append(ended_ns)
        while ticked:
            ticked.pop().turn(coin() < 0.5)

    def probed_spun(governor: SpinGovernor, duration_ns: int, now_ns: int) -> None:
        toss(now_ns)
        spun(governor, duration_ns, now_ns)

    def probed_serve(ticker: Ticker) -> int | None:
        wake_ns = serve(ticker)
        toss(_now())
        return wake_ns

    with (
        replaced(Playback, "_release", probed_release),
        replaced(SystemClock, "give_way", probed_give_way),
        replaced(SpinGovernor, "spun", probed_spun),
        replaced(Ticker, "_serve", probed_serve),
    ):
        try:
            yield
        finally:
            for switch in switches.values():
                switch.turn(True)


@dataclass(frozen=True, slots=True, eq=False)
class CounterSpans:
    """From the release of a packet to the end of its tick, without giving way, ns.

    Attributes:
        on: (n,) of ticks with counters.
        off: (m,) of ticks without.
    """

    on: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    off: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def counter_spans(entries: array[int]) -> CounterSpans:
    """Read what `switched_counters` wrote."""
    spans: tuple[list[float], list[float]] = ([], [])
    on = began = giving = gave_way = 0
    for i in range(0, len(entries) - 1, 2):
        kind, value = entries[i], entries[i + 1]
        if kind == Event.COUNTING:
            on, gave_way = value, 0
        elif kind == Event.RELEASE:
            began = value
        elif kind == Event.GIVE_WAY:
            giving = value
        elif kind == Event.GAVE_WAY:
            gave_way += value - giving
        elif began:
            spans[on].append(value - began - gave_way)
            began = 0
    return CounterSpans(np.array(spans[1], np.float64), np.array(spans[0], np.float64))
