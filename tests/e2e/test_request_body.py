"""Requests whose body comes in parts, late, or not at all."""

import socket
import time

import pytest
import trio

from phantomlink.asgi.http import RequestBody
from phantomlink.errors import BodyTimeoutError, BodyTooLargeError
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
    return status, stream.read(length)


SPEED = b'{"speed": 2}'
CALLS = {
    "needed by the route": ("POST", "/api/control/a/speed", SPEED, 200),
    "empty for a route that takes none": ("POST", "/api/control/a/pause", b"{  }", 200),
    "not known to the route": ("POST", "/api/control/a/pause", SPEED, 422),
    "of a GET": ("GET", "/api/stats", SPEED, 422),
    "for a page": ("GET", "/docs", SPEED, 200),
    "no such path": ("POST", "/nowhere", SPEED, 404),
    "no such method": ("PUT", "/api/sessions", SPEED, 405),
}
EARLY = {"for a page", "no such path", "no such method"}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("first", [0, 2])
def test_a_body_in_two_segments_leaves_the_connection_usable(server, name, first):
    method, path, body, expected = CALLS[name]
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with connect(server) as client, client.makefile("rb") as stream:
        client.sendall(head.encode() + body[:first])
        if name in EARLY:
            # What does not matter is not waited for.
            assert read_answer(stream)[0] == expected
            client.sendall(body[first:])
        else:
            time.sleep(0.1)
            client.sendall(body[first:])
            assert read_answer(stream)[0] == expected
        for _ in range(2):
            client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_answer(stream)[0] == 200


@pytest.mark.parametrize("size", [100_000, 10_000_000])
def test_a_body_that_is_too_long_is_answered_while_it_is_sent(server, size):
    head = (
        "POST /api/sessions/create HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    with connect(server) as client, client.makefile("rb") as stream:
        client.sendall(head.encode() + bytes(1000))
        assert read_answer(stream)[0] == 413
        try:
            client.sendall(bytes(size - 1000))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            said = stream.readline()
        except ConnectionError:
            said = b""
        # A megabyte is read for the sake of the connection; for more it is closed.
        assert said.startswith(b"HTTP/1.1 200") == (size < 2**20)
    assert server.get("/health")[0] == 200


def part(body, *, more):
    return {"type": "http.request", "body": body, "more_body": more}


def body_of(*events):
    """A body whose parts come at such times, on virtual time."""
    waiting = list(events)

    async def receive():
        if not waiting:
            await trio.sleep_forever()
        delay, event = waiting.pop(0)
        await trio.sleep(delay)
        return event

    return RequestBody(receive, 1000)


async def test_a_body_is_read_whole(autojump_clock):
    body = body_of((0.5, part(b"ab", more=True)), (1.0, part(b"c", more=False)))
    assert await body.read() == b"abc"
    # Once it is over nothing more is waited for.
    assert await body.read() == b""
    await body.throw_away()


async def test_a_body_that_does_not_come_is_given_up(autojump_clock):
    start = trio.current_time()
    with pytest.raises(BodyTimeoutError, match="takes at most 30 s to come"):
        await body_of((0.0, part(b"a", more=True))).read()
    assert trio.current_time() - start == 30


async def test_a_body_that_is_too_long_is_refused_at_once(autojump_clock):
    body = body_of(*[(0.0, part(bytes(600), more=True))] * 3)
    with pytest.raises(BodyTooLargeError, match="at most 1000 bytes"):
        await body.read()


async def test_the_rest_of_a_body_is_thrown_away_if_it_comes_soon_and_ends(autojump_clock):
    start = trio.current_time()
    await body_of((1.0, part(b"a", more=True)), (1.0, part(b"", more=False))).throw_away()
    assert trio.current_time() - start == 2
    await body_of().throw_away()
    assert trio.current_time() - start == 7
    await body_of(*[(0.0, part(bytes(2**19), more=True))] * 3).throw_away()
    assert trio.current_time() - start == 7


async def test_a_client_that_leaves_ends_its_body(autojump_clock):
    body = body_of((0.0, part(b"a", more=True)), (0.0, {"type": "http.disconnect"}))
    assert await body.read() == b"a"
