"""Puts probes around what a tick calls, from outside, and takes them away again.

Methods are replaced on their classes for as long as a slice of the measurement lasts, so that
slices without them run the code as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

import trio

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.builder import PacketBuilder
from phantomlink.engine.departures import Departures
from phantomlink.engine.fanout import Encoders, Fanout
from phantomlink.outputs.websocket.frame_stream import FrameStream
from phantomlink.scheduling import clock, spin
from phantomlink.scheduling.idle_collector import IdleGarbageCollector
from phantomlink.scheduling.ticker import Ticker
from phantomlink.scheduling.timerfd import timerfd

from .events import Event, Log

_now = time.monotonic_ns
_yield_cpu = clock.SystemClock.yield_cpu
_IO = int(Event.IO)


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """Let an attribute be something else for a while."""
    original = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextmanager
def stage_probes(log: Log) -> Iterator[None]:
    """Write down every stage of every tick, and the building of every packet."""
    with ExitStack() as stack:

        def replace(owner: Any, name: str, make: Callable[[Callable[..., Any]], Any]) -> None:
            stack.enter_context(replaced(owner, name, make(getattr(owner, name))))

        replace(
            spin.WakeMargin,
            "observe",
            lambda f: _noting(log, f, Event.WAKE, lambda late, _: (_now(), late)),
        )
        replace(
            spin.SpinGovernor,
            "spun",
            lambda f: _noting(log, f, Event.SPIN, lambda ns, now: (now, ns)),
        )
        replace(Departures, "_release", lambda f: _around(log, f, Event.RELEASE))
        replace(Fanout, "offer", lambda f: _offer(log, f))
        replace(FrameStream, "offer_nowait", lambda f: _around(log, f, Event.SEND))
        replace(clock.SystemClock, "yield_cpu", lambda f: _around(log, f, Event.YIELD))
        replace(PacketBuilder, "fill", lambda f: _around(log, f, Event.FILL))
        replace(PacketAssembler, "packet", lambda f: _around(log, f, Event.ASSEMBLE))
        replace(Encoders, "encode", lambda f: _around(log, f, Event.ENCODE))
        replace(IdleGarbageCollector, "offer", lambda f: _around(log, f, Event.COLLECT))
        replace(Ticker, "_serve", lambda f: _served(log, f))
        replace(Ticker, "_arm", lambda f: _around(log, f, Event.ARM))
        loop = _LoopEdges(log)
        trio.lowlevel.add_instrument(loop)
        stack.callback(trio.lowlevel.remove_instrument, loop)
        yield


def _no_op(*_: object) -> None:
    pass


def _around(log: Log, original: Callable[..., Any], kind: int) -> Callable[..., Any]:
    # The clock is read last before the call and first after it.
    append, kind = log.append, int(kind)

    def probed(*args: Any, **options: Any) -> Any:
        began = _now()
        result = original(*args, **options)
        ended = _now()
        append(kind)
        append(began)
        append(ended)
        return result

    async def probed_async(*args: Any) -> Any:
        began = _now()
        result = await original(*args)
        ended = _now()
        append(kind)
        append(began)
        append(ended)
        return result

    return probed_async if iscoroutinefunction(original) else probed


def _offer(log: Log, original: Callable[..., Any]) -> Callable[..., Any]:
    append, kind, deadline = log.append, int(Event.OFFER), int(Event.DEADLINE)

    def probed(fanout: Fanout, release: Any, yield_cpu: Any) -> Any:
        # Between two clients it is part of handing over, and has no probe.
        between = None if yield_cpu is None else partial(_yield_cpu, yield_cpu.__self__)
        began = _now()
        result = original(fanout, release, between)
        ended = _now()
        append(kind)
        append(began)
        append(ended)
        append(deadline)
        append(began)
        append(release.deadline_ns)
        return result

    return probed


def _noting(
    log: Log, original: Callable[..., Any], kind: int, note: Callable[[int, int], tuple[int, int]]
) -> Callable[..., Any]:
    append, kind = log.append, int(kind)

    def probed(noted: object, first: int, second: int) -> None:
        numbers = note(first, second)
        append(kind)
        append(numbers[0])
        append(numbers[1])
        original(noted, first, second)

    return probed


def _served(log: Log, original: Callable[..., Any]) -> Callable[..., Any]:
    turn = _around(log, original, Event.TURN)
    nothing = _around(log, _no_op, Event.NOTHING)

    def probed(ticker: Ticker) -> Any:
        wake_ns = turn(ticker)
        # Here, right behind the ticks and with their caches, and outside every stage.
        nothing()
        nothing()
        return wake_ns

    return probed


class _LoopEdges(trio.abc.Instrument):
    def __init__(self, log: Log) -> None:
        self._append = log.append
        self._began = 0

    def before_io_wait(self, timeout: float) -> None:
        self._began = _now()

    def after_io_wait(self, timeout: float) -> None:
        woke = _now()
        self._append(_IO)
        self._append(self._began)
        self._append(woke)


def can_profile() -> str | None:
    """Why a tick cannot be taken apart on this system; None when it can."""
    if timerfd() is None:
        return (
            "ticks are called by a timerfd, which is Linux's: there is nothing to take apart here"
        )
    return None
