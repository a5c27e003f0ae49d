"""Process: disturbs a server: other sessions come, are filtered, sought and go; REST is polled;
hostile connections come.

Talk: hears where and how much; tells `{"ready": true}`; then, for every line that it hears, tells
for how long it has disturbed, and by what was done how often, and how often it failed.
`{"stop": true}` ends the disturbance.
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

from .children import Message, enter, hear, tell
from .frames import upgrade_request
from .hostile import hostilities
from .server import Server

Action = Callable[[], bool]  # whether it succeeded

OPERATIONS, REQUESTS, HOSTILE = "churn", "REST calls", "hostile connections"


class Pace:
    """Does something at a rate, in a thread, until told to stop; counts it."""

    def __init__(self, per_second: float, actions: Iterator[Action]) -> None:
        self.done = 0
        self.failed = 0
        self._period = 1 / per_second
        self._actions = actions
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
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
            # What came too late is not sent later: a slow answer must not lead to a burst.
            due = max(due + self._period, time.monotonic())


class Visit:
    """A session that comes, is listened to with a filter, sought, and goes."""

    def __init__(self, server: Server, trial_id: int | None) -> None:
        self._server = server
        self._query = "" if trial_id is None else f"?trial_id={trial_id}"
        self._code = f"churn-{uuid.uuid4().hex[:8]}"
        self._listener: socket.socket | None = None

    def come(self) -> bool:
        return self._ok("POST", "/api/sessions/create", {"custom_code": self._code})

    def listen(self) -> bool:
        address = self._server.host, self._server.port
        self._listener = socket.create_connection(address, timeout=10)
        path = f"/stream/binary/{self._code}{self._query}"
        self._listener.sendall(upgrade_request(*address, path))
        return b" 101" in self._listener.recv(4096).split(b"\r\n", 1)[0]

    def seek(self) -> bool:
        return self._ok("POST", f"/api/control/{self._code}/seek", {"packet_id": 100})

    def go(self) -> bool:
        gone = self._ok("DELETE", f"/api/sessions/{self._code}")
        if self._listener is not None:
            self._listener.close()
        return gone

    def _ok(self, method: str, path: str, body: dict[str, object] | None = None) -> bool:
        return self._server.call(method, path, body)[0] == 200


def operations(server: Server, n_trials: int) -> Iterator[Action]:
    """Visit after visit, step by step; with filters for so many trials, of 0 without."""
    for n in itertools.count():
        visit = Visit(server, n % n_trials if n_trials else None)
        yield from (visit.come, visit.listen, visit.seek, visit.go)


def requests(server: Server, code: str) -> Iterator[Action]:
    """Ask the routes that are polled, in turn."""

    def ask(path: str) -> bool:
        return server.call("GET", path)[0] == 200

    for path in itertools.cycle(polled_routes(code)):
        yield partial(ask, path)


def polled_routes(code: str) -> list[str]:
    """The routes that people poll."""
    return [
        "/health",
        "/api/stats",
        f"/api/stats/{code}",
        f"/api/control/{code}/position",
        "/metrics",
        f"/api/sessions/{code}/timing",
    ]


def run(config: Message) -> None:
    """Disturb until told to stop."""
    host, port = config["host"], config["port"]
    kinds: dict[str, Iterator[Action]] = {
        OPERATIONS: operations(Server(f"{host}:{port}", None), config["n_trials"]),
        REQUESTS: requests(Server(f"{host}:{port}", None), config["code"]),
        HOSTILE: hostilities(host, port),
    }
    wanted = {kind: rate for kind, rate in config["per_second"].items() if rate}
    paces = {kind: Pace(rate, kinds[kind]) for kind, rate in wanted.items()}
    began = time.monotonic()
    tell({"ready": True})
    is_over = False
    while not is_over:
        is_over = hear().get("stop", False)
        seconds = time.monotonic() - began
        if is_over:
            for pace in paces.values():
                pace.stop()
        calls = {kind: (pace.done, pace.failed) for kind, pace in paces.items()}
        tell({"seconds": seconds, "calls": calls})


if __name__ == "__main__":
    enter(run, OSError)
