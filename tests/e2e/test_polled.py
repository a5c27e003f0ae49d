"""Polled routes are answered without hypercorn and framework, and as the framework answers."""

import json
import logging
import socket
import struct
from contextlib import asynccontextmanager

import h11
import pytest
import trio
from quart_trio import QuartTrio

from phantomlink import polled, server, views
from phantomlink.access.visitor import UNKNOWN_ADDRESS, Visitor
from phantomlink.app import create_app
from phantomlink.engine.session import NO_FILTER
from phantomlink.settings import Settings
from phantomlink.sinks.handover import Handover
from tests.fakes import ListSink
from tests.servers import ENTRIES, live_server

LOCAL = "Origin: http://localhost:3000\r\n"
FOREIGN = "Origin: http://evil.example\r\n"
# The framework's business: says that there is no body, which goes without saying.
SLOW = "Content-Length: 0\r\n"
ROUTES = (
    "/health",
    "/livez",
    "/readyz",
    "/metrics",
    "/api/stats",
    "/api/sessions",
    "/api/stats/a",
    "/api/sessions/a",
    "/api/control/a/position",
    "/api/sessions/a/timing",
    "/api/sessions/a/timing?format=json&x=1",
    "/api/sessions/a/timing?format=text",
)
ERRORS = {
    "/api/stats/nobody": 404,
    "/api/control/nobody/position": 404,
    "/api/sessions/nobody": 404,
    "/api/sessions/nobody/timing": 404,
    "/api/sessions/create": 404,
    "/api/stats/..": 422,
    "/api/stats/a.b": 422,
    f"/api/sessions/{'x' * 65}": 422,
    "/api/sessions/a/timing?format=xml": 422,
    "/api/sessions/a/timing?format=": 422,
    "/api/sessions/a/timing?format=text&format=json": 422,
}
# What differs from one moment to the next.
MOMENT = {"timestamp", "memory_usage_mb", "last_accessed", "server"}


def request(path, headers="", *, method="GET", body=""):
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}".encode()


def create(code):
    body = json.dumps({"custom_code": code})
    headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return request("/api/sessions/create", headers, method="POST", body=body)


