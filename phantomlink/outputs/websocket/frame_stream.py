"""A byte stream that data frames and control frames share, in one order.

Theory of operation. In a tick, a frame that is ready is written straight to the socket without
waiting: 3.5 us a client, against 44 for a task a client and 63 for `send_message`. What the
socket does not take goes to a bounded queue, which a flusher task empties when the socket can
take more. trio-websocket, which answers pings and closes, writes to the same stream through
`send_all`, and its bytes take their place in the same queue. So there is one order and one
writer, and a frame is never torn: one that the socket took a part of is always finished first.
When the queue is full the oldest whole data frames go, and are counted; control frames and what
was sent in part never go. After a close frame nothing more is written.

A client is behind while anything is in its queue, and what it takes from there is old. The flusher
task, which is awake only then, holds the deadline: to be punctual about slow clients costs the tick
nothing. When it passes, the frames that wait go too, so that the close frame comes right behind the
one that is torn; and the kernel is given room for these two, so that a client which was only
stopped learns why when it reads again.
"""

from __future__ import annotations

import math
import socket
import time
from collections import deque
from collections.abc import Callable

import trio

from phantomlink.inputs.small_frames import SMALL_BYTES
from phantomlink.metrics import Histogram
from phantomlink.outputs.websocket.farewell import make_room
from phantomlink.outputs.websocket.incoming import Incoming
from phantomlink.outputs.websocket.message_receiver import MessageReceiver
from phantomlink.outputs.websocket.queued_frame import QueuedFrame
from phantomlink.outputs.websocket.replay_stream import ReplayStream
from phantomlink.outputs.websocket.shared_reader import SharedReader

# MSG_DONTWAIT says it again: trio's sockets do not block.
_SEND_FLAGS = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
_CLOSE_OPCODE = 0x8
_monotonic_ns = time.monotonic_ns


