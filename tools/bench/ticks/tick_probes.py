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
from phantomlink.engine.fanout import Encoders, Fanout
from phantomlink.engine.playback import Playback
from phantomlink.outputs.websocket.frame_stream import FrameStream
from phantomlink.scheduling import clock, spin
from phantomlink.scheduling.idle_collector import IdleGarbageCollector
from phantomlink.scheduling.ticker import Ticker
from phantomlink.scheduling.timerfd import timerfd

from .events import Event, Log

_now = time.monotonic_ns
_yield_cpu = clock.SystemClock.yield_cpu
_IO_IN, _IO_OUT = int(Event.IO_IN), int(Event.IO_OUT)


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

        replace(spin.WakeMargin, "observe", lambda f: _observe(log, f))
        replace(spin.SpinGovernor, "spun", lambda f: _spun(log, f))
        replace(Playback, "_release", lambda f: _around(log, f, Event.RELEASE))
        replace(Fanout, "offer", lambda f: _offer(log, f))
        replace(FrameStream, "offer_nowait", lambda f: _around(log, f, Event.SEND))
        replace(clock.SystemClock, "yield_cpu", lambda f: _around(log, f, Event.YIELD_CPU))
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
    append, begin, end = log.entries.append, int(kind), int(kind) + 1

    def probed(*args: Any, **options: Any) -> Any:
        append(begin)
        append(_now())
        result = original(*args, **options)
        ended = _now()
        append(end)
        append(ended)
        return result

    async def probed_async(*args: Any) -> Any:
        append(begin)
        append(_now())
        result = await original(*args)
        ended = _now()
        append(end)
        append(ended)
        return result

    return probed_async if iscoroutinefunction(original) else probed


def _offer(log: Log, original: Callable[..., Any]) -> Callable[..., Any]:
    append = log.entries.append
    begin, end, deadline = int(Event.OFFER), int(Event.OFFERED), int(Event.DEADLINE_NS)

    def probed(fanout: Fanout, release: Any, yield_cpu: Any) -> Any:
        # Between two clients it is part of handing over, and has no probe.
        between = None if yield_cpu is None else partial(_yield_cpu, yield_cpu.__self__)
        append(begin)
        append(_now())
        result = original(fanout, release, between)
        ended = _now()
        append(end)
        append(ended)
        append(deadline)
        append(release.deadline_ns)
        return result

    return probed


def _observe(log: Log, original: Callable[..., Any]) -> Callable[..., Any]:
    append, woke, late = log.entries.append, int(Event.WOKE), int(Event.WAKE_LATE_NS)

    def probed(margin: spin.WakeMargin, lateness_ns: int, used: float) -> None:
        append(woke)
        append(_now())
        append(late)
        append(lateness_ns)
        original(margin, lateness_ns, used)

    return probed


def _spun(log: Log, original: Callable[..., Any]) -> Callable[..., Any]:
    append, spin_from, duration = log.entries.append, int(Event.SPIN), int(Event.SPIN_NS)

    def probed(governor: spin.SpinGovernor, duration_ns: int, now_ns: int) -> None:
        append(spin_from)
        append(now_ns)
        append(duration)
        append(duration_ns)
        original(governor, duration_ns, now_ns)

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
        self._append = log.entries.append

    def before_io_wait(self, timeout: float) -> None:
        self._append(_IO_IN)
        self._append(_now())

    def after_io_wait(self, timeout: float) -> None:
        woke = _now()
        self._append(_IO_OUT)
        self._append(woke)


def can_profile() -> str | None:
    """Why a tick cannot be taken apart on this system; None when it can."""
    if timerfd() is None:
        return (
            "ticks are called by a timerfd, which is Linux's: there is nothing to take apart here"
        )
    return None