class Client:
    """One connection; h11 reads the answers, and would notice if one were torn."""

    def __init__(self, stream):
        self.stream = stream
        self._rest = b""

    async def answer(self, method="GET"):
        """(status, headers in order, body) of the next answer; None when the server closed."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        if self._rest:
            parser.receive_data(self._rest)
        head, body = None, b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = bytes(await self.stream.receive_some(65536))
                if not data and head is None:
                    return None
                parser.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._rest = parser.trailing_data[0]
                return head.status_code, list(head.headers.raw_items()), body

    async def ask(self, path, headers="", *, method="GET"):
        await self.stream.send_all(request(path, headers, method=method))
        return await self.answer(method)


class Front:
    """The front in this process, with a record of what it left to others."""

    def __init__(self, app, settings):
        self.app = app
        self.server = server.Server(app, settings)
        self.handed_over = []  # first lines
        self.framework = []  # methods and paths
        self.address = None

    @asynccontextmanager
    async def client(self):
        stream = await trio.open_tcp_stream(*self.address)
        async with stream:
            yield Client(stream)


@pytest.fixture
async def front(synthetic_recording, monkeypatch, nursery):
    settings = Settings(max_connections=200)
    app = create_app(settings, str(synthetic_recording))
    async with app.test_app():
        app.get_service().registry.create("a")
        front = Front(app, settings)
        serve, call = Handover.serve, QuartTrio.__call__

        async def note_handover(self, stream, received):
            front.handed_over.append(received.partition(b" HTTP/")[0].decode())
            return await serve(self, stream, received)

        async def note_framework(self, scope, receive, send):
            front.framework.append(f"{scope['method']} {scope['path']}")
            await call(self, scope, receive, send)

        monkeypatch.setattr(Handover, "serve", note_handover)
        monkeypatch.setattr(QuartTrio, "__call__", note_framework)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        front.address = listeners[0].socket.getsockname()
        serving = trio.CancelScope()

        async def run(task_status):
            with serving:
                await front.server.run(listeners, task_status)

        await nursery.start(run)
        yield front
        serving.cancel()


def without_the_moment(answer):
    """An answer without what another one, a moment later, may have otherwise."""
    status, headers, body = answer
    names = [name for name, _ in headers]
    assert names.count(b"date") == names.count(b"content-length") == 1
    assert dict(headers)[b"date"].endswith(b" GMT")
    length = int(dict(headers)[b"content-length"])
    # One that may come twice (Vary) does so in the same order.
    values = [(name, value) for name, value in headers if name not in (b"date", b"content-length")]
    if body:
        assert length == len(body)
    if body.startswith(b"{"):
        body = json.dumps(_drop(json.loads(body))).encode()
    elif body:
        body = b"".join(line[:28] for line in body.splitlines()[2:6])
    return status, names, values, body


def _drop(value):
    if isinstance(value, dict):
        return {name: _drop(member) for name, member in value.items() if name not in MOMENT}
    return value


# --- The same answers --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("origin", ["", LOCAL, FOREIGN])
async def test_the_front_answers_as_the_framework_does(front, method, origin):
    async with front.client() as client:
        for path in (*ROUTES, *ERRORS):
            fast = await client.ask(path, origin, method=method)
            assert not front.framework, path
            slow = await client.ask(path, origin + SLOW, method=method)
            assert front.framework.pop() == f"{method} {path.partition('?')[0]}"
            assert without_the_moment(fast) == without_the_moment(slow), path
            assert fast[0] == ERRORS.get(path, 200), path
            assert bool(fast[2]) == (method == "GET")
            allowed = (b"access-control-allow-origin", b"http://localhost:3000") in fast[1]
            assert allowed == (origin == LOCAL), path


@pytest.mark.parametrize("entry", ENTRIES)
def test_both_entries_answer_as_the_framework_does(synthetic_recording, entry):
    async def compare(address):
        async with await trio.open_tcp_stream(*address) as stream:
            client = Client(stream)
            for path in (*ROUTES, *ERRORS):
                for method in ("GET", "HEAD"):
                    fast = await client.ask(path, LOCAL, method=method)
                    slow = await client.ask(path, LOCAL + SLOW, method=method)
                    assert without_the_moment(fast) == without_the_moment(slow), path
                    assert fast[0] == ERRORS.get(path, 200), path

    with live_server(synthetic_recording, entry=entry) as live:
        assert live.post("/api/sessions/create", {"custom_code": "a"})[0] == 200
        host, port = live.address.split(":")
        trio.run(compare, (host, int(port)))
        assert "Traceback" not in live.log, live.log


async def test_unavailable_is_answered_as_the_framework_does(front):
    front.app.get_service()._not_ready = "the recording is being opened"
    async with front.client() as client:
        fast = await client.ask("/readyz")
        slow = await client.ask("/readyz", SLOW)
    assert fast[0] == 503
    assert (b"retry-after", b"5") in fast[1]
    assert without_the_moment(fast) == without_the_moment(slow)
    assert front.framework == ["GET /readyz"]


async def test_a_bug_is_logged_once_and_costs_one_request(front, monkeypatch, caplog):
    def fail(session):
        raise ValueError("secret")

    monkeypatch.setattr(views, "stats", fail)
    async with front.client() as client:
        with caplog.at_level(logging.ERROR):
            fast = await client.ask("/api/stats/a")
            (record,) = caplog.records
            slow = await client.ask("/api/stats/a", SLOW)
        assert "GET /api/stats/a failed" in record.message
        assert record.exc_info[0] is ValueError
        assert fast[0] == 500
        assert b"secret" not in fast[2]
        assert without_the_moment(fast) == without_the_moment(slow)
        assert (await client.ask("/livez"))[0] == 200


async def test_the_asgi_application_answers_polled_routes_without_the_framework(front):
    sent, received = [], []

    async def send(message):
        sent.append(message)

    async def ask(path, **more):
        sent.clear()
        received.clear()
        scope = {
            "type": "http", "method": "GET", "http_version": "1.1", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(b"host", b"x")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        } | more  # fmt: skip
        await front.app(scope, no_more, send)
        return sent[0]["status"]

    async def no_more():
        if not received:
            received.append({"type": "http.request", "body": b"", "more_body": False})
            return received[0]
        return await trio.sleep_forever()

    assert await ask("/livez") == 200
    assert sent[1]["body"] == b'{"status":"alive"}'
    assert await ask("/api/stats/nobody") == 404
    assert await ask("/api/sessions/a/timing", query_string=b"format=text") == 200
    assert (b"content-type", b"text/plain; charset=utf-8") in sent[0]["headers"]
    assert front.framework == []
    # Decoded it is a route, and as it was sent it is for the framework to say.
    assert await ask("/livez", raw_path=b"/live%7a") == 200
    assert await ask("/livez", raw_path=None) == 200
    assert await ask("/livez", http_version="2") == 200
    assert await ask("/prefix/livez", root_path="/prefix") == 200
    assert len(front.framework) == 4


# --- One connection, many requests -------------------------------------------------------------


async def test_a_connection_that_is_kept_open_never_sees_hypercorn(front):
    async with front.client() as client:
        for _ in range(3):
            for path in ROUTES:
                assert (await client.ask(path))[0] == 200
        assert front.handed_over == front.framework == []


async def test_the_connection_is_hypercorns_only_until_the_next_polled_request(front):
    async with front.client() as client:
        for n in range(3):
            await client.stream.send_all(create(f"new-{n}"))
            assert json.loads((await client.answer())[2])["created"]
            # Until hypercorn is between requests, what comes stays with it.
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert (await client.ask(f"/api/stats/new-{n}"))[0] == 200
            assert (await client.ask("/api/metadata"))[0] == 200
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert (await client.ask("/health"))[0] == 200
        assert front.framework == ["POST /api/sessions/create", "GET /api/metadata"] * 3
        assert front.handed_over == front.framework


async def test_a_stream_may_follow_on_the_same_connection(front):
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    async with front.client() as client:
        await client.stream.send_all(create("b"))
        assert (await client.answer())[0] == 200
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert (await client.ask("/health"))[0] == 200
        await client.stream.send_all(request("/stream/b", upgrade))
        assert (await client.stream.receive_some(12)) == b"HTTP/1.1 101"
        # The first message comes behind the upgrade, and the first packet behind that.
        with trio.fail_after(20):
            data = b""
            while b"sequence_number" not in data:
                data = bytes(await client.stream.receive_some(65536))
    assert front.framework == ["POST /api/sessions/create"]


async def test_pipelined_requests_are_answered_in_order(front):
    asked = [
        request("/livez"),
        request("/api/stats/a"),
        request("/health", method="HEAD"),
        request("/nope"),
        request("/api/sessions/a"),
        create("piped"),
        request("/api/stats/piped"),
        request("/livez"),
    ]
    methods = ["GET", "GET", "HEAD", *["GET"] * 5]
    for sent in (b"".join(asked[:3]), b"".join(asked)):
        async with front.client() as client:
            await client.stream.send_all(sent)
            got = [
                await client.answer(method)
                for method, _ in zip(methods, range(sent.count(b" HTTP/1.1\r\n")), strict=False)
            ]
        assert [status for status, _, _ in got] == [200, 200, 200, 404, 200, 200, 200, 200][
            : len(got)
        ]
        assert json.loads(got[1][2])["session_code"] == "a"
        assert got[2][2] == b""
    assert json.loads(got[5][2])["session_code"] == "piped"
    assert json.loads(got[6][2])["session_code"] == "piped"
    assert front.framework[:2] == ["GET /nope", "POST /api/sessions/create"]
    assert front.handed_over[0] == "GET /nope"


@pytest.mark.parametrize("size", [1, 7])
async def test_requests_may_come_in_pieces(front, size):
    sent = request("/livez") + create("p") + request("/api/stats/p") + request("/livez")
    async with front.client() as client:
        for at in range(0, len(sent), size):
            await client.stream.send_all(sent[at : at + size])
            await trio.lowlevel.checkpoint()
        assert [(await client.answer())[0] for _ in range(4)] == [200] * 4


async def test_close_closes_after_the_answer(front):
    async with front.client() as client:
        status, headers, body = await client.ask("/livez", "Connection: close\r\n")
        assert (status, body) == (200, b'{"status":"alive"}')
        assert (b"Connection", b"close") in headers
        assert await client.answer() is None
    assert front.handed_over == []


# --- What is not plain -------------------------------------------------------------------------

INNER = "GET /api/stats/a HTTP/1.1\r\nHost: x\r\n\r\n"
SHAPES = {
    "a body that looks like a request": (
        request("/livez", f"Content-Length: {len(INNER)}\r\n", body=INNER), [200],
    ),
    "a chunked body that looks like one": (
        request("/livez", "Transfer-Encoding: chunked\r\n",
                body=f"{len(INNER):x}\r\n{INNER}\r\n0\r\n\r\n"), [200],
    ),
    "a length and chunks": (
        request("/livez", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                body="0\r\n\r\n"), [400],
    ),
    "two lengths": (
        request("/livez", "Content-Length: 0\r\nContent-Length: 40\r\n", body=INNER), [400],
    ),
    "an obsolete fold": (request("/livez", "X: a\r\n Content-Length: 5\r\n"), [200]),
    "a space before the colon": (request("/livez", "Content-Length : 5\r\n", body=INNER), [400]),
    "HTTP/1.0": (b"GET /livez HTTP/1.0\r\n\r\n", [200]),
    "the absolute form": (request("http://localhost/livez"), None),
    "a percent": (request("/live%7a"), [200]),
    "an upgrade to HTTP/2": (
        request("/livez", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                          "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"), [101],
    ),
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n" + INNER.encode(), [400]),
    "two hosts": (request("/livez", "Host: b\r\n", body=INNER), [400]),
    "another method": (request("/livez", method="DELETE"), [405]),
    "a preflight": (
        request("/livez", LOCAL + "Access-Control-Request-Method: GET\r\n", method="OPTIONS"),
        [204],
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("after", ["nothing", "a polled request"])
async def test_what_is_not_plain_is_not_the_fronts_to_answer(front, monkeypatch, shape, after):
    """Not answered by the front, nothing in it taken for another request, and nobody falls."""
    answered = []
    answer = polled.Call.answer

    async def note(self, *args):
        answered.append(self.path)
        return await answer(self, *args)

    monkeypatch.setattr(polled.Call, "answer", note)
    raw, statuses = SHAPES[shape]
    async with front.client() as client:
        if after != "nothing":
            assert (await client.ask("/readyz"))[0] == 200
        await client.stream.send_all(raw)
        await client.stream.send_eof()
        data = b""
        with trio.move_on_after(1):
            while more := bytes(await client.stream.receive_some(65536)):
                data += more
    got = [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]
    assert len(got) <= 1, data
    if statuses is not None:
        assert got == statuses, data
    assert "/api/stats/a" not in answered
    if shape != "an obsolete fold":
        assert [path for path in answered if path != "/readyz"] == []
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200


async def test_what_only_looks_like_a_request_stays_with_hypercorn(front):
    """A connection is taken back between two requests, never in the middle of one."""
    looks = b"GET /livez HTTP/1.1\r\n\r\n"
    async with front.client() as client:
        # As the body of a request, in a segment of its own.
        length = f"Content-Length: {len(looks)}\r\n"
        await client.stream.send_all(request("/api/control/a/seek", length, method="POST"))
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.stream.send_all(looks)
        status, _, body = await client.answer()
        assert status == 422
        assert b"not JSON" in body
        await trio.testing.wait_all_tasks_blocked(0.02)
        # As the end of a header.
        await client.stream.send_all(b"GET /nope HTTP/1.1\r\nHost: x\r\nX: ")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.stream.send_all(looks)
        assert (await client.answer())[0] == 404
        with trio.move_on_after(0.2):
            assert not await client.answer()
    assert front.framework == ["POST /api/control/a/seek", "GET /nope"]


async def test_expect_is_hypercorns(front):
    async with front.client() as client:
        await client.stream.send_all(
            request("/livez", "Expect: 100-continue\r\nContent-Length: 2\r\n")
        )
        assert (await client.stream.receive_some(12)) == b"HTTP/1.1 100"
        await client.stream.send_all(b"{}")
        data = b""
        while b"alive" not in data:
            data += bytes(await client.stream.receive_some(65536))
    assert front.framework == ["GET /livez"]


async def test_nonsense_after_an_answer_is_refused(front):
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200
        await client.stream.send_all(b"\x16\x03\x01\r\n\r\n")
        status, headers, _ = await client.answer()
        assert status == 400
        assert dict(headers)[b"Content-Type"] == b"application/problem+json"
        assert await client.answer() is None


# --- Clients that leave, wait, or are told to go -----------------------------------------------


async def test_a_half_closed_connection_has_its_answers(front):
    async with front.client() as client:
        await client.stream.send_all(request("/health") + request("/api/stats/a"))
        await client.stream.send_eof()
        assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
        assert await client.answer() is None


async def test_clients_that_leave_in_the_middle_disturb_nobody(front, caplog):
    for sent in (request("/livez")[:20], request("/metrics") * 50, request("/livez") + b"GET /h"):
        for reset in (False, True):
            async with front.client() as client:
                await client.stream.send_all(sent)
                if reset:
                    client.stream.socket.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTTP/1.1\r\nHost"])
async def test_a_connection_that_waits_too_long_is_closed(front, monkeypatch, begun):
    monkeypatch.setattr(server, "_HEAD_SECONDS", 1000)
    front.server._config.keep_alive_timeout = 0.05
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200
        if begun:
            await client.stream.send_all(begun)
        with trio.fail_after(20):
            assert await client.answer() is None


async def test_a_head_is_bounded(front):
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200
        await client.stream.send_all(b"GET /livez HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert (await client.answer())[0] == 431
        assert await client.answer() is None


async def test_an_answer_that_nobody_reads_is_given_up(front, monkeypatch):
    monkeypatch.setattr(server, "_ANSWER_SECONDS", 0.05)
    async with front.client() as client:
        # Answers to more than the kernel holds for a client that reads nothing.
        asked = request("/metrics") * 50_000
        with pytest.raises(trio.BrokenResourceError):
            await client.stream.send_all(asked)


async def test_waiting_connections_end_when_the_server_goes(front, monkeypatch):
    monkeypatch.setattr(front.server, "_settings", Settings(grace_seconds=1000))
    monkeypatch.setattr(server, "_HEAD_SECONDS", 1000)
    front.server._config.keep_alive_timeout = 1000
    async with front.client() as kept, front.client() as new, front.client() as lent:
        assert (await kept.ask("/livez"))[0] == 200
        assert (await lent.ask("/api/metadata"))[0] == 200
        await new.stream.send_all(b"GET /li")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await front.server.say_goodbye()
        for client in (kept, new, lent):
            assert await client.answer() is None


# --- Many sessions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "stretches"), [("/metrics", 20), ("/api/stats", 4), ("/api/sessions", 9)]
)
async def test_a_hundred_sessions_are_told_of_bit_by_bit(front, path, stretches, nursery):
    registry = front.app.get_service().registry
    for n in range(99):
        registry.create(f"s-{n}")
    sink = ListSink()
    session = registry.get("s-7")
    session.subscribe(NO_FILTER, session.playback(NO_FILTER), sink)
    turns = 0

    async def take_turns():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    nursery.start_soon(take_turns)
    await trio.lowlevel.checkpoint()
    call = polled.find_call("GET", "1.1", path, [])
    before = turns
    door = front.app.get_door()
    visitor = Visitor("GET", path, UNKNOWN_ADDRESS)
    _, _, body = await call.answer(front.app.get_service, door, visitor)
    assert turns - before >= stretches
    session.unsubscribe(sink)
    said = json.loads(body)
    if path == "/metrics":
        assert list(said) == ["timestamp", "service", "version", "metrics"]
        said = said["metrics"]
        assert (said["active_sessions"], said["total_connections"]) == (1, 1)
        assert said["sessions"]["s-8"] == views.session_metrics(
            registry.get("s-8"), said["sessions"]["s-8"]["memory_usage_mb"]
        )
    if path != "/api/stats":
        assert list(said["sessions"]) == [session.code for session in registry]
    assert said["total_sessions"] == 100
