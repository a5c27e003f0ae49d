"""The real server in this process, its clients in another."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

import trio

from phantomlink.application import Application
from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.fanout import Release
from phantomlink.server.front import Server
from phantomlink.service.service import Service
from phantomlink.settings.load import load_settings
from phantomlink.wire.encoder import WireFormat

from ..harness.children import Child

_HOST = "127.0.0.1"
_READY_SECONDS = 60.0
_LONGER_THAN_A_RUN_NS = 10**14


@dataclass(frozen=True, slots=True)
class Scenario:
    """Some sessions that play at once.

    Attributes:
        sessions: each with a playhead of its own.
        clients: of each session, over WebSocket.
        rate_hz: packets a second of each session.
    """

    sessions: int
    clients: int
    rate_hz: int = 40

    @property
    def name(self) -> str:
        """As it is asked for and shown."""
        rate = "" if self.rate_hz == 40 else f"@{self.rate_hz}"
        return f"{self.sessions}x{self.clients}{rate}"

    @property
    def paths(self) -> list[str]:
        """Where the clients connect to."""
        return [f"/stream/tick-{s}" for s in range(self.sessions) for _ in range(self.clients)]


_ALL = (Scenario(1, 1), Scenario(10, 1), Scenario(100, 1), Scenario(1, 50), Scenario(1, 1, 1000))
SCENARIOS = {scenario.name: scenario for scenario in _ALL}


class Live:
    """A server with its clients connected.

    Args:
        service: of the server.
        scenario: what is to run there.
        url: of it, for WebSockets.
    """

    def __init__(self, service: Service, scenario: Scenario, url: str) -> None:
        self.service = service
        self.url = url
        self._scenario = scenario

    def check(self) -> None:
        """See that everybody is still there.

        Raises:
            RuntimeError: a session or a client has gone.
        """
        sessions, paths = self.service.registry, self._scenario.paths
        found = (len(sessions), sum(session.n_listening for session in sessions))
        if found != (wanted := (len(set(paths)), len(paths))):
            raise RuntimeError(
                f"expected {wanted[0]} sessions with {wanted[1]} clients, found {found[0]} with "
                f"{found[1]}: the server's log says why"
            )

    @property
    def n_ticks(self) -> int:
        """Packets that all playheads have released so far."""
        return sum(
            playback.playhead.sequence_number
            for session in self.service.registry
            for playback in session.playbacks().values()
        )

    async def frame(self) -> bytes:
        """A frame as the clients get it."""
        session = next(iter(self.service.registry))
        release: Release = await session.playback(NO_FILTER).peek()
        release.prepare(WireFormat.MSGPACK)
        release.stamp(0, 0.0)
        return bytes(release.frame(WireFormat.MSGPACK).buffer)


@asynccontextmanager
async def live(scenario: Scenario, recording: str | None) -> AsyncIterator[Live]:
    """Serve a scenario until left; every client has had a packet when this begins."""
    settings = replace(
        load_settings(),
        stream_frequency_hz=Fraction(scenario.rate_hz),
        max_sessions=scenario.sessions,
        # Nobody has an inlet here, and outlets would only add threads.
        lsl_enabled=False,
    )
    logging.disable(logging.INFO)
    app = Application(settings, recording)
    async with trio.open_nursery() as nursery:
        await nursery.start(app.run_service)
        service = app.get_service()
        with trio.fail_after(_READY_SECONDS):
            # Its thread takes the interpreter now and then; there is no event for its end.
            while service.sha256 is None:  # noqa: ASYNC110
                await trio.sleep(0.01)
        listeners = await trio.open_tcp_listeners(0, host=_HOST)
        port = listeners[0].socket.getsockname()[1]
        await nursery.start(Server(app, settings).run, listeners)
        with _reading(port, scenario.paths) as clients:
            await trio.to_thread.run_sync(clients.read, _READY_SECONDS)
            yield Live(service, scenario, f"ws://{_HOST}:{port}")
        app.stop()
        nursery.cancel_scope.cancel()


@contextmanager
def _reading(port: int, paths: Sequence[str | None]) -> Iterator[Child]:
    """A process that connects and reads until this is left."""
    config = {"host": _HOST, "port": port, "paths": paths}
    with Child("harness.receiver", config) as clients:
        clients.say({"end_ns": time.monotonic_ns() + _LONGER_THAN_A_RUN_NS})
        yield clients


@contextmanager
def plain_connection() -> Iterator[socket.socket]:
    """A TCP connection that a reader at the other end empties."""
    with (
        socket.create_server((_HOST, 0)) as listener,
        _reading(listener.getsockname()[1], [None]),
        listener.accept()[0] as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection
