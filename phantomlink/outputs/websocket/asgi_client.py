"""WebSocket clients behind any ASGI server: the same packets, on a slower path.

Here a client has a task that awaits `send`. Under hypercorn that `send` cannot be cancelled, so
the packets wait in a bounded queue, and a client that is too slow loses the oldest.

A client is behind while its sender has anything to send, and that is old. A second task looks when
one that is may have been it for too long: every two seconds, not at every packet. It then has the
client closed, but the close waits behind the `send` that is stuck, and ASGI knows no way around
that. So where the server offers one of its own (our guard of hypercorn's Trio worker does), the
connection is cut off when the close has not been sent after a while. Elsewhere it stays until the
client reads or leaves; it gets no packets and nothing is kept for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

from phantomlink.close_codes import CLOSE_TOO_SLOW
from phantomlink.engine.counters import WEBSOCKET
from phantomlink.engine.fanout import Release, Sink
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.engine.status import ClientBacklog
from phantomlink.logs import bind, next_client_id
from phantomlink.metrics import Histogram
from phantomlink.outputs.websocket.admission import Admission
from phantomlink.outputs.websocket.client import (
    CLOSE_SECONDS,
    CLOSE_TOO_BIG,
    ClosingReason,
    MakeMetadataMessage,
    log_leaving,
)
from phantomlink.outputs.websocket.client_limits import ClientLimits
from phantomlink.outputs.websocket.client_messages import (
    client_messages,
    receive_message,
    subscribing_sink,
)
from phantomlink.scheduling.running_time import running_seconds, sleep_until_running
from phantomlink.wire.encoder import HidingForm, PacketForm, WireFormat

if TYPE_CHECKING:
    from phantomlink.outputs.decoders.client_input import ClientInput

CutOff = Callable[[], None]
"""Ends a connection however stuck it is."""


class AsgiWebSocket(Protocol):
    """What is used of Quart's websocket."""

    async def receive(self) -> bytes | str:
        """The client's next message."""
        ...

    async def send(self, data: bytes | str) -> None:
        """Send a message."""
        ...

    async def close(self, code: int, reason: str = "") -> None:
        """Close."""
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """Something that waits to be sent: a packet was offered at a time, other messages were not."""

    message: bytes | str | Awaitable[bytes | str]
    offered_ns: int | None = None


class QueueSink:
    """One client: the packets that wait for its sender task.

    Args:
        wire_format: of its messages.
        limits: how slow it may be; when the queue is full the oldest go and are counted.
        latency: where it is recorded how long each took from being offered to having been sent.
        news: makes the metadata message of a stream that has just changed.
        client_id: number of its connection.

    Attributes:
        max_packets: that may wait.
        behind_since: since when its sender has been sending what is old, without a break,
            running time, s; None while it has nothing to send.
    """

    transport = WEBSOCKET
    is_listening = True
    is_deferred = False

    def __init__(
        self,
        wire_format: PacketForm,
        limits: ClientLimits,
        latency: Histogram,
        news: Callable[[], Awaitable[bytes | str]],
        client_id: int = 0,
    ) -> None:
        self._wire_format = wire_format
        plain = wire_format.wire_format if isinstance(wire_format, HidingForm) else wire_format
        self._is_text = plain is WireFormat.JSON
        self._limits = limits
        self.max_packets = limits.queue_packets
        self._latency = latency
        self._client_id = client_id
        self._news = news
        self._queue: deque[_Waiting] = deque()
        self._queued_packets = 0
        self._queued_bytes = 0
        self.behind_since: float | None = None
        self._wake = trio.Event()
        self.reason: ClosingReason | None = None
        self.dropped = 0

    @property
    def wire_format(self) -> PacketForm:
        """The form of its messages."""
        return self._wire_format

    @property
    def was_given_up(self) -> bool:
        """Whether it is closed because it was too slow."""
        return self.reason is not None and self.reason.code == CLOSE_TOO_SLOW

    @property
    def backlog(self) -> ClientBacklog:
        """What waits for it, beside the message that is being sent."""
        since = self.behind_since
        return ClientBacklog(
            client_id=self._client_id,
            queued_packets=self._queued_packets,
            queued_bytes=self._queued_bytes,
            dropped_packets=self.dropped,
            behind_seconds=None if since is None else running_seconds() - since,
        )

    def offer_nowait(self, release: Release) -> None:
        """Queue the packet; the oldest go when there is no room. The newest always has it."""
        payload = release.frame(self._wire_format).payload
        self._queue.append(
            _Waiting(payload.decode() if self._is_text else payload, time.monotonic_ns())
        )
        self._queued_packets += 1
        self._queued_bytes += len(payload)
        while self._queued_packets > 1 and (
            self._queued_packets > self.max_packets or self._queued_bytes > self._limits.queue_bytes
        ):
            self._drop_oldest()
        self._wake.set()

    def put_nowait(self, message: bytes | str) -> None:
        """Queue a message that is no packet: it is never dropped, as the client asked for it."""
        self._queue.append(_Waiting(message))
        self._queued_bytes += len(message)
        self._wake.set()

    def end(self, code: int, reason: str) -> None:
        """Close after what has been taken. The first reason counts."""
        if self.reason is None:
            self.reason = ClosingReason(code, reason)
            self._wake.set()

    def give_up(self) -> None:
        """Close behind what is being sent: it is too slow."""
        self.dropped += self._queued_packets
        self._queue.clear()
        self._queued_packets = self._queued_bytes = 0
        self.end(CLOSE_TOO_SLOW, self._limits.too_slow(self.dropped))

    def stream_changed(self) -> None:
        """Let the client have the metadata again, before the packets that come now."""
        self._queue.append(_Waiting(self._news()))
        self._wake.set()

    async def send_until_ended(self, websocket: AsgiWebSocket) -> None:
        """Send what comes, in order; then close with the reason of the end.

        Raises:
            RecordingError: what is to be told of a change cannot be read.
        """
        while True:
            if self.behind_since is None:
                self.behind_since = running_seconds()
            while self._queue:
                waiting = self._take(0)
                message = waiting.message
                await websocket.send(message if isinstance(message, bytes | str) else await message)
                if waiting.offered_ns is None:
                    continue
                waited_ns = time.monotonic_ns() - waiting.offered_ns
                self._latency.record(waited_ns)
                if waited_ns < self._limits.current_seconds * 1e9:
                    self.behind_since = running_seconds()
            if self.reason is not None:
                await websocket.close(self.reason.code, self.reason.text)
                return
            self.behind_since = None
            self._wake = trio.Event()
            await self._wake.wait()

    async def until_too_slow(self) -> None:
        """Wait until it has been behind for too long."""
        while True:
            again_at = self._limits.look_again_at(running_seconds(), self.behind_since)
            if again_at is None:
                return
            await sleep_until_running(again_at)

    def _drop_oldest(self) -> None:
        """Drop the oldest packet; what tells of changes stays in its place."""
        for n, waiting in enumerate(self._queue):
            if waiting.offered_ns is not None:
                self._take(n)
                self.dropped += 1
                return

    def _take(self, n: int) -> _Waiting:
        waiting = self._queue[n]
        del self._queue[n]
        if isinstance(waiting.message, bytes | str):
            # JSON of ours is ASCII: as many characters as bytes.
            self._queued_bytes -= len(waiting.message)
        self._queued_packets -= waiting.offered_ns is not None
        return waiting


