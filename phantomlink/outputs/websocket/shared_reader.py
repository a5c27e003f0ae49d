"""One task that reads what many clients send.

Theory of operation. Where a task waits for each connection, a message costs a wake-up of the loop,
a turn of the task and two calls of the kernel beside the one that reads: a hundred clients that
answer 40 times a second took more of a core than their packets. So connections of which small
messages come wait in one epoll object, and one task reads all that are ready. Where it had to do so
less than 5 ms before, it looks again no earlier than 2 ms later: what comes meanwhile costs no
wake-up of its own.

That blurs no latency. The kernel notes when the last byte of what is read arrived (SO_TIMESTAMPNS,
for TCP since Linux 4.14), and that is when a message is said to have come.

Only Linux has epoll; elsewhere each connection is read by its own task.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from phantomlink.scheduling.loop_budget import LoopBudget, after_late_ticks

_LOOK_EVERY_SECONDS = 0.002
_BUSY_NS = 5_000_000
_READ_BYTES = 4096
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the socket module does not have it
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if sys.platform == "linux" else 0

Take = Callable[[bytes, int], bool]
"""Has what was read and when it arrived, monotonic ns; answers whether to go on reading."""


class SharedReading:
    """One connection of a `SharedReader`.

    Args:
        reader: that it is one of.
        sock: its socket.
        take: has what is read; nothing for the end of the stream.
    """

    def __init__(self, reader: SharedReader, sock: socket.socket, take: Take) -> None:
        self._reader = reader
        self._socket = sock
        self._take = take
        self._last_read_ns = time.monotonic_ns()
        self._is_over = trio.Event()
        self._error: Exception | None = None
        with suppress(OSError):  # Without it, messages came when they were read.
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    async def read(self) -> None:
        """Give `take` what comes, until it wants no more.

        Raises:
            BrokenResourceError: the client is gone.
            ClosedResourceError: the connection is closed here.
        """
        self._is_over, self._error = trio.Event(), None
        number = self._socket.fileno()
        self._reader.add(number, self)
        try:
            await self._is_over.wait()
        finally:
            self._reader.discard(number, self)
        self._raise_error()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback has this frame: both would stay until garbage is collected.
                del error

    def close(self) -> None:
        """The socket is about to be closed."""
        self._end(trio.ClosedResourceError("this WebSocket was closed here"))

    def ready(self) -> None:
        """There is something to be read."""
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                _READ_BYTES, _ANCILLARY_BYTES, socket.MSG_DONTWAIT
            )
            # In this order: who is held up in between is said to be late rather than early.
            wall_ns, now_ns = time.time_ns(), time.monotonic_ns()
            stamp_ns = _stamp_ns(ancillary)
            age_ns = 0 if stamp_ns is None else wall_ns - stamp_ns
            # A wall clock that was set meanwhile moves it no further than this.
            arrived_ns = min(max(now_ns - age_ns, self._last_read_ns), now_ns)
            self._last_read_ns = now_ns
            if not self._take(data, arrived_ns) or not data:
                self._end(None)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._end(_broken_by(error))
        except Exception as error:  # noqa: BLE001 - its own task raises it
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        self._reader.discard(self._socket.fileno(), self)
        self._error = error
        self._is_over.set()


class SharedReader:
    """Reads many connections."""

    def __init__(self) -> None:
        self._epoll: Any = None
        self._readings: dict[int, SharedReading] = {}

    @property
    def is_running(self) -> bool:
        """Whether it reads."""
        return self._epoll is not None

    async def run(self, between: Callable[[], None]) -> None:
        """Read until cancelled; where there is no epoll, nothing.

        Args:
            between: called after each that was read, for what must not wait until all have been.
        """
        if sys.platform != "linux":
            return
        with select.epoll() as epoll:
            self._epoll = epoll
            is_busy, looked_ns = False, 0
            try:
                while True:
                    if is_busy:
                        await trio.sleep(_LOOK_EVERY_SECONDS)
                    await trio.lowlevel.wait_readable(epoll.fileno())
                    if is_busy:
                        await after_late_ticks()
                    budget, now_ns = LoopBudget(), time.monotonic_ns()
                    is_busy = now_ns - looked_ns < _BUSY_NS
                    looked_ns = now_ns
                    for number, _ in epoll.poll(0):
                        reading = self._readings.get(number)
                        if reading is not None:
                            reading.ready()
                        between()
                        if budget.is_over:
                            await budget.end_after_late_ticks()
            finally:
                self._epoll = None

    def add(self, number: int, reading: SharedReading) -> None:
        """Read from this descriptor."""
        self._readings[number] = reading
        self._epoll.register(number, select.EPOLLIN)

    def discard(self, number: int, reading: SharedReading) -> None:
        """Read from this descriptor no more."""
        if self._readings.get(number) is reading:
            del self._readings[number]
            if self._epoll is not None:
                self._epoll.unregister(number)


def _broken_by(error: OSError) -> trio.BrokenResourceError:
    # No frame that the error's traceback has may know both.
    broken = trio.BrokenResourceError("the client is gone")
    broken.__cause__ = error
    return broken


def _stamp_ns(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """When the last byte that was read arrived, Unix ns."""
    for _, kind, value in ancillary:
        if kind == _SO_TIMESTAMPNS and len(value) == _TIMESPEC.size:
            seconds, ns = _TIMESPEC.unpack(value)
            return int(seconds) * 1_000_000_000 + int(ns)
    return None
