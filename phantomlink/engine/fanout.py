"""Hands each packet to everything that listens, without waiting for any of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct, field

from phantomlink.close_codes import CLOSE_INTERNAL_ERROR
from phantomlink.engine.faults import Fault
from phantomlink.engine.status import ClientBacklog
from phantomlink.wire.encoder import Frame, PacketEncoder, PacketForm, packet_encoder
from phantomlink.wire.packet import Packet, StreamHeader

logger = logging.getLogger(__name__)

# The CPU is yielded after each of their writes. With many the last ones would wait for it: with
# 200 clients the last write came 7 ms after the tick, and 3 without.
_FEW = 32


class Encoders:
    """The encoders of one stream, made when first needed."""

    def __init__(self, header: StreamHeader) -> None:
        self.header = header
        self._encoders: dict[PacketForm, PacketEncoder] = {}

    def encode(self, packet: Packet, wire_format: PacketForm) -> Frame:
        """The packet's frame, not stamped yet."""
        encoder = self._encoders.get(wire_format)
        if encoder is None:
            encoder = self._encoders[wire_format] = packet_encoder(wire_format, self.header)
        return encoder.encode(packet)


class Release(Struct, eq=False, gc=False):
    """A packet with its frames: built before the tick, stamped in it, the same for every sink.

    As packets are, it is made in a fraction of a class's time, and the garbage collector need not
    look at it: what it holds does not know it.

    Attributes:
        packet: what it says.
        deadline_ns: when it was due, monotonic ns; set at the tick.
        timestamp: when it left the scheduler, Unix s; set at the tick.
        fault: what is done to it on its way on purpose; None for nothing.
    """

    packet: Packet
    _encoders: Encoders
    fault: Fault | None = None
    deadline_ns: int = 0
    timestamp: float | None = None
    _frames: dict[PacketForm, Frame] = field(default_factory=dict)

    def prepare(self, wire_format: PacketForm) -> None:
        """Encode ahead of the tick."""
        if wire_format not in self._frames:
            self._frames[wire_format] = self._encoders.encode(self.packet, wire_format)

    def stamp(self, deadline_ns: int, timestamp: float) -> None:
        """It leaves the scheduler now."""
        self.deadline_ns = deadline_ns
        self.timestamp = timestamp
        for frame in self._frames.values():
            frame.stamp(timestamp)

    def with_packet(self, packet: Packet) -> Release:
        """The same tick with another packet in its place, whose frames are made when wanted."""
        other = Release(packet, self._encoders, self.fault)
        other.deadline_ns, other.timestamp = self.deadline_ns, self.timestamp
        return other

    def frame(self, wire_format: PacketForm) -> Frame:
        """Its stamped frame; made here for a form that nobody wanted when it was built."""
        frame = self._frames.get(wire_format)
        if frame is None:
            if self.timestamp is None:
                raise RuntimeError("a packet has no frame to send before its tick")
            frame = self._frames[wire_format] = self._encoders.encode(self.packet, wire_format)
            frame.stamp(self.timestamp)
        return frame


class Sink(Protocol):
    """Somewhere packets go. None of its methods waits."""

    @property
    def wire_format(self) -> PacketForm | None:
        """The form it takes; None when it takes the packet itself."""
        ...

    @property
    def is_listening(self) -> bool:
        """Whether it keeps the playhead going."""
        ...

    @property
    def is_deferred(self) -> bool:
        """Whether it has the next packet after the others, who should not wait for what it costs.

        The same throughout a tick.
        """
        ...

    @property
    def transport(self) -> str:
        """Under which name its packets are counted: one of a handful."""
        ...

    @property
    def dropped(self) -> int:
        """Packets that it lost because it was too slow."""
        ...

    @property
    def was_given_up(self) -> bool:
        """Whether it is closed because it was too slow."""
        ...

    @property
    def backlog(self) -> ClientBacklog | None:
        """What waits for it; None where nothing ever does."""
        ...

    def offer_nowait(self, release: Release) -> None:
        """Take the packet, or drop it (or an older one) and count that."""
        ...

    def stream_changed(self) -> None:
        """What describes the stream is no longer true: tell the listener, before the next packet.

        How the stream is at this call is what it is told, also where it takes that later.
        """
        ...

    def end(self, code: int, reason: str) -> None:
        """No more packets come: finish what was taken, then close with a WebSocket code."""
        ...


