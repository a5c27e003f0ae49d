"""A WebSocket server that does what a test tells it to, connection after connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from tests.client_messages import metadata, packet


@dataclass
class Connection:
    """What is done on one connection: packets, then a close code, or a refusal by a status."""

    packets: list[bytes] = field(default_factory=list)
    code: int = 1000
    reason: str = ""
    status: int | None = None
    is_broken: bool = False
    first: bytes = field(default_factory=metadata)


@dataclass
class ScriptedServer:
    """Where it listens, and what its clients asked for and sent."""

    port: int = 0
    paths: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def plain(*packet_ids: int, **how) -> Connection:
    """These packets, and then how it ends."""
    return Connection([packet(packet_id) for packet_id in packet_ids], **how)


def _first(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


@contextmanager
def scripted_server(*script: Connection, answers: int = 0) -> Iterator[ScriptedServer]:
    """Serve one connection after another as the script has it; the last one is served again.

    Args:
        script: what is done.
        answers: messages to wait for from the client before a connection is closed.
    """
    scripted = ScriptedServer()
    steps: Iterator[Connection] = iter(script)
    current: list[Connection] = [script[0]]

    def refuse(websocket: ServerConnection, request):
        scripted.paths.append(request.path)
        current[0] = next(steps, current[0])
        if current[0].status is not None:
            return websocket.respond(current[0].status, '{"detail": "as the test has it"}')
        return None

    def handle(websocket: ServerConnection) -> None:
        step = current[0]
        websocket.send(step.first)
        for raw in step.packets:
            websocket.send(raw)
        for _ in range(answers):
            scripted.received.append(websocket.recv(timeout=10))
        if step.is_broken:
            websocket.socket.shutdown(socket.SHUT_RDWR)
        else:
            websocket.close(step.code, step.reason)

    server: Server = serve(
        handle, "127.0.0.1", 0, process_request=refuse, select_subprotocol=_first, compression=None
    )
    scripted.port = server.socket.getsockname()[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        thread.join()