class FrameStream(trio.abc.Stream):
    """The server's end of one WebSocket connection.

    Args:
        stream: the connection.
        n_head: its first bytes, the upgrade request: what comes behind them is read only after the
            handshake, since trio-websocket loses what it has read by then. 0: all is read.
        max_frames: data frames that may wait for a slow client; the newest always may.
        max_bytes: bytes that all that waits may take.
        behind_seconds: how long the client may be behind.
        current_seconds: how long a packet may have waited that is taken by one that is not.
        latency: where it is recorded how long each packet's frame took from being offered to
            having been taken by the kernel.
        reader: shared by connections; None: this one is read on its own.

    Attributes:
        max_frames: as given; a new value holds from the next frame on.
        dropped_frames: data frames that the client lost because it was too slow.
        behind_since: since when packets have been waiting for the client, trio's clock, s; None
            when nothing is.
    """

    def __init__(
        self,
        stream: ReplayStream,
        *,
        max_frames: int,
        max_bytes: int,
        latency: Histogram,
        behind_seconds: float = math.inf,
        current_seconds: float = 0.0,
        n_head: int = 0,
        reader: SharedReader | None = None,
    ) -> None:
        self._stream = stream
        self.max_frames = max_frames
        self._max_bytes = max_bytes
        self._behind_seconds = behind_seconds
        self._current_ns = round(current_seconds * 1e9)
        self._latency = latency
        # A second handle on trio's own descriptor, for the write that does not wait.
        self._socket = socket.socket(fileno=stream.socket.fileno())
        self._send = self._socket.send
        self._incoming = Incoming(stream, self._socket, n_head, reader)
        self._queue: deque[QueuedFrame] = deque()
        self._queued_frames = 0
        self._queued_bytes = 0
        self._head_is_torn = False
        self._wake = trio.Event()
        self._last_words: Callable[[], bytes] | None = None
        self._too_slow: Callable[[], None] | None = None
        self._is_overfull = False
        self._close_sent = False
        self._closed = False
        self._broken = False
        self.dropped_frames = 0
        self.behind_since: float | None = None

    @property
    def queued_frames(self) -> int:
        """Packets that wait for the client."""
        return self._queued_frames

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the client: of packets, first messages and control frames."""
        return self._queued_bytes

    def upgraded(
        self,
        last_words: Callable[[], bytes],
        too_slow: Callable[[], None] | None = None,
        max_message_bytes: int = SMALL_BYTES,
    ) -> None:
        """The handshake is over: from here on, bytes are frames.

        Args:
            last_words: asked when the connection is closed without a close frame: the bytes to
                send then, if any. trio-websocket drops a client that breaks the protocol without
                telling it why.
            too_slow: called by the flusher when the client has been behind for too long; what was
                waiting has been dropped then. It is to have the connection closed.
            max_message_bytes: of what the client sends: larger messages are not taken out.
        """
        self._last_words = last_words
        self._too_slow = too_slow
        self._incoming.upgraded(max_message_bytes)

    def receive_with(self, receiver: MessageReceiver) -> None:
        """Give what the client sends from now on in small frames to `receiver`.

        What it sends otherwise comes out of `receive_some`, as all does that came before.
        """
        self._incoming.receive_with(receiver)

    def offer_nowait(self, frame: bytes | bytearray) -> None:
        """Send a whole data frame, or queue it, dropping the oldest when there is no room."""
        if self._queue or self._closed or self._broken or self._close_sent:
            self._put_nowait(frame, droppable=True)
            return
        # The path of nearly every frame, without calls: with many clients it is taken hundreds of
        # times between a deadline and its last byte.
        offered_ns = _monotonic_ns()
        try:
            sent = self._send(frame, _SEND_FLAGS)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._break()
            return
        if sent == len(frame):
            self._latency.record(_monotonic_ns() - offered_ns)
            return
        self._head_is_torn = sent > 0
        self._append(QueuedFrame(memoryview(frame)[sent:], droppable=True, offered_ns=offered_ns))

    def put_nowait(self, frame: bytes) -> None:
        """Send a whole data frame that is never dropped."""
        self._put_nowait(frame, droppable=False)

    def hold_nowait(self) -> QueuedFrame:
        """Keep a place in the order for a frame that is still being made."""
        place = QueuedFrame(memoryview(b""), droppable=False, is_held=True)
        if not (self._is_gone() or self._close_sent):
            self._append(place)
        return place

    def fill_nowait(self, place: QueuedFrame, frame: bytes) -> None:
        """Send the frame that a place was kept for, and what has come behind it."""
        if not any(each is place for each in self._queue):
            # The client has gone, or was given up.
            return
        place.data, place.is_held = memoryview(frame), False
        self._queued_bytes += len(frame)
        if self._queue[0] is place:
            self._flush_nowait()
        self._wake.set()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send control bytes in their place in the order.

        Cancelled: they stay in the queue, whole.

        Raises:
            BrokenResourceError: the client is gone.
            ClosedResourceError: we have closed.
        """
        await trio.lowlevel.checkpoint()
        self._check()
        if self._last_words is not None and len(data) and data[0] & 0x0F == _CLOSE_OPCODE:
            self._close_sent = True
        if not self._queue:
            sent = self._send_nowait(memoryview(data))
            # That the client is gone may turn out in this very write. What is queued then would
            # wait for ever: the flusher has ended.
            self._check()
            if sent == len(data):
                return
            data = memoryview(bytes(data))[sent:]
            self._head_is_torn = sent > 0
        item = QueuedFrame(memoryview(bytes(data)), droppable=False, done=trio.Event())
        self._append(item)
        assert item.done is not None
        await item.done.wait()
        self._check()

    async def wait_send_all_might_not_block(self) -> None:
        """As trio's streams have it."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As the connection has it, but for small messages; behind the head after the handshake."""
        return await self._incoming.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the connection; what waits in the queue is lost."""
        if not self._closed:
            if self._last_words is not None and not (self._queue or self._close_sent):
                self._send_nowait(memoryview(self._last_words()))
            self._closed = True
            self._fail_queue()
            self._incoming.close()
            # The descriptor belongs to trio's socket, which closes it.
            self._socket.detach()
            # Both know this stream: together they would stay until the oldest garbage is collected.
            self._last_words = self._too_slow = None
        await self._stream.aclose()

    async def flush_forever(self) -> None:
        """Empty the queue whenever the socket takes more; run beside everything else.

        And give the client up when that takes too long, or when there is too much that may not be
        dropped. Returns when the connection is closed or the client is gone.
        """
        while not self._is_gone():
            if not self._queue or self._queue[0].is_held:
                # Nothing waits for the client, but for us at most.
                self.behind_since = None
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            if self.behind_since is None:
                self.behind_since = trio.current_time()
            # One that is being closed has a deadline of its own.
            may_give_up = self._too_slow is not None and not self._close_sent
            deadline = math.inf
            if may_give_up:
                too_much = self._is_overfull
                deadline = -math.inf if too_much else self.behind_since + self._behind_seconds
            with trio.CancelScope(deadline=deadline) as waiting:
                try:
                    await trio.lowlevel.wait_writable(self._stream.socket)
                except (trio.ClosedResourceError, OSError):
                    return
            if self._closed:
                return
            if waiting.cancelled_caught:
                self._give_up()
            else:
                self._flush_nowait()

    def _give_up(self) -> None:
        """Make room for the close frame, and have the connection closed."""
        assert self._too_slow is not None
        too_slow, self._too_slow = self._too_slow, None
        self._is_overfull = False
        head = self._queue[0] if self._head_is_torn else None
        for item in [item for item in self._queue if item is not head and item.done is None]:
            self._queue.remove(item)
            self._forget(item)
            self.dropped_frames += item.droppable
        make_room(self._socket, self._queued_bytes)
        self._flush_nowait()
        too_slow()

    def _is_gone(self) -> bool:
        return self._closed or self._broken

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this WebSocket was closed here")
        if self._broken:
            raise trio.BrokenResourceError("the client is gone")

    def _put_nowait(self, frame: bytes | bytearray, *, droppable: bool) -> None:
        if self._is_gone() or self._close_sent:
            return
        sent = 0
        if not self._queue:
            # No packet: one comes here only behind what waits.
            sent = self._send_nowait(memoryview(frame))
            if self._is_gone() or sent == len(frame):
                return
            self._head_is_torn = sent > 0
        # What is never dropped is no packet: what is recorded counts the packets that were sent.
        offered_ns = _monotonic_ns() if droppable else None
        self._append(QueuedFrame(memoryview(frame)[sent:], droppable, offered_ns))

    def _append(self, item: QueuedFrame) -> None:
        self._queue.append(item)
        self._queued_frames += item.droppable
        self._queued_bytes += len(item.data)
        while self._queued_frames > self.max_frames or self._queued_bytes > self._max_bytes:
            if not self._drop_oldest():
                # What is never dropped is too much by itself.
                self._is_overfull = self._queued_bytes > self._max_bytes and not item.droppable
                break
        self._wake.set()

    def _drop_oldest(self) -> bool:
        """Drop the oldest packet but the newest, if there is one; whether there was."""
        is_torn = self._head_is_torn and self._queue[0].droppable
        if self._queued_frames - is_torn > 1:
            for index, item in enumerate(self._queue):
                if item.droppable and not (index == 0 and self._head_is_torn):
                    del self._queue[index]
                    self._forget(item)
                    self.dropped_frames += 1
                    return True
        return False

    def _flush_nowait(self) -> None:
        while self._queue and not self._queue[0].is_held:
            item = self._queue[0]
            sent = self._send_nowait(item.data)
            if self._is_gone():
                return
            if sent < len(item.data):
                if sent:
                    self._head_is_torn = True
                    self._queued_bytes -= sent
                    item.data = item.data[sent:]
                return
            self._queue.popleft()
            self._head_is_torn = False
            self._forget(item)
            if item.offered_ns is not None:
                waited_ns = _monotonic_ns() - item.offered_ns
                self._latency.record(waited_ns)
                if waited_ns < self._current_ns:
                    self.behind_since = trio.current_time()
            if item.done is not None:
                item.done.set()

    def _forget(self, item: QueuedFrame) -> None:
        self._queued_frames -= item.droppable
        self._queued_bytes -= len(item.data)

    def _send_nowait(self, data: memoryview) -> int:
        try:
            return self._send(data, _SEND_FLAGS)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._break()
            return 0

    def _break(self) -> None:
        self._broken = True
        self._fail_queue()

    def _fail_queue(self) -> None:
        for item in self._queue:
            self._forget(item)
            if item.done is not None:
                item.done.set()
        self._queue.clear()
        self._wake.set()
