"""Packets with what the built-in decoders make of them, for clients that ask for it.

Theory of operation. Such a client comes last in a tick, and all that happens to its packet there
is that it is noted. A task of the session then has the decoders step, and hands the packet on with
their velocities, encoded once for each form. So neither the tick nor any other client waits for a
decoder. A decoder that takes long (while it is fitted again) holds a client's packets back for
eight packets at most: they leave without its velocity then. Before the stream changes or ends, what
is held back leaves too, so that everything keeps its order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from phantomlink.engine.fanout import Release, Sink
from phantomlink.engine.status import ClientBacklog
from phantomlink.wire.packet import Packet

_MOST_WAITING = 8


class DecodedPackets:
    """The clients of one session that want decoded packets.

    Args:
        decode: has the decoders decode what has left; told what to call before it waits.
        with_decoded: a packet with what the decoders have said of it by now.
    """

    def __init__(
        self,
        decode: Callable[[Callable[[], None]], Awaitable[None]],
        with_decoded: Callable[[Packet], Packet],
    ) -> None:
        self._decode = decode
        self._with_decoded = with_decoded
        self._waiting: dict[DecodedSink, None] = {}
        self._woken = trio.Event()
        self._latest: tuple[Release, Release] | None = None

    async def run(self) -> None:
        """Decode whatever leaves as long as anybody wants it, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            # What leaves meanwhile is decoded the next time.
            batch = [(sink, sink.n_waiting) for sink in self._waiting]
            self._waiting.clear()
            await self._decode(partial(self._pass_on, batch, only_decoded=True))
            self._pass_on(batch)

    def close(self) -> None:
        """The session has ended: packets are as they are, and whoever decoded is let go of.

        It has this, and would stay with it until a collector comes.
        """
        self._decode, self._with_decoded = _nothing, _unchanged

    def wants(self, sink: DecodedSink) -> None:
        """A packet has left, for which a sink waits."""
        self._waiting[sink] = None
        self._woken.set()

    def decoded(self, release: Release) -> Release:
        """The packet with what has been said of it; the same for all who have it now."""
        packet = self._with_decoded(release.packet)
        if self._latest is not None:
            before, told = self._latest
            if before is release and told.packet.decoded == packet.decoded:
                return told
        told = release.with_packet(packet)
        self._latest = (release, told)
        return told

    def _pass_on(self, batch: list[tuple[DecodedSink, int]], *, only_decoded: bool = False) -> None:
        for n, (sink, n_waiting) in enumerate(batch):
            batch[n] = (sink, n_waiting - sink.pass_on(n_waiting, only_decoded=only_decoded))


class DecodedSink:
    """Passes packets on to a client's sink once they have been decoded.

    Args:
        decoded: of the session.
        sink: of the client.
    """

    wire_format = None
    is_listening = True
    is_deferred = True

    def __init__(self, decoded: DecodedPackets, sink: Sink) -> None:
        self._decoded = decoded
        self._sink = sink
        self._waiting: deque[Release] = deque()

    @property
    def transport(self) -> str:
        """See `Sink`."""
        return self._sink.transport

    @property
    def dropped(self) -> int:
        """See `Sink`."""
        return self._sink.dropped

    @property
    def was_given_up(self) -> bool:
        """See `Sink`."""
        return self._sink.was_given_up

    @property
    def backlog(self) -> ClientBacklog | None:
        """See `Sink`."""
        return self._sink.backlog

    def offer_nowait(self, release: Release) -> None:
        """Note the packet."""
        self._waiting.append(release)
        if len(self._waiting) > _MOST_WAITING:
            self.pass_on(1)
        self._decoded.wants(self)

    def stream_changed(self) -> None:
        """See `Sink`."""
        self.pass_on(self.n_waiting)
        self._sink.stream_changed()

    def end(self, code: int, reason: str) -> None:
        """See `Sink`."""
        self.pass_on(self.n_waiting)
        self._sink.end(code, reason)

    @property
    def n_waiting(self) -> int:
        """How many packets are held back."""
        return len(self._waiting)

    def pass_on(self, most: int, *, only_decoded: bool = False) -> int:
        """Give the client the oldest that are held back.

        Args:
            most: packets, or fewer where some have left already.
            only_decoded: up to the first of which a decoder has said nothing.

        Returns:
            How many it was given.
        """
        given = 0
        while self._waiting and given < most:
            release = self._decoded.decoded(self._waiting[0])
            if only_decoded and (None, None) in (release.packet.decoded or {}).values():
                break
            self._waiting.popleft()
            self._sink.offer_nowait(release)
            given += 1
        return given


async def _nothing(on_wait: Callable[[], None]) -> None:
    """No decoder is there any more."""


def _unchanged(packet: Packet) -> Packet:
    return packet
