"""Requests whose body comes in parts, or not at all, to routes that do not care for it."""

import json
import socket
import time

import pytest
import trio

from phantomlink.asgi.request_body import RequestBody
from tests.servers import ALL_ENTRIES, live_server


@pytest.fixture(scope="module", params=ALL_ENTRIES)
def server(request, synthetic_recording):
    with live_server(synthetic_recording, entry=request.param) as server:
        assert server.post("/api/sessions/create", {"custom_code": "a"})[0] == 200
        yield server
        assert server.process.poll() is None, f"the server died:\n{server.log}"


def connect(server):
    host, _, port = server.address.partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_answer(stream):
    """Status and body of one answer."""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, json.loads(stream.read(length))


CALLS = {
    "ignored by the route": ("POST", "/api/control/a/pause", 200),
    "ignored by another": ("POST", "/api/sessions/cleanup", 200),
    "no such path": ("POST", "/nowhere", 404),
    "no such method": ("PUT", "/api/sessions", 405),
    "no such session": ("DELETE", "/api/sessions/nobody", 404),
    "used by the route": ("POST", "/api/control/a/speed", 200),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("first", [0, 7])
def test_a_body_in_two_segments_leaves_the_connection_usable(server, name, first):
    method, path, expected = CALLS[name]
    body = b'{"speed": 2}'
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with connect(server) as client, client.makefile("rb") as stream:
        client.sendall(head.encode() + body[:first])
        if "used" in name:
            time.sleep(0.1)
            client.sendall(body[first:])
            assert read_answer(stream)[0] == expected
        else:
            assert read_answer(stream)[0] == expected
            client.sendall(body[first:])
        for _ in range(2):
            client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_answer(stream)[0] == 200


@pytest.mark.parametrize("size", [100_000, 10_000_000])
def test_a_body_that_is_too_long_is_answered_while_it_is_sent(server, size):
    head = (
        "POST /api/sessions/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {size}\r\n\r\n"
    )
    with connect(server) as client, client.makefile("rb") as stream:
        client.sendall(head.encode() + bytes(1000))
        assert read_answer(stream)[0] == 413
        try:
            client.sendall(bytes(size - 1000))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            said = stream.readline()
        except ConnectionError:
            said = b""
        # A megabyte is read for the sake of the connection; for more it is closed.
        assert said.startswith(b"HTTP/1.1 200") == (size < 2**20)
    assert server.get("/health")[0] == 200


@pytest.mark.slow
def test_a_body_that_never_comes_ends_the_connection(server):
    with connect(server) as client, client.makefile("rb") as stream:
        client.sendall(
            b"POST /api/control/a/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{"
        )
        assert read_answer(stream)[0] == 200
        assert stream.read() == b""


def part(body, *, more):
    return {"type": "http.request", "body": body, "more_body": more}


START = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b"", "more_body": False}


class Exchange:
    """A server's side of one request, on virtual time."""

    def __init__(self, *events):
        self.sent = []
        self._events = list(events)
        self.request = RequestBody(self.receive, self.send)

    async def receive(self):
        while not self._events:
            await trio.sleep_forever()
        delay, event = self._events.pop(0)
        await trio.sleep(delay)
        return event

    async def send(self, event):
        await trio.sleep(0.01)
        self.sent.append((trio.current_time(), event))

    async def read(self):
        while (await self.request.receive())["type"] != "http.disconnect":
            pass


async def test_the_answer_ends_with_the_body_and_not_before(autojump_clock):
    exchange = Exchange((0.5, part(b"a", more=True)), (1.0, part(b"", more=False)))
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.read)
        await exchange.request.send(START)
        await exchange.request.send(END)
        nursery.cancel_scope.cancel()
    assert [(round(t - start, 2), e) for t, e in exchange.sent] == [(0.01, START), (1.51, END)]


async def test_a_body_that_does_not_come_or_does_not_end_is_not_waited_for(autojump_clock):
    for events in ((), [(0.0, part(bytes(2**19), more=True))] * 3):
        exchange = Exchange(*events)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.read)
            await exchange.request.send(END)
            nursery.cancel_scope.cancel()
        assert round(exchange.sent[0][0] - start, 2) == (0.01 if events else 5.01)


async def test_the_end_is_sent_whole_by_a_task_that_is_being_cancelled(autojump_clock):
    exchange = Exchange((0.0, part(b"", more=False)))
    with trio.move_on_after(0.005):
        await exchange.read()
    with trio.CancelScope() as scope:
        scope.deadline = trio.current_time() + 0.005
        await exchange.request.send(END)
    assert [event for _, event in exchange.sent] == [END]
    assert scope.cancel_called
