"""Process: disturbs a server: other sessions come, are filtered, sought and go; REST is polled;
hostile connections come.

Talk: hears where and how much; tells `{"ready": True}`; then, for every line that it hears, tells
for how long it has disturbed, and by what was done how often, and how often it failed.
`{"stop": True}` ends the disturbance.
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

from tests.e2e.hostile import Case, corpus, play

from .children import Message, hear, tell
from .frames import upgrade_request
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


def operations(server: Server, n_trials: int) -> Iterator[Action]:
    """Sessions that come, are listened to, are sought and go, step by step.

    Args:
        server: where.
        n_trials: for so many there are listeners with a filter; 0: there is none with one.
    """
    for n in itertools.count():
        code = f"churn-{uuid.uuid4().hex[:8]}"
        query = f"?trial_id={n % n_trials}" if n_trials else ""
        yield partial(_ok, server, "POST", "/api/sessions/create", {"custom_code": code})
        with socket.socket() as listener:
            listener.settimeout(10)
            yield partial(_listen, listener, server, f"/stream/binary/{code}{query}")
            yield partial(_ok, server, "POST", f"/api/control/{code}/seek", {"packet_id": 100})
            yield partial(_ok, server, "DELETE", f"/api/sessions/{code}")


def _listen(listener: socket.socket, server: Server, path: str) -> bool:
    listener.connect((server.host, server.port))
    listener.sendall(upgrade_request(server.host, server.port, path))
    return b" 101" in listener.recv(4096).split(b"\r\n", 1)[0]


def _ok(server: Server, method: str, path: str, body: dict[str, object] | None = None) -> bool:
    return server.call(method, path, body)[0] == 200


def requests(server: Server, code: str) -> Iterator[Action]:
    """Ask the routes that are polled, in turn."""
    for path in itertools.cycle(polled_routes(code)):
        yield partial(_ok, server, "GET", path)


def hostilities(server: Server) -> Iterator[Action]:
    """Connections that mean no good: those that the tests try, again and again."""

    def act(case: Case) -> bool:
        play(f"{server.host}:{server.port}", case)
        return True

    for case in itertools.cycle(corpus().values()):
        yield partial(act, case)


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
    # A thread each, and a connection each.
    servers = [Server(f"{config['host']}:{config['port']}", None) for _ in range(3)]
    kinds = {
        OPERATIONS: operations(servers[0], config["n_trials"]),
        REQUESTS: requests(servers[1], config["code"]),
        HOSTILE: hostilities(servers[2]),
    }
    wanted = {kind: rate for kind, rate in config["per_second"].items() if rate}
    paces = {kind: Pace(rate, kinds[kind]) for kind, rate in wanted.items()}
    began = time.monotonic()
    tell({"ready": True})
    while True:
        is_over = hear().get("stop", False)
        seconds = time.monotonic() - began
        if is_over:
            for pace in paces.values():
                pace.stop()
        calls = {kind: (pace.done, pace.failed) for kind, pace in paces.items()}
        tell({"seconds": seconds, "calls": calls})
        if is_over:
            return
