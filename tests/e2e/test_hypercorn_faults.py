"""hypercorn as it comes, under Trio, beside hypercorn guarded: what ends the worker there.

When a test of the first kind fails, hypercorn has been mended in that respect. When all of them
do, phantomlink/asgi/hypercorn_guard.py can go.
"""

from __future__ import annotations

from functools import partial

import hypercorn.trio.run
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.trio.tcp_server import TCPServer

from phantomlink.access.pending_connections import PendingConnections
from phantomlink.asgi import hypercorn_guard
from phantomlink.asgi.hypercorn_guard import GuardedTCPServer, guard_hypercorn
from tests.e2e.test_front import masked, upgrade

FAULTS = {
    "a byte behind the upgrade": upgrade(body=b"x"),
    "a frame behind the upgrade": upgrade(body=masked(1, b"hi")),
    "an upgrade with a body": upgrade(Content_Length="4", body=b"body"),
    "a chunked upgrade": upgrade(Transfer_Encoding="chunked", body=b"0\r\n\r\n"),
    "a sub-protocol that is not ASCII": upgrade(Sec_WebSocket_Protocol="caf\xe9"),
    "an extension that is not ASCII": upgrade(Sec_WebSocket_Extensions="caf\xe9"),
}


async def toy_app(scope, receive, send):
    """Accepts every WebSocket, and answers every request."""
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/first":
            await receive()
            return
        while scope["path"] == "/talk":
            await send({"type": "websocket.send", "bytes": bytes(65536)})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def quiet() -> Config:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.graceful_timeout = 0.1
    config.accesslog = config.errorlog = None
    return config


async def connected(binds: list[str]) -> trio.SocketStream:
    host, port = binds[0].removeprefix("http://").split(":")
    return await trio.open_tcp_stream(host, int(port))


async def survives(data: bytes) -> bool:
    """Whether the worker is there after a connection that sent this, and another that asks."""
    asked = False
    try:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                binds = await nursery.start(partial(serve, toy_app, quiet()))
                async with await connected(binds) as stream:
                    await stream.send_all(data)
                    with trio.move_on_after(0.5):
                        while await stream.receive_some():
                            pass
                async with await connected(binds) as stream:
                    await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    asked = (await stream.receive_some()).startswith(b"HTTP/1.1 200")
                nursery.cancel_scope.cancel()
    except* Exception:  # noqa: BLE001 (what it raises is what is asked for)
        asked = False
    return asked


@pytest.fixture
def as_it_comes(monkeypatch):
    monkeypatch.setattr(hypercorn.trio.run, "TCPServer", TCPServer)


@pytest.fixture
def guarded(as_it_comes):
    assert guard_hypercorn(PendingConnections(100, 100))
    assert hypercorn.trio.run.TCPServer.func is GuardedTCPServer


@pytest.mark.parametrize("name", FAULTS)
async def test_as_it_comes_hypercorn_ends_on_this(as_it_comes, name):
    assert not await survives(FAULTS[name])


@pytest.mark.parametrize("name", FAULTS)
async def test_guarded_it_does_not(guarded, name):
    assert await survives(FAULTS[name])


@pytest.mark.usefixtures("as_it_comes")
async def test_what_means_no_harm_does_none_to_either():
    assert await survives(upgrade())
    guard_hypercorn(PendingConnections(100, 100))
    assert await survives(upgrade())


async def is_left_after_a_flood() -> bool:
    """Whether a handler stays of a client that floods an application which ends meanwhile."""
    leave = trio.Event()
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(partial(serve, toy_app, quiet(), shutdown_trigger=leave.wait))
        await trio.sleep(0.2)  # until all of its own tasks run
        before = trio.lowlevel.current_statistics().tasks_living
        async with await connected(binds) as stream:
            await stream.send_all(upgrade("/first"))
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
            await stream.send_all(masked(2, b"x") * 5000)
            await trio.sleep(0.2)
        with trio.move_on_after(2) as waiting:
            while trio.lowlevel.current_statistics().tasks_living > before:  # noqa: ASYNC110
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    return waiting.cancelled_caught


async def ends_beside_a_client_that_does_not_read() -> bool:
    """Whether the worker ends when it is told to."""
    leave = trio.Event()
    with trio.move_on_after(3) as waiting:
        async with trio.open_nursery() as nursery:
            serving = partial(serve, toy_app, quiet(), shutdown_trigger=leave.wait)
            binds = await nursery.start(serving)
            stream = await connected(binds)
            nursery.start_soon(close_after, stream, 4.0)
            await stream.send_all(upgrade("/talk"))
            await trio.sleep(0.3)
            started = trio.current_time()
            leave.set()
            while trio.lowlevel.current_statistics().tasks_living and nursery.child_tasks:
                if len(nursery.child_tasks) == 1:
                    break
                await trio.sleep(0.05)
                if trio.current_time() - started > 2:
                    break
            ended = len(nursery.child_tasks) == 1
            nursery.cancel_scope.cancel()
    return ended and not waiting.cancelled_caught


async def close_after(stream: trio.SocketStream, seconds: float) -> None:
    """Free a worker that cannot end by itself."""
    with trio.CancelScope(shield=True):
        await trio.sleep(seconds)
        await trio.aclose_forcefully(stream)


@pytest.mark.usefixtures("as_it_comes")
async def test_a_handler_stays_for_ever_of_a_flood_and_guarded_it_does_not(monkeypatch):
    monkeypatch.setattr(hypercorn_guard, "_OVER_SECONDS", 0.2)
    assert await is_left_after_a_flood()
    guard_hypercorn(PendingConnections(100, 100))
    assert not await is_left_after_a_flood()


@pytest.mark.usefixtures("as_it_comes")
async def test_a_client_that_does_not_read_keeps_the_worker_and_guarded_it_does_not():
    assert not await ends_beside_a_client_that_does_not_read()
    guard_hypercorn(PendingConnections(100, 100))
    assert await ends_beside_a_client_that_does_not_read()


def test_a_hypercorn_that_is_not_known_is_left_alone_and_named(as_it_comes, monkeypatch, caplog):
    monkeypatch.setattr(hypercorn_guard, "version", lambda _: "0.19.0")
    assert not guard_hypercorn(PendingConnections(100, 100))
    assert hypercorn.trio.run.TCPServer is TCPServer
    assert "hypercorn 0.19.0" in caplog.text


async def test_a_guarded_connection_that_is_cancelled_is_cancelled(guarded):
    """The barrier must not swallow the end of the server."""
    leave = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            serving = partial(serve, toy_app, quiet(), shutdown_trigger=leave.wait)
            stream = await connected(await nursery.start(serving))
            await stream.send_all(upgrade())
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
            leave.set()
        await stream.aclose()
