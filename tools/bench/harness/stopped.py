"""Process: clients that stop reading, and what they find when they read again.

A client that does not read has no room for anything, so that it does not learn of its end either:
neither a close frame nor the end of the connection. So each reads before it goes, until it finds
an end, or a packet that has just left: then it was let stay.

Talk: hears where, how many and for how long; tells `{"ready": True}`; then, for every line that it
hears, how many came and the codes that those found that have gone. `{"stop": True}` lets all go.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence

from .children import Message, hear, tell
from .frames import FrameError
from .receiver import Stream, receive_one

STAYED, CUT_OFF, REFUSED = 0, 1006, 503
"""Not codes that a server sends: still open; ended without a close frame; not let in."""

_REST_BUFFER_BYTES = 1 << 20
# What waits for a client is read in a tenth of this.
_REST_SECONDS = 5.0
_FRESH_SECONDS = 0.25
_AGAIN_SECONDS = 0.5


class StoppedStream(Stream):
    """A client that has asked for a stream, and reads nothing of it yet."""

    # So small that a client which does not read is soon one whose frames wait in the server.
    buffer_bytes = 4096

    def answer(self, ping: bytes) -> None:
        """It is too late: who asked may have gone, and what it said last is still to be read."""

    def read_rest(self) -> int:
        """Read what has come, to its end or to what is sent just now; the close code, or above."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _REST_BUFFER_BYTES)
        until_ns = time.monotonic_ns() + int(_REST_SECONDS * 1e9)

        def is_over(now_ns: int) -> bool:
            is_fresh = self.timestamp and time.time() - self.timestamp[-1] < _FRESH_SECONDS
            return bool(is_fresh) or now_ns > until_ns

        try:
            receive_one(self, is_over)
        except FrameError:
            return REFUSED
        except OSError:
            return CUT_OFF
        return STAYED if self.closed is None else self.close_code or CUT_OFF


class StoppedClients:
    """So many at once; each goes after a while, and another comes.

    Args:
        host, port: of the server.
        paths: of the streams; each takes one of them.
        n: clients at once.
        seconds: shortest and longest time that one does not read.
    """

    def __init__(
        self, host: str, port: int, paths: Sequence[str], n: int, seconds: tuple[float, float]
    ) -> None:
        self._address, self._paths, self._seconds = (host, port), paths, seconds
        self._came: list[str] = []
        self._codes: list[int] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(k),), daemon=True)
            for k in range(n)
        ]
        for thread in self._threads:
            thread.start()

    def done(self) -> Message:
        """How many came, and [code, how often] of those that have gone."""
        return {"came": len(self._came), "codes": sorted(Counter(self._codes).items())}

    def stop(self) -> None:
        """Let those that are there read, and go."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * _REST_SECONDS)

    def _run(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            try:
                stream = StoppedStream(*self._address, chance.choice(self._paths))
            except OSError:
                self._stop.wait(_AGAIN_SECONDS)
                continue
            self._came.append(str(stream.path))
            with stream.socket:
                self._stop.wait(chance.uniform(*self._seconds))
                code = stream.read_rest()
            self._codes.append(code)
            if code == REFUSED:
                self._stop.wait(_AGAIN_SECONDS)


def run(config: Message) -> None:
    """Be there until told to go."""
    os.nice(config.get("nice", 0))
    where = config["host"], config["port"], config["paths"]
    clients = StoppedClients(*where, config["n"], config["seconds"])
    tell({"ready": True})
    while not hear().get("stop"):
        tell(clients.done())
    clients.stop()
    tell(clients.done())
