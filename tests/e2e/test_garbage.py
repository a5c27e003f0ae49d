"""What a connection or a session was made of goes with it, and is not left for the collector.

The oldest garbage is collected once in a minute or two. What waits for that, whole sessions with
their histograms and connections with their buffers, is memory; and collecting it is a pause.
"""

import gc
import re
from contextlib import asynccontextmanager, contextmanager

import hypercorn.trio.run
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from phantomlink.app import create_app
from phantomlink.server import front as server
from phantomlink.settings import Settings
from tests.clients import receive
from tests.rest import until

UPGRADE = (
    b"GET /stream/binary/a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aml0dGVyIGJlbmNobWFyaw==\r\n\r\n"
)
RESERVED_BITS = b"\xf1\x81" + bytes(4) + b"a"
CREATE = b"POST /api/sessions/create?custom_code=a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
DELETE = b"DELETE /api/sessions/a HTTP/1.1\r\nHost: x\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = re.compile(rb"(?s)HTTP/1\.1 200.*\r\ncontent-length: (\d+)\r\n.*?\r\n\r\n(.*)")


@contextmanager
def garbage():
    """A list that has, after the block, the types of ours and hypercorn's left for the collector.

    Ours are those of what hangs on them, too: all of it is listed.
    """
    found: list[str] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        types = {f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage}
        found += sorted(name for name in types if name.startswith(("phantomlink.", "hypercorn.")))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


class Front:
    """The front in this process."""

    def __init__(self, app, port):
        self.registry = app.get_service().registry
        self.port = port

    def listen(self, n=10**9, query="", **options):
        return receive(f"ws://127.0.0.1:{self.port}/stream/binary/a{query}", n, **options)

    @asynccontextmanager
    async def stream(self):
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            yield stream

    async def ask(self, *requests):
        """Ask one after another on one connection."""
        async with self.stream() as stream:
            for request in requests:
                await stream.send_all(request)
                answer = b""
                while not (whole := re.fullmatch(ANSWER, answer)) or len(whole[2]) < int(whole[1]):
                    answer += await stream.receive_some()


@pytest.fixture
async def front(synthetic_recording, nursery):
    settings = Settings(lsl_enabled=False)
    app = create_app(settings, str(synthetic_recording))
    async with app.test_app():
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        serving = trio.CancelScope()

        async def run(task_status):
            with serving:
                await server.Server(app, settings).run(listeners, task_status)

        await nursery.start(run)
        yield Front(app, listeners[0].socket.getsockname()[1])
        serving.cancel()


async def settled(front):
    """Until the server has done what it does when clients have gone."""
    await until(lambda: all(session.n_listening == 0 for session in front.registry))
    await trio.sleep(0.2)
    # Which forgets those that are over.
    front.registry.ledger.open(())


async def visit(front, query=""):
    """Listen for a while, and leave."""
    got = await trio.to_thread.run_sync(lambda: front.listen(3, query))
    assert len(got.packets) == 3
    await settled(front)


async def be_closed(front):
    """Listen until the session is deleted."""
    closed = []

    async def listen():
        closed.append((await trio.to_thread.run_sync(front.listen)).close_code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await until(lambda: front.registry.get("a").n_listening)
        front.registry.delete("a")
    assert closed == [4410]
    await settled(front)


async def break_the_protocol(front):
    """Send what no client may, and be told so."""
    async with front.stream() as stream:
        await stream.send_all(UPGRADE)
        got = await stream.receive_some()
        await stream.send_all(RESERVED_BITS)
        while data := await stream.receive_some():
            got += data
    assert b"\x88\x02\x03\xea" in got
    await settled(front)


async def be_gone(front):
    """Leave without a word, in the middle of the stream."""
    async with front.stream() as stream:
        await stream.send_all(UPGRADE)
        await stream.receive_some()
        await until(lambda: front.registry.get("a").n_listening)
    await settled(front)


@pytest.mark.parametrize("come_and_go", [visit, be_closed, break_the_protocol, be_gone])
async def test_nothing_of_a_stream_is_left_for_the_collector(front, come_and_go):
    # What is made once is made before.
    front.registry.create("a")
    await visit(front)
    with garbage() as left:
        await come_and_go(front)
    assert left == []


async def test_nothing_of_a_head_that_cannot_be_read_is_left_for_the_collector(front):
    async def send(head):
        async with front.stream() as stream:
            await stream.send_all(head)
            answer = b""
            while data := await stream.receive_some():
                answer += data
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))

    async def send_both():
        await send(b"GET / HTTP/1.1\r\nno header\r\n\r\n")
        await send(b"GET / HTTP/1.1\r\n" + b"X: %s\r\n" % (b"x" * 100_000))
        await settled(front)

    await send_both()
    with garbage() as left:
        await send_both()
    assert left == []


async def test_nothing_of_a_session_is_left_for_the_collector(front):
    front.registry.create("a")
    await visit(front, "?trial_id=1")
    with garbage() as left:
        await visit(front, "?trial_id=1")
        front.registry.delete("a")
        await settled(front)
    assert left == []


async def test_nothing_of_requests_is_left_for_the_collector(front):
    await front.ask(CREATE, DELETE, LIVEZ)
    with garbage() as left:
        # With bodies and without, and one that leaves at once.
        await front.ask(CREATE, LIVEZ, DELETE, LIVEZ)
        await front.ask(CREATE, DELETE)
        async with front.stream() as stream:
            await stream.send_all(CREATE)
        await settled(front)
        await until(lambda: [session.code for session in front.registry] == ["a"])
        await trio.sleep(0.2)
    assert left == []


async def test_nothing_of_a_connection_of_the_hypercorn_entry_is_left_for_the_collector(
    synthetic_recording, nursery, monkeypatch
):
    # The application puts its guard there.
    monkeypatch.setattr(hypercorn.trio.run, "TCPServer", hypercorn.trio.run.TCPServer)
    app = create_app(Settings(lsl_enabled=False), str(synthetic_recording))
    config = Config()
    config.bind = ["127.0.0.1:0"]
    serving, over = trio.CancelScope(), trio.Event()

    async def run(task_status):
        with serving:
            await serve(app, config, shutdown_trigger=over.wait, task_status=task_status)

    (url,) = await nursery.start(run)
    front = Front(app, int(url.rpartition(":")[2]))
    await front.ask(CREATE, DELETE, LIVEZ)
    with garbage() as left:
        await front.ask(CREATE, LIVEZ, DELETE)
        await settled(front)
    assert left == []
    over.set()
