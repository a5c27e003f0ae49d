"""Clients that stop reading, and what they find when they read again.

A client that does not read has no room for anything, so that it does not learn of its end either:
neither a close frame nor the end of the connection. So each reads before it goes, until it finds
an end, or a packet that has just left: then it was let stay.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from _bench.frames import CLOSE, FrameError, packet_fields

from .stream import StreamBytes, close_code, stream_request

_SLOW_SECONDS = (5.0, 40.0)
# So small that a client which does not read is soon one whose frames wait in the server.
_RECEIVE_BUFFER_BYTES = 4096
_REST_BUFFER_BYTES, _READ_BYTES = 1 << 20, 1 << 16
# What waits for a client is read in a tenth of this.
_REST_SECONDS = 5.0
_FRESH_SECONDS = 0.25
_AGAIN_SECONDS = 0.5
_TOO_SLOW = 4408


class Ending(StrEnum):
    """What a client found that had not read for a while."""

    TOO_SLOW = "too_slow"
    """It was closed with 4408."""
    CLOSED = "closed"
    """It was closed with another code."""
    CUT_OFF = "cut_off"
    """The connection ended without a close frame: the server had given up to tell it."""
    STAYED = "stayed"
    """It was not ended."""
    REFUSED = "refused"
    """It had not been let in."""


def read_rest(connection: socket.socket, code: str) -> Ending:
    """Read what has come, to its end or to what is sent just now.

    Args:
        connection: that asked for a stream, and of which nothing has been read.
        code: of the session.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _REST_BUFFER_BYTES)
    stream = StreamBytes(code)
    until = time.monotonic() + _REST_SECONDS
    try:
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            data = connection.recv(_READ_BYTES)
            if not data:
                return Ending.CUT_OFF
            for opcode, payload in stream.take(data):
                if opcode == CLOSE:
                    is_slow = close_code(payload) == _TOO_SLOW
                    return Ending.TOO_SLOW if is_slow else Ending.CLOSED
                fields = packet_fields(payload, 0, len(payload)) if opcode < CLOSE else None
                if fields is not None and time.time() - fields[2] < _FRESH_SECONDS:
                    return Ending.STAYED
    except FrameError:
        return Ending.REFUSED
    except TimeoutError:
        pass
    except OSError:
        return Ending.CUT_OFF
    return Ending.STAYED


class SlowClients:
    """So many at once, of the sessions that are listened to; each goes after a while, and another
    comes.

    Args:
        host: of the server.
        port: of it.
        codes: of the sessions.
        n: clients at once.
        seconds: shortest and longest time that one does not read.
    """

    def __init__(
        self,
        host: str,
        port: int,
        codes: Sequence[str],
        n: int,
        seconds: tuple[float, float] = _SLOW_SECONDS,
    ) -> None:
        self._address, self._codes, self._seconds = (host, port), codes, seconds
        self._came = 0
        self._endings = Counter[Ending]()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(k),), daemon=True)
            for k in range(n)
        ]
        for thread in self._threads:
            thread.start()

    def done(self) -> dict[str, int]:
        """How many came, and what became of those that have gone, by `Ending`."""
        with self._lock:
            return {"came": self._came} | {each.value: self._endings[each] for each in Ending}

    def stop(self) -> None:
        """Let those that are there read, and go."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * _REST_SECONDS)

    def _run(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            code = chance.choice(self._codes)
            try:
                with self._come(code) as connection:
                    self._stop.wait(chance.uniform(*self._seconds))
                    ending = read_rest(connection, code)
            except OSError:
                ending = None
            if ending is not None:
                with self._lock:
                    self._endings[ending] += 1
            if ending in (None, Ending.REFUSED):
                self._stop.wait(_AGAIN_SECONDS)

    def _come(self, code: str) -> socket.socket:
        connection = socket.socket()
        connection.settimeout(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        try:
            connection.connect(self._address)
            connection.sendall(stream_request(*self._address, code))
        except OSError:
            connection.close()
            raise
        with self._lock:
            self._came += 1
        return connection
