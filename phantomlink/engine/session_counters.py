"""What one session counts, playheads and sinks that have gone included."""

from __future__ import annotations

from collections.abc import Iterator

from phantomlink.engine.counters import WEBSOCKET, Counters, DeliveryCounters
from phantomlink.engine.fanout import Sink
from phantomlink.engine.playheads import Playheads
from phantomlink.engine.status import ClientBacklog
from phantomlink.metrics import Histogram


class SessionCounters:
    """Read when asked: what playheads and sinks count costs them nothing more.

    Args:
        playheads: of the session.
    """

    def __init__(self, playheads: Playheads) -> None:
        self._playheads = playheads
        self._sinks: set[Sink] = set()
        self._gone: dict[str, DeliveryCounters] = {WEBSOCKET: DeliveryCounters()}

    @property
    def n_sinks(self) -> int:
        """Sinks that have come and not left: also those whose connections are being closed."""
        return len(self._sinks)

    def latency(self, transport: str) -> Histogram:
        """From a packet's offer until its transport took it: sinks record it here."""
        return self._of(transport).latency

    def add(self, sink: Sink) -> None:
        """A sink has come."""
        self._sinks.add(sink)

    def discard(self, sink: Sink) -> bool:
        """A sink has left: what it lost is kept. Whether it was there."""
        if sink not in self._sinks:
            return False
        self._sinks.discard(sink)
        _count(self._of(sink.transport), sink)
        return True

    def add_to(self, counters: Counters) -> None:
        """Add everything, about 30 us."""
        counters.ticks.add(self._playheads.gone)
        for playback in self._playheads:
            counters.ticks.add(playback.timing)
        for transport, delivery in self._gone.items():
            counters.delivery(transport).add(delivery)
        for sink in self._sinks:
            _count(counters.delivery(sink.transport), sink)

    @property
    def packets(self) -> int:
        """Packets that all playheads have released."""
        return self._playheads.gone.packets + sum(each.timing.packets for each in self._playheads)

    @property
    def dropped(self) -> int:
        """Packets that slow sinks lost."""
        gone = sum(each.dropped for each in self._gone.values())
        return gone + sum(sink.dropped for sink in self._sinks)

    @property
    def slow(self) -> int:
        """Sinks that lost packets or were given up."""
        gone = sum(each.slow for each in self._gone.values())
        return gone + sum(_is_slow(sink) for sink in self._sinks)

    @property
    def given_up(self) -> int:
        """Sinks that were closed because they were too slow."""
        gone = sum(each.given_up for each in self._gone.values())
        return gone + sum(sink.was_given_up for sink in self._sinks)

    def backlogs(self) -> list[ClientBacklog]:
        """What waits for each client that is behind now or has lost packets."""
        return sorted(self._slow_backlogs(), key=lambda each: each.client_id)

    def _slow_backlogs(self) -> Iterator[ClientBacklog]:
        for sink in self._sinks:
            backlog = sink.backlog
            if backlog is not None and backlog.is_worth_telling:
                yield backlog

    def _of(self, transport: str) -> DeliveryCounters:
        return self._gone.setdefault(transport, DeliveryCounters())


def _is_slow(sink: Sink) -> bool:
    return sink.dropped > 0 or sink.was_given_up


def _count(delivery: DeliveryCounters, sink: Sink) -> None:
    delivery.dropped += sink.dropped
    delivery.slow += _is_slow(sink)
    delivery.given_up += sink.was_given_up
