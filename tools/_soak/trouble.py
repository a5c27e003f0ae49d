"""Process: everything that disturbs: churn, REST load, slow clients, hostile connections.

Talk: hears where and how much; tells `{"ready": true}`; then, for every line that it hears, tells
what it has done so far.
"""

from __future__ import annotations

import itertools
import random
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPException

from _bench.churn import Action, Pace, operations, requests
from _bench.talk import fail, hear, tell

from .hostile import corpus, play

_SLOW_SECONDS = (5.0, 40.0)
# So small that a client which does not read is soon one whose frames wait in the server.
_RECEIVE_BUFFER_BYTES = 4096


class SlowClients:
    """Clients of the sessions that are listened to, which stop reading; each goes after a while."""

    def __init__(self, host: str, port: int, codes: Sequence[str], n: int) -> None:
        self.came = 0
        self.closed_by_server = 0
        self._address, self._codes, self._n = (host, port), codes, n
        self._random = random.Random(0)
        self._open: list[tuple[socket.socket, float]] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            for connection, until in list(self._open):
                if until < now or self._has_gone(connection):
                    connection.close()
                    self._open.remove((connection, until))
            while len(self._open) < self._n and self._come(now):
                pass
            time.sleep(0.5)

    def _come(self, now: float) -> bool:
        connection = socket.socket()
        connection.settimeout(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        host, port = self._address
        try:
            connection.connect(self._address)
            connection.sendall(
                f"GET /stream/binary/{self._random.choice(self._codes)} HTTP/1.1\r\n"
                f"Host: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: aml0dGVyIGJlbmNobWFyaw==\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )
        except OSError:
            connection.close()
            return False
        self.came += 1
        self._open.append((connection, now + self._random.uniform(*_SLOW_SECONDS)))
        return True

    def _has_gone(self, connection: socket.socket) -> bool:
        """Whether the server has ended it; nothing of what it sent is read for that."""
        poll = select.poll()
        poll.register(connection, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        gone = bool(poll.poll(0))
        self.closed_by_server += gone
        return gone


def hostilities(host: str, port: int) -> Iterator[Action]:
    """The corpus, again and again, closed and reset in turn."""

    def act(data: bytes, *, reset: bool) -> bool:
        with suppress(ConnectionError):
            play((host, port), data, reset=reset)
        return True

    for n in itertools.count():
        for data in corpus().values():
            yield partial(act, data, reset=bool(n % 2))


def main() -> None:
    """Entry of the process."""
    config = hear()
    host, port, codes = config["host"], config["port"], config["codes"]
    try:
        paces = {
            "churn": Pace(config["churn_per_second"], operations(host, port, config["n_trials"])),
            "REST calls": Pace(config["requests_per_second"], requests(host, port, codes[0])),
            "hostile connections": Pace(config["hostile_per_second"], hostilities(host, port)),
        }
        for pace in paces.values():
            pace.start()
        slow = SlowClients(host, port, codes, config["slow_clients"])
    except (OSError, HTTPException) as error:
        fail(f"trouble: {error}")
    tell({"ready": True})
    while not hear().get("stop"):
        tell(_done(paces, slow))
    for pace in paces.values():
        pace.stop()
    tell(_done(paces, slow))


def _done(paces: dict[str, Pace], slow: SlowClients) -> dict[str, object]:
    return {
        "calls": {name: [pace.done, pace.failed] for name, pace in paces.items()},
        "slow_clients": slow.came,
        "slow_clients_closed": slow.closed_by_server,
    }


if __name__ == "__main__":
    main()
