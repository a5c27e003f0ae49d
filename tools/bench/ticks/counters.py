"""What the timing report costs a tick: its counters are on in half of them, as a coin says.

In turn would not do: a client that is still busy with one packet makes the next one slower, and
that has a rhythm.

Not the classes are changed but the objects that a playback and its clients' streams hold, which
costs the interpreter nothing of what it has learned about the code.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.engine.departures import Departures
from phantomlink.engine.playback import Playback
from phantomlink.engine.session import Session
from phantomlink.outputs.websocket.client import WebSocketSink

from .events import Event, Log
from .records import Found
from .stages import ProbeCost, n_probes
from .tick_probes import replaced

_SEED = 20_240_305


class _Nothing:
    """Instead of TimingCounters, and of the Histogram of the send latency."""

    packets = 0

    def nothing(self, *_: object) -> None:
        pass

    anchored = released = went_wrong = depth = record = nothing


def _switch(playback: Playback) -> Callable[[bool], None]:
    """Turns the counters of a playback and of its clients on and off."""
    # What a client's stream is, nobody else has to know.
    streams: list[Any] = [
        sink._stream for sink in playback.fanout if isinstance(sink, WebSocketSink)
    ]
    timing, latencies = playback.timing, [stream._latency for stream in streams]
    nothing: Any = _Nothing()

    def turn(on: bool) -> None:
        playback.timing = timing if on else nothing
        for stream, latency in zip(streams, latencies, strict=True):
            stream._latency = latency if on else nothing

    return turn


@contextmanager
def switched_counters(log: Log, sessions: Iterable[Session]) -> Iterator[None]:
    """Toss for the counters of these sessions before each release, and write down what came.

    Within `stage_probes`, which write down the tick.
    """
    switches = {
        playback: _switch(playback)
        for session in sessions
        for playback in session.playbacks().values()
    }
    append = log.append
    coin = random.Random(_SEED).random
    release, counting, now = Departures._release, int(Event.COUNTING), time.monotonic_ns

    def tossed(playback: Playback, *args: Any) -> None:
        on = coin() < 0.5
        switches[playback](on)
        append(counting)
        append(now())
        append(on)
        release(playback, *args)

    with replaced(Departures, "_release", tossed):
        try:
            yield
        finally:
            for turn in switches.values():
                turn(True)


def counter_spans(found: Found, cost: ProbeCost) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From the release of a packet to the end of its tick, without giving way, ns.

    Returns:
        (n,) of ticks with counters, (m,) of ticks without.
    """
    spans: tuple[list[float], list[float]] = ([], [])
    for tick in found.ticks:
        lasted = tick.end - tick.at[Event.RELEASE][0] - tick.yielded_ns
        spans[tick.at[Event.COUNTING][1]].append(lasted - n_probes(tick) * cost.total)
    return np.array(spans[1], np.float64), np.array(spans[0], np.float64)
