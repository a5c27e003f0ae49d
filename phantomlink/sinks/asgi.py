"""WebSocket clients behind any ASGI server: the same packets, on a slower path.

Here a client has a task that awaits `send`. Under hypercorn that `send` cannot be cancelled, so
the packets wait in a bounded queue, and a client that is too slow loses the oldest.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from phantomlink.engine.codes import shown_code
from phantomlink.engine.fanout import Release
from phantomlink.engine.session import Session
from phantomlink.logs import bind, next_client_id
from phantomlink.metrics import Histogram
from phantomlink.sinks.admission import Admission
from phantomlink.sinks.websocket import (
    CLOSE_TOO_BIG,
    MAX_MESSAGE_BYTES,
    ClosingReason,
    MakeGreeting,
    log_leaving,
    queue_frames,
)
from phantomlink.wire.encoder import WireFormat


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


class QueueSink:
    """One client: the packets that wait for its sender task.

    Args:
        wire_format: of its messages.
        max_packets: that may wait; then the oldest go and are counted.
        latency: where it is recorded how long each took from being offered to having been sent.
    """

    is_listening = True
    comes_last = False

    def __init__(self, wire_format: WireFormat, max_packets: int, latency: Histogram) -> None:
        self._wire_format = wire_format
        self.max_packets = max_packets
        self._latency = latency
        self._queue: deque[tuple[int, bytes | str]] = deque()
        self._wake = trio.Event()
        self._has_changed = False
        self.reason: ClosingReason | None = None
        self.dropped = 0

    @property
    def wire_format(self) -> WireFormat:
        """The form of its messages."""
        return self._wire_format

    def offer_nowait(self, release: Release) -> None:
        """Queue the packet; the oldest goes when there is no room."""
        payload = release.frame(self._wire_format).payload
        text = self._wire_format is WireFormat.JSON
        self._queue.append((time.monotonic_ns(), payload.decode() if text else payload))
        if len(self._queue) > self.max_packets:
            self._queue.popleft()
            self.dropped += 1
        self._wake.set()

    def end(self, code: int, reason: str) -> None:
        """Close after what has been taken."""
        self.reason = ClosingReason(code, reason)
        self._wake.set()

    def stream_changed(self) -> None:
        """Let the client have the metadata again."""
        self._has_changed = True
        self._wake.set()

    async def send_until_ended(
        self, websocket: AsgiWebSocket, greeting: Callable[[], Awaitable[bytes | str]]
    ) -> None:
        """Send what comes, in order; then close with the reason of the end.

        Args:
            websocket: the client.
            greeting: makes the metadata message, for when the stream has changed.
        """
        while True:
            if self._has_changed:
                self._has_changed = False
                await websocket.send(await greeting())
            while self._queue:
                offered_ns, message = self._queue.popleft()
                await websocket.send(message)
                self._latency.record(time.monotonic_ns() - offered_ns)
            if self.reason is not None:
                await websocket.close(self.reason.code, self.reason.text)
                return
            self._wake = trio.Event()
            await self._wake.wait()


async def serve_asgi_client(
    websocket: AsgiWebSocket,
    session: Session,
    admission: Admission,
    make_greeting: MakeGreeting,
    *,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> None:
    """Stream a session to one accepted client until either side ends it.

    Args:
        websocket: of the web framework.
        session: that it listens to; reserved by the caller.
        admission: what was decided about the request.
        make_greeting: makes the first message.
        max_message_bytes: that the client may send; a larger message closes with 1009, once the
            server in front has taken it.
    """
    bind(session=shown_code(session.code), client=next_client_id())
    sink = QueueSink(admission.wire_format, queue_frames(session), session.send_latency)

    async def greeting() -> bytes | str:
        sink.max_packets = queue_frames(session)
        return await make_greeting(session, admission)

    await websocket.send(await greeting())
    session.subscribe(admission.filter, session.playback(admission.filter), sink)
    try:
        async with trio.open_nursery() as nursery:
            # Without a reader the leaving of the client is never told.
            nursery.start_soon(_ignore_messages, websocket, sink, max_message_bytes)
            await sink.send_until_ended(websocket, greeting)
            nursery.cancel_scope.cancel()
    finally:
        session.unsubscribe(sink)
        log_leaving(session, sink)


async def _ignore_messages(
    websocket: AsgiWebSocket, sink: QueueSink, max_message_bytes: int
) -> None:
    while True:
        # An empty binary message arrives as None.
        message = await websocket.receive() or b""
        size_bytes = len(message.encode() if isinstance(message, str) else message)
        if size_bytes > max_message_bytes:
            got = f"got {size_bytes} bytes, takes {max_message_bytes}"
            sink.end(CLOSE_TOO_BIG, f"message too big: {got}")
