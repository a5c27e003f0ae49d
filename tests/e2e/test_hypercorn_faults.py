"""hypercorn as it comes, under Trio, beside hypercorn guarded: what ends the worker there.

When a test of the first kind fails, hypercorn has been mended in that respect. When all of them
do, phantomlink/hypercorn_guard.py can go.
"""

from __future__ import annotations

from functools import partial

import hypercorn.trio.run
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.trio.tcp_server import TCPServer

from phantomlink import hypercorn_guard
from phantomlink.hypercorn_guard import GuardedTCPServer, guard_hypercorn
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
        while (await receive())["type"] != "websocket.disconnect":
            pass
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def survives(data: bytes) -> bool:
    """Whether the worker is there after a connection that sent this, and another that asks."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.graceful_timeout = 0.1
    config.accesslog = config.errorlog = None
    asked = False
    try:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                binds = await nursery.start(partial(serve, toy_app, config))
                host, port = binds[0].removeprefix("http://").split(":")
                async with await trio.open_tcp_stream(host, int(port)) as stream:
                    await stream.send_all(data)
                    with trio.move_on_after(0.5):
                        while await stream.receive_some():
                            pass
                async with await trio.open_tcp_stream(host, int(port)) as stream:
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
    assert guard_hypercorn()
    assert hypercorn.trio.run.TCPServer is GuardedTCPServer


@pytest.mark.parametrize("name", FAULTS)
async def test_as_it_comes_hypercorn_ends_on_this(as_it_comes, name):
    assert not await survives(FAULTS[name])


@pytest.mark.parametrize("name", FAULTS)
async def test_guarded_it_does_not(guarded, name):
    assert await survives(FAULTS[name])


@pytest.mark.usefixtures("as_it_comes")
async def test_what_means_no_harm_does_none_to_either():
    assert await survives(upgrade())
    guard_hypercorn()
    assert await survives(upgrade())


def test_a_hypercorn_that_is_not_known_is_left_alone_and_named(as_it_comes, monkeypatch, caplog):
    monkeypatch.setattr(hypercorn_guard, "version", lambda _: "0.19.0")
    assert not guard_hypercorn()
    assert hypercorn.trio.run.TCPServer is TCPServer
    assert "hypercorn 0.19.0" in caplog.text


async def test_a_guarded_connection_that_is_cancelled_is_cancelled(guarded):
    """The barrier must not swallow the end of the server."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.graceful_timeout = 0.1
    config.accesslog = config.errorlog = None
    leave = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            serving = partial(serve, toy_app, config, shutdown_trigger=leave.wait)
            binds = await nursery.start(serving)
            host, port = binds[0].removeprefix("http://").split(":")
            stream = await trio.open_tcp_stream(host, int(port))
            await stream.send_all(upgrade())
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
            leave.set()
        await stream.aclose()
