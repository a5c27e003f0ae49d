"""WebSocket clients of `phantomlink serve`: trio-websocket for the protocol, frames by ourselves.

trio-websocket does the handshake, reads, answers pings and closes; data frames, the same bytes
for every client, go past it into the `FrameStream` that both share.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio
import trio_websocket

from phantomlink.close_codes import CLOSE_GOING_AWAY, CLOSE_TOO_SLOW
from phantomlink.engine.counters import WEBSOCKET
from phantomlink.engine.fanout import Release, Sink
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.engine.status import ClientBacklog
from phantomlink.logs import bind, next_client_id
from phantomlink.outputs.websocket.admission import Admission
from phantomlink.outputs.websocket.client_limits import ClientLimits
from phantomlink.outputs.websocket.client_messages import (
    client_messages,
    receive_message,
    subscribing_sink,
)
from phantomlink.outputs.websocket.frame_stream import FrameStream
from phantomlink.outputs.websocket.queued_frame import QueuedFrame
from phantomlink.outputs.websocket.replay_stream import ReplayStream
from phantomlink.outputs.websocket.shared_reader import SharedReader
from phantomlink.scheduling.spreading import spread_seconds
from phantomlink.wire.encoder import PacketForm, close_frame, frame_message

if TYPE_CHECKING:
    from phantomlink.outputs.decoders.client_input import ClientInput

logger = logging.getLogger(__name__)

CLOSE_TOO_BIG = 1009
_HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 2.0
# Close codes by which the WebSocket parser names what a client did wrong (RFC 6455, 7.4.1).
_PROTOCOL_ERRORS = frozenset({1002, 1003, 1007, CLOSE_TOO_BIG})
# The kernel's own buffer would otherwise hide five seconds of stream from us.
SEND_BUFFER_BYTES = 64 * 1024


class MakeMetadataMessage(Protocol):
    """Makes the metadata messages of a connection.

    What they tell is how the stream is at the call; waiting for them gives the message.
    """

    def __call__(self, session: Session, admission: Admission) -> Awaitable[bytes | str]:
        """The first message."""
        ...

    def news(self, session: Session, admission: Admission) -> Awaitable[bytes | str]:
        """The message of a stream that has just changed."""
        ...


@dataclass(frozen=True, slots=True)
class ClosingReason:
    """Why we end a connection: a WebSocket close code and a text."""

    code: int
    text: str


class WebSocketSink:
    """One client: the frames that it is offered go straight to its socket."""

    transport = WEBSOCKET
    is_listening = True

    def __init__(
        self,
        stream: FrameStream,
        wire_format: PacketForm,
        news: Callable[[], Awaitable[bytes | str]],
        client_id: int = 0,
    ) -> None:
        self._stream = stream
        self._news = news
        self._wire_format = wire_format
        self._client_id = client_id
        self._told = trio.Event()
        self._making = trio.CancelScope()
        self._untold: deque[tuple[QueuedFrame, Awaitable[bytes | str]]] = deque()
        self.reason: ClosingReason | None = None

    @property
    def wire_format(self) -> PacketForm:
        """The form of its messages."""
        return self._wire_format

    @property
    def is_deferred(self) -> bool:
        """Whether it is behind: those that read need not wait until its packet is queued."""
        return self._stream.behind_since is not None

    @property
    def dropped(self) -> int:
        """Packets that it lost because it was too slow."""
        return self._stream.dropped_frames

    @property
    def was_given_up(self) -> bool:
        """Whether it is closed because it was too slow, or silent."""
        return self.reason is not None and self.reason.code == CLOSE_TOO_SLOW

    @property
    def backlog(self) -> ClientBacklog:
        """What waits for it."""
        since = self._stream.behind_since
        return ClientBacklog(
            client_id=self._client_id,
            queued_packets=self._stream.queued_frames,
            queued_bytes=self._stream.queued_bytes,
            dropped_packets=self.dropped,
            behind_seconds=None if since is None else trio.current_time() - since,
        )

    def offer_nowait(self, release: Release) -> None:
        """Write the frame, or queue it behind those that wait."""
        self._stream.offer_nowait(release.frame(self._wire_format).buffer)

    def end(self, code: int, reason: str) -> None:
        """Close after what has been taken. The first reason counts."""
        if self.reason is None:
            self.reason = ClosingReason(code, reason)
            self._told.set()
            self._making.cancel()

    def stream_changed(self) -> None:
        """Let the client have the metadata again, before the packets that come now."""
        self._untold.append((self._stream.hold_nowait(), self._news()))
        self._told.set()

    async def tell_until_ended(self) -> ClosingReason:
        """Tell the client what changes, in its place between the packets; why the end comes.

        Raises:
            RecordingError: what is to be told cannot be read.
        """
        while self._untold or self.reason is None:
            if not self._untold:
                self._told = trio.Event()
                await self._told.wait()
                continue
            place, message = self._untold.popleft()
            frame = b""
            # The end does not wait for a recording that cannot be read now.
            with trio.CancelScope(deadline=math.inf if self.reason is None else -math.inf) as scope:
                self._making = scope
                frame = frame_message(await message)
            self._stream.fill_nowait(place, frame)
        return self.reason


async def serve_websocket_client(
    stream: ReplayStream,
    n_head: int,
    session: Session,
    admission: Admission,
    make_metadata: MakeMetadataMessage,
    limits: ClientLimits,
    reader: SharedReader | None = None,
) -> None:
    """Stream a session to one client until either side ends it. Closes the connection.

    Args:
        stream: the connection, from an upgrade request that has been admitted on.
        n_head: bytes of that request.
        session: that it listens to; reserved by the caller until this returns or is streaming.
        admission: what was decided about the request.
        make_metadata: makes the first message.
        limits: what the client is granted; a message that is larger closes with 1009.
        reader: shared by all connections; None: this one is read on its own.
    """
    client_id = next_client_id()
    bind(session=shown_code(session.code), client=client_id)
    _bound_send_buffer(stream)
    frames = FrameStream(
        stream,
        n_head=n_head,
        max_frames=limits.packets_at(session.rate_hz),
        max_bytes=limits.queue_bytes,
        latency=session.counters.latency(WEBSOCKET),
        behind_seconds=limits.behind_seconds,
        current_seconds=limits.current_seconds,
        reader=reader,
    )

    def news() -> Awaitable[bytes | str]:
        frames.max_frames = limits.packets_at(session.rate_hz)
        return make_metadata.news(session, admission)

    sink = WebSocketSink(frames, admission.form, news, client_id)
    subscriber = subscribing_sink(session, admission, sink)

    def give_up() -> None:
        sink.end(CLOSE_TOO_SLOW, limits.too_slow(sink.dropped))
        # Nothing more is for it; it must not keep a playhead going while it is being closed.
        session.unsubscribe(subscriber)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(frames.flush_forever)
        try:
            with trio.fail_after(_HANDSHAKE_SECONDS):
                request = await trio_websocket.wrap_server_stream(
                    nursery, frames, max_message_size=limits.message_bytes
                )
                websocket = await request.accept(subprotocol=admission.subprotocol)
            frames.upgraded(
                partial(_protocol_error_frame, websocket), give_up, limits.message_bytes
            )

            def send_nowait(message: bytes | str) -> None:
                frames.put_nowait(frame_message(message))

            with client_messages(
                session, admission, client_id, send_nowait, sink.end
            ) as client_input:
                await _stream_session(
                    websocket,
                    frames,
                    session,
                    admission,
                    make_metadata,
                    limits,
                    sink,
                    subscriber,
                    client_input,
                )
        except (trio.TooSlowError, trio_websocket.ConnectionClosed):
            logger.debug("A WebSocket client went away during the handshake")
        finally:
            with trio.CancelScope(shield=True):
                await frames.aclose()
            nursery.cancel_scope.cancel()


async def _stream_session(
    websocket: trio_websocket.WebSocketConnection,
    frames: FrameStream,
    session: Session,
    admission: Admission,
    make_metadata: MakeMetadataMessage,
    limits: ClientLimits,
    sink: WebSocketSink,
    subscriber: Sink,
    client_input: ClientInput | None,
) -> None:
    metadata = frame_message(await make_metadata(session, admission))
    # The metadata and the first packet behind them: nothing may come between.
    frames.put_nowait(metadata)
    session.subscribe(admission.filter, session.playback(admission.filter), subscriber)
    if client_input is not None:
        frames.receive_with(client_input)
    try:
        async with trio.open_nursery() as listening:
            leave = partial(_leave, sink, listening.cancel_scope)
            listening.start_soon(_until_client_leaves, websocket, leave, client_input)
            listening.start_soon(_until_silent, websocket, sink, limits, leave)
            reason = await sink.tell_until_ended()
            with trio.move_on_after(CLOSE_SECONDS):
                await websocket.aclose(reason.code, reason.text)
            listening.cancel_scope.cancel()
    finally:
        session.unsubscribe(subscriber)
        log_leaving(session, sink)
        if sink.reason is None and not websocket.closed:
            # Cancelled from outside: the server goes away.
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await websocket.aclose(CLOSE_GOING_AWAY, "the server is going away")


class ClientSink(Protocol):
    """What the log is told of a client that leaves."""

    @property
    def reason(self) -> ClosingReason | None:
        """Why we end the connection; None where we do not."""
        ...

    @property
    def dropped(self) -> int:
        """Packets that it lost because it was too slow."""
        ...

    @property
    def was_given_up(self) -> bool:
        """Whether it is closed because it was too slow."""
        ...


def log_leaving(session: Session, sink: ClientSink) -> None:
    """A client has left: say so, and what it lost."""
    shown = shown_code(session.code)
    if sink.was_given_up and sink.reason is not None:
        logger.info("A client of session %s is closed: %s", shown, sink.reason.text)
    elif sink.dropped:
        logger.info("A client of session %s was slow and lost %d packets", shown, sink.dropped)
    else:
        logger.debug("A client of session %s has left", shown)


def _protocol_error_frame(websocket: trio_websocket.WebSocketConnection) -> bytes:
    """The close frame that tells a client what it did wrong; nothing where it did nothing."""
    reason = websocket.closed
    if reason is None or reason.code not in _PROTOCOL_ERRORS:
        return b""
    return close_frame(reason.code)


def _leave(sink: WebSocketSink, scope: trio.CancelScope) -> None:
    """The connection is closed, or as good as that."""
    # Where we have begun to close it, the client's answer is waited for: to shut the socket on
    # what it still sends would reset the connection, and it would not learn why.
    if sink.reason is None:
        scope.cancel()


async def _until_client_leaves(
    websocket: trio_websocket.WebSocketConnection,
    leave: Callable[[], None],
    client_input: ClientInput | None,
) -> None:
    """Read what did not come in a small frame; reading is also how its leaving is noticed."""
    try:
        while True:
            receive_message(client_input, await websocket.get_message())
    except trio_websocket.ConnectionClosed:
        leave()


async def _until_silent(
    websocket: trio_websocket.WebSocketConnection,
    sink: WebSocketSink,
    limits: ClientLimits,
    leave: Callable[[], None],
) -> None:
    """Ping now and then: a client whose machine has gone sends nothing, not even a reset."""
    try:
        while True:
            await trio.sleep(spread_seconds(limits.ping_interval_seconds))
            with trio.fail_after(limits.ping_timeout_seconds):
                await websocket.ping()
    except trio.TooSlowError:
        sink.end(CLOSE_TOO_SLOW, limits.silent())
    except trio_websocket.ConnectionClosed:
        leave()


def _bound_send_buffer(stream: ReplayStream) -> None:
    stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, SEND_BUFFER_BYTES)
