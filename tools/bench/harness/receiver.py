"""Process: receives packets over TCP and notes when each arrived.

Built to be too cheap to measure itself. One connection: a blocking `recv_into` and the clock
right behind it. Several: one `epoll`, and every ready socket is read and stamped before any of
their bytes are looked at. Frames are parsed afterwards, in the slack, and only three numbers of
a packet are looked for; everything else is worked out in another process, after the run.

Talk: tells `first_packet_ns` when every connection has had a packet; then, for each `end_ns` that
it hears, receives until then and tells what came. With `keeps` in its config it tells whole
packets too, a list for each connection. With `answers` beside `end_ns` each packet is answered by
a prediction, once all that were ready have been stamped. Times are CLOCK_MONOTONIC ns.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import struct
import time
from array import array
from collections.abc import Callable

from .children import Message, fail, hear, tell
from .frames import (
    CLOSE,
    PING,
    PONG,
    FrameError,
    after_answer,
    masked_frame,
    packet_fields,
    parse_frame,
    prediction_frame,
    upgrade_request,
)

_BUFFER_BYTES = 1 << 18
# How often a silent connection is looked at: the kernel's timeout costs nothing per packet.
_SILENCE_SECONDS = 0.25
_FIRST_PACKET_SECONDS = 60.0
_GAPS_KEPT = 10
_NS = 1_000_000_000

_now_ns = time.monotonic_ns


class Stream:
    """One connection and what it has received.

    Args:
        host, port: where to.
        path: of the stream; None where packets come without a handshake (the bare loop).
        keeps: whether packets are kept whole.

    Attributes:
        answers: whether each packet is answered.
    """

    buffer_bytes: int | None = None
    """For what has come and is not read; None: as the kernel has it."""

    def __init__(self, host: str, port: int, path: str | None, *, keeps: bool = False) -> None:
        self.path = path
        self._keeps = keeps
        self.answers = False
        self.clear()
        self.n_bytes = 0
        self._last: int | None = None
        self.closed: str | None = None
        self.close_code: int | None = None
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._used = 0
        self._upgraded = path is None
        self.connect_ns = _now_ns()
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.socket.settimeout(10)
        if self.buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
        try:
            self.socket.connect((host, port))
            if path is not None:
                self.socket.sendall(upgrade_request(host, port, path))
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(None)
        silence = struct.pack("ll", 0, int(_SILENCE_SECONDS * 1e6))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, silence)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def clear(self) -> None:
        """Forget what came so far."""
        self.columns = (array("q"), array("q"), array("q"), array("q"), array("d"))
        self.arrival_ns, self.waited_ns, self.sequence, self.packet_id, self.timestamp = (
            self.columns
        )
        self.payloads: list[bytes] = []

    def gaps(self) -> list[str]:
        """Where a number does not follow the one before it, also that before `clear`."""
        found = []
        for number in self.sequence:
            if self._last is not None and number != self._last + 1:
                found.append(f"{self.path}: {number} where {self._last + 1} was due")
            self._last = number
        return found

    def room(self) -> memoryview:
        """Where the next bytes go."""
        return self._view[self._used :] if self._used else self._view

    def take(self, n_bytes: int, arrival_ns: int, waited_ns: int) -> None:
        """Look at bytes that arrived; 0 of them: the server has gone."""
        if not n_bytes:
            self.closed = self.closed or "the server closed the connection"
            return
        self.n_bytes += n_bytes
        end, start, buffer = self._used + n_bytes, 0, self._buffer
        if not self._upgraded:
            start = after_answer(buffer, end)
            self._upgraded = start > 0
        while self._upgraded and (frame := parse_frame(buffer, start, end)) is not None:
            opcode, first, start = frame
            if opcode < CLOSE:
                fields = packet_fields(buffer, first, start)
                if fields is not None:
                    self.arrival_ns.append(arrival_ns)
                    self.waited_ns.append(waited_ns)
                    self.packet_id.append(fields[0])
                    self.sequence.append(fields[1])
                    self.timestamp.append(fields[2])
                    if self.answers:
                        self.socket.sendall(prediction_frame(fields[0]))
                    if self._keeps:
                        self.payloads.append(bytes(buffer[first:start]))
            elif opcode == PING:
                self.answer(bytes(buffer[first:start]))
            elif opcode == CLOSE:
                # 1005: it has none.
                self.close_code = int.from_bytes(buffer[first : min(first + 2, start)]) or 1005
                self.closed = f"the server closed the stream with {self.close_code}"
        if start < end:
            buffer[: end - start] = buffer[start:end]
        self._used = end - start
        if self._used == len(buffer):
            raise FrameError(f"a frame of more than {len(buffer)} bytes")

    def answer(self, ping: bytes) -> None:
        """Say that somebody is there."""
        self.socket.sendall(masked_frame(PONG, ping))


def receive_one(stream: Stream, until: Callable[[int], bool]) -> None:
    """Receive on one connection until `until(now_ns)` or the end of the stream."""
    receive, now = stream.socket.recv_into, _now_ns
    while stream.closed is None:
        room = stream.room()
        try:
            n_bytes = receive(room)
        except BlockingIOError:
            if until(now()):
                return
            continue
        except ConnectionResetError:
            n_bytes = 0
        arrival_ns = now()
        stream.take(n_bytes, arrival_ns, 0)
        if until(arrival_ns):
            return


def receive_many(streams: list[Stream], until: Callable[[int], bool]) -> None:
    """Receive on several connections until `until(now_ns)` or the end of all streams."""
    by_fd = {stream.socket.fileno(): stream for stream in streams if stream.closed is None}
    now = _now_ns
    batch: list[tuple[Stream, int, int]] = []
    with select.epoll() as epoll:
        for fd in by_fd:
            epoll.register(fd, select.EPOLLIN)
        while by_fd:
            events = epoll.poll(_SILENCE_SECONDS)
            woke_ns = now()
            for fd, _ in events:
                stream = by_fd[fd]
                try:
                    n_bytes = stream.socket.recv_into(stream.room())
                except ConnectionResetError:
                    n_bytes = 0
                batch.append((stream, n_bytes, now()))
            for stream, n_bytes, arrival_ns in batch:
                stream.take(n_bytes, arrival_ns, arrival_ns - woke_ns)
                if stream.closed is not None:
                    epoll.unregister(stream.socket.fileno())
                    del by_fd[stream.socket.fileno()]
            batch.clear()
            if until(woke_ns):
                return


def clocks_since(cpu_seconds: float, offset: tuple[int, int]) -> Message:
    """What is told of a slice: CPU of this process, and how its clocks lay to each other.

    Args:
        cpu_seconds: of this process when the slice began.
        offset: then.
    """
    return {
        "cpu_seconds": time.process_time() - cpu_seconds,
        "wall_offsets": [offset, wall_offset_ns()],
    }


def wall_offset_ns() -> tuple[int, int]:
    """When, and CLOCK_REALTIME minus CLOCK_MONOTONIC: from the tightest of some readings."""
    readings = [(_now_ns(), time.time_ns(), _now_ns()) for _ in range(20)]
    before, wall, after = min(readings, key=lambda each: each[2] - each[0])
    return before, wall - (before + after) // 2


def run(config: Message) -> None:
    """Connect, wait for the first packets, receive for as long as told, again and again."""
    os.nice(config.get("nice", 0))
    keeps = config.get("keeps", False)
    streams = [
        Stream(config["host"], config["port"], path, keeps=keeps) for path in config["paths"]
    ]
    # Nothing here makes cycles, and a collection must not fall between a packet and its stamp.
    gc.disable()
    give_up_ns = _now_ns() + int(_FIRST_PACKET_SECONDS * _NS)

    def receive(until: Callable[[int], bool]) -> None:
        if len(streams) == 1:
            receive_one(streams[0], until)
        else:
            receive_many(streams, until)

    receive(lambda now_ns: now_ns > give_up_ns or all(s.arrival_ns for s in streams))
    for stream in streams:
        if not stream.arrival_ns:
            fail(stream.closed or f"no packet within {_FIRST_PACKET_SECONDS:g} s")
    tell({"first_packet_ns": [s.arrival_ns[0] - s.connect_ns for s in streams]})
    while True:
        told_to = hear()
        end_ns = told_to["end_ns"]
        for stream in streams:
            stream.answers = told_to.get("answers", False)
        n_bytes = sum(stream.n_bytes for stream in streams)
        cpu_seconds, offset = time.process_time(), wall_offset_ns()
        receive(lambda now_ns: now_ns >= end_ns)  # noqa: B023
        told = clocks_since(cpu_seconds, offset)
        gaps = [gap for stream in streams for gap in stream.gaps()]
        tell(
            told
            | {
                "columns": [stream.columns for stream in streams],
                "payloads": [stream.payloads for stream in streams],
                "bytes": sum(stream.n_bytes for stream in streams) - n_bytes,
                "closed": [stream.closed for stream in streams],
                "n_gaps": len(gaps),
                "gaps": gaps[:_GAPS_KEPT],
            }
        )
        for stream in streams:
            stream.clear()
