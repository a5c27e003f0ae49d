"""Process: disturbs a server: other sessions come, are filtered, sought and go; REST is polled.

Talk: hears where; tells `{"ready": true}`; disturbs until it hears a line; tells what it did.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException

from .rest import Rest
from .talk import fail, hear, tell

Action = Callable[[], bool]  # whether it succeeded

_TRIALS = 16


class Pace:
    """Does something at a rate, in a thread, until told to stop; counts it."""

    def __init__(self, per_second: float, actions: Iterator[Action]) -> None:
        self.done = 0
        self.failed = 0
        self._period = 1 / per_second
        self._actions = actions
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped.wait(max(due - time.monotonic(), 0)):
            try:
                succeeded = next(self._actions)()
            except (OSError, HTTPException):
                succeeded = False
            self.done += 1
            self.failed += not succeeded
            # What came too late is not made up for: a slow answer must not lead to a burst.
            due = max(due + self._period, time.monotonic())


class Visit:
    """A session that comes, is listened to with a filter, sought, and goes."""

    def __init__(self, rest: Rest, host: str, port: int, trial_id: int | None) -> None:
        self._rest, self._address = rest, (host, port)
        self._query = "" if trial_id is None else f"?trial_id={trial_id}"
        self._code = f"churn-{uuid.uuid4().hex[:8]}"
        self._listener: socket.socket | None = None

    def come(self) -> bool:
        return self._ok("POST", "/api/sessions/create", {"custom_code": self._code})

    def listen(self) -> bool:
        host, port = self._address
        self._listener = socket.create_connection(self._address, timeout=10)
        self._listener.sendall(
            f"GET /stream/binary/{self._code}{self._query} HTTP/1.1\r\n"
            f"Host: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: aml0dGVyIGJlbmNobWFyaw==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        return b" 101" in self._listener.recv(4096).split(b"\r\n", 1)[0]

    def seek(self) -> bool:
        return self._ok("POST", f"/api/control/{self._code}/seek", {"packet_id": 100})

    def go(self) -> bool:
        gone = self._ok("DELETE", f"/api/sessions/{self._code}")
        if self._listener is not None:
            self._listener.close()
        return gone

    def _ok(self, method: str, path: str, body: dict[str, object] | None = None) -> bool:
        return self._rest.call(method, path, body)[0] == 200


def operations(host: str, port: int, n_trials: int = _TRIALS) -> Iterator[Action]:
    """Visit after visit, step by step; with filters for so many trials, of 0 without."""
    rest = Rest(host, port)
    for n in itertools.count():
        visit = Visit(rest, host, port, n % n_trials if n_trials else None)
        yield from (visit.come, visit.listen, visit.seek, visit.go)


def requests(host: str, port: int, code: str) -> Iterator[Action]:
    """Ask the routes that are polled, in turn."""
    rest = Rest(host, port)

    def ask(path: str) -> bool:
        return rest.call("GET", path)[0] == 200

    for path in itertools.cycle(polled_routes(rest, code)):
        yield partial(ask, path)


def polled_routes(rest: Rest, code: str) -> list[str]:
    """The routes that people poll, as far as this server has them."""
    routes = [
        "/health",
        "/api/stats",
        f"/api/stats/{code}",
        f"/api/control/{code}/position",
        "/metrics",
        f"/api/sessions/{code}/timing",
    ]
    return [route for route in routes if rest.call("GET", route)[0] == 200]


def main() -> None:
    """Entry of the process."""
    config = hear()
    host, port = config["host"], config["port"]
    try:
        polled = requests(host, port, config["code"])
        paces = [
            Pace(config["operations_per_second"], operations(host, port)),
            Pace(config["requests_per_second"], polled),
        ]
        for pace in paces:
            pace.start()
        tell({"ready": True})
        began = time.monotonic()
        hear()
        seconds = time.monotonic() - began
        for pace in paces:
            pace.stop()
    except OSError as error:
        fail(f"churn: {error}")
    tell(
        {
            "seconds": seconds,
            "operations": paces[0].done,
            "operations_failed": paces[0].failed,
            "requests": paces[1].done,
            "requests_failed": paces[1].failed,
        }
    )


if __name__ == "__main__":
    main()