class Observer(Protocol):
    """Somewhere packets go without being listened to: no playhead starts or goes on for it.

    It has each packet after every sink, and what happens to a packet on purpose (`Release.fault`)
    too. None of its methods waits; what it does in them delays the next tick, so it keeps a
    reference and does the rest elsewhere.
    """

    def offer_nowait(self, release: Release) -> None:
        """Take a packet that has left; one that was sent twice comes twice."""
        ...

    def lost_nowait(self, release: Release) -> None:
        """Take note of a packet that nobody is given, on purpose. It has no time of leaving."""
        ...

    def end(self, code: int, reason: str) -> None:
        """No more packets come: the session has ended, or this has failed."""
        ...


ReceiverT = TypeVar("ReceiverT", Sink, Observer)


class Fanout:
    """The sinks and observers of one playback."""

    def __init__(self) -> None:
        self._sinks: dict[Sink, None] = {}
        self._observers: tuple[Observer, ...] = ()
        self._all: tuple[Sink, ...] = ()
        self._last: list[Sink] = []
        self.wire_formats: frozenset[PacketForm] = frozenset()

    def __iter__(self) -> Iterator[Sink]:
        return iter(list(self._sinks))

    def __len__(self) -> int:
        return len(self._sinks)

    @property
    def n_listening(self) -> int:
        """How many keep the playhead going."""
        return sum(sink.is_listening for sink in self._sinks)

    @property
    def n_first(self) -> int:
        """How many have had the latest packet at once."""
        return len(self._all) - len(self._last)

    def add(self, sink: Sink) -> None:
        """From the next packet on, `sink` gets them."""
        self._sinks[sink] = None
        self._changed()

    def discard(self, sink: Sink) -> None:
        """`sink` gets nothing more; no matter whether it did."""
        self._sinks.pop(sink, None)
        self._changed()

    def add_observer(self, observer: Observer) -> None:
        """From the next packet on, `observer` gets them."""
        self._observers = (*self._observers, observer)

    def discard_observer(self, observer: Observer) -> None:
        """`observer` gets nothing more; no matter whether it did."""
        self._observers = tuple(each for each in self._observers if each is not observer)

    def offer(self, release: Release, yield_cpu: Callable[[], None] | None = None) -> list[Sink]:
        """Give the packet to every sink but those that come last; answers those that failed.

        Args:
            release: the packet, stamped.
            yield_cpu: called between two sinks, where there are only a few: whom a write has woken
                on this CPU reads the packet then, and not when all the others have theirs.

        A sink that raises has a bug of ours in it. It must not cost the others their packet, so
        this is a boundary: it is logged once, and the caller drops the sink.
        """
        first: Sequence[Sink] = self._all
        self._last = [sink for sink in first if sink.is_deferred]
        if self._last:
            first = [sink for sink in first if not sink.is_deferred]
        return _offer(first, release, yield_cpu if len(self._all) <= _FEW else None)

    def offer_last(self, release: Release) -> list[Sink]:
        """Give the packet to those that `offer` left out and to observers.

        Returns:
            The sinks that failed; an observer that does is dropped here.
        """
        failed = _offer(self._last, release) if self._last else []
        if self._observers:
            for observer in _offer(self._observers, release):
                self._drop_observer(observer)
        return failed

    def lost(self, release: Release) -> None:
        """Tell observers of a packet that nobody is given, on purpose."""
        for observer in self._observers:
            try:
                observer.lost_nowait(release)
            except Exception:
                logger.exception("An observer failed and is dropped: %r", observer)
                self._drop_observer(observer)

    def _drop_observer(self, observer: Observer) -> None:
        self.discard_observer(observer)
        observer.end(CLOSE_INTERNAL_ERROR, "internal error")

    def _changed(self) -> None:
        self.wire_formats = frozenset(
            sink.wire_format for sink in self._sinks if sink.wire_format is not None
        )
        self._all = tuple(self._sinks)


def _offer(
    sinks: Sequence[ReceiverT], release: Release, between: Callable[[], None] | None = None
) -> list[ReceiverT]:
    failed = []
    for n, sink in enumerate(sinks):
        if n and between is not None:
            between()
        try:
            sink.offer_nowait(release)
        except Exception:
            logger.exception("A sink failed and is dropped: %r", sink)
            failed.append(sink)
    return failed
