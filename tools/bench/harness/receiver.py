"""Process: receives packets over TCP and notes when each arrived.

Built to be too cheap to measure itself. One connection: a blocking `recv_into` and the clock
right behind it. Several: one `epoll`, and every ready socket is read and stamped before any of
their bytes are looked at. Frames are parsed afterwards, in the slack, and only three numbers of
a packet are looked for; everything else is worked out in another process, after the run.

Talk: hears its config; tells `{"ready": ...}` when every connection has had a packet; then, for
each `{"end_ns": t, "out": file}` that it hears, receives until then and tells what came. Without
`out` the columns are not written. With `payloads` (a file) in its config, each slice writes there
whole packets, as MessagePack: a list for each connection. Times are CLOCK_MONOTONIC ns.
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

import msgpack

from .children import Message, enter, fail, hear, tell
from .frames import (
    CLOSE,
    PING,
    PONG,
    FrameError,
    after_answer,
    close_code,
    masked_frame,
    packet_fields,
    parse_frame,
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
    """

    def __init__(self, host: str, port: int, path: str | None, *, keeps: bool = False) -> None:
        self.path = path
        self._keeps = keeps
        self.clear()
        self._last: int | None = None
        self.closed: str | None = None
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._used = 0
        self._upgraded = path is None
        self.connect_ns = _now_ns()
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.settimeout(None)
        seconds, fraction = divmod(_SILENCE_SECONDS, 1)
        self.socket.setsockopt(
            socket.SOL_SOCKET,
            socket.SO_RCVTIMEO,
            struct.pack("ll", int(seconds), int(fraction * 1e6)),
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if path is not None:
            self.socket.sendall(upgrade_request(host, port, path))

    def clear(self) -> None:
        """Forget what came so far."""
        self.arrival_ns = array("q")
        self.waited_ns = array("q")
        self.sequence = array("q")
        self.packet_id = array("q")
        self.timestamp = array("d")
        self.payloads: list[bytes] = []
        self.n_bytes = 0

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
                    if self._keeps:
                        self.payloads.append(bytes(buffer[first:start]))
            elif opcode == PING:
                self.socket.sendall(masked_frame(PONG, bytes(buffer[first:start])))
            elif opcode == CLOSE:
                code = close_code(buffer[first:start])
                self.closed = f"the server closed the stream with {code}"
        if start < end:
            buffer[: end - start] = buffer[start:end]
        self._used = end - start
        if self._used == len(buffer):
            raise FrameError(f"a frame of more than {len(buffer)} bytes")


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


def wall_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC, from the tightest of some pairs of readings."""
    best: tuple[int, int] | None = None
    for _ in range(20):
        before, wall, after = _now_ns(), time.time_ns(), _now_ns()
        if best is None or after - before < best[0]:
            best = (after - before, wall - (before + after) // 2)
    assert best is not None
    return best[1]


def write_columns(path: str, columns: list[array[int] | array[float]]) -> None:
    """One column after the other, native 8 bytes."""
    with open(path, "wb") as out:
        for column in columns:
            column.tofile(out)


def run(config: Message) -> None:
    """Connect, wait for the first packets, receive for as long as told, again and again."""
    os.nice(config.get("nice", 0))
    payloads = config.get("payloads")
    streams = [
        Stream(config["host"], config["port"], path, keeps=payloads is not None)
        for path in config["paths"]
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
    tell({"ready": True, "first_packet_ns": [s.arrival_ns[0] - s.connect_ns for s in streams]})
    while True:
        slice_(streams, receive, hear(), payloads)


def slice_(
    streams: list[Stream],
    receive: Callable[[Callable[[int], bool]], None],
    asked: Message,
    payloads: str | None,
) -> None:
    """Receive for a while, and tell."""
    end_ns = int(asked["end_ns"])
    offsets, cpu_seconds = [(_now_ns(), wall_offset_ns())], time.process_time()
    n_bytes = [stream.n_bytes for stream in streams]
    receive(lambda now_ns: now_ns >= end_ns)
    cpu_seconds = time.process_time() - cpu_seconds
    offsets.append((_now_ns(), wall_offset_ns()))
    gaps = [gap for stream in streams for gap in stream.gaps()]
    if "out" in asked:
        columns = [
            column
            for s in streams
            for column in (s.arrival_ns, s.waited_ns, s.sequence, s.packet_id, s.timestamp)
        ]
        write_columns(asked["out"], columns)
    if payloads is not None:
        with open(payloads, "wb") as out:
            out.write(msgpack.packb([stream.payloads for stream in streams]))
    tell(
        {
            "rows": [len(stream.arrival_ns) for stream in streams],
            "bytes": [s.n_bytes - before for s, before in zip(streams, n_bytes, strict=True)],
            "closed": [stream.closed for stream in streams],
            "cpu_seconds": cpu_seconds,
            "wall_offsets": offsets,
            "n_gaps": len(gaps),
            "gaps": gaps[:_GAPS_KEPT],
        }
    )
    for stream in streams:
        stream.clear()


if __name__ == "__main__":
    enter(run, OSError, FrameError)