async def serve_asgi_client(
    websocket: AsgiWebSocket,
    session: Session,
    admission: Admission,
    make_metadata: MakeMetadataMessage,
    limits: ClientLimits,
    cut_off: CutOff | None = None,
) -> None:
    """Stream a session to one accepted client until either side ends it.

    Args:
        websocket: of the web framework.
        session: that it listens to; reserved by the caller.
        admission: what was decided about the request.
        make_metadata: makes the first message.
        limits: what the client is granted; a message that is larger closes with 1009 once the
            server in front has taken it.
        cut_off: where the server has a way to end a connection that takes nothing.
    """
    client_id = next_client_id()
    bind(session=shown_code(session.code), client=client_id)

    def news() -> Awaitable[bytes | str]:
        sink.max_packets = limits.packets_at(session.rate_hz)
        return make_metadata.news(session, admission)

    latency = session.counters.latency(WEBSOCKET)
    sink = QueueSink(admission.form, limits, latency, news, client_id)
    sink.max_packets = limits.packets_at(session.rate_hz)
    subscriber = subscribing_sink(session, admission, sink)
    await websocket.send(await make_metadata(session, admission))
    session.subscribe(admission.filter, session.playback(admission.filter), subscriber)
    try:
        with client_messages(
            session, admission, client_id, sink.put_nowait, sink.end
        ) as client_input:
            async with trio.open_nursery() as nursery:
                # Without a reader the leaving of the client is never told.
                nursery.start_soon(
                    _receive_messages, websocket, sink, limits.message_bytes, client_input
                )
                nursery.start_soon(_give_up_when_too_slow, sink, subscriber, session, cut_off)
                await sink.send_until_ended(websocket)
                nursery.cancel_scope.cancel()
    finally:
        session.unsubscribe(subscriber)
        log_leaving(session, sink)


async def _give_up_when_too_slow(
    sink: QueueSink, subscriber: Sink, session: Session, cut_off: CutOff | None
) -> None:
    await sink.until_too_slow()
    sink.give_up()
    # Nothing more is for it; it must not keep a playhead going while it is being closed.
    session.unsubscribe(subscriber)
    if cut_off is not None:
        await trio.sleep(CLOSE_SECONDS)
        cut_off()


async def _receive_messages(
    websocket: AsgiWebSocket,
    sink: QueueSink,
    max_message_bytes: int,
    client_input: ClientInput | None,
) -> None:
    while True:
        # An empty binary message arrives as None.
        message = await websocket.receive() or b""
        size_bytes = len(message.encode() if isinstance(message, str) else message)
        if size_bytes > max_message_bytes:
            got = f"got {size_bytes} bytes, takes {max_message_bytes}"
            sink.end(CLOSE_TOO_BIG, f"message too big: {got}")
        else:
            receive_message(client_input, message)
