"""Connections that say nothing, or too much, by each of the entries."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress

import psutil
import pytest

from tests.clients import listening
from tests.servers import ALL_ENTRIES, live_server
from tests.waiting import until

HEAD_BYTES = 100_000
UPGRADE = (
    b"GET /stream/binary/a HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
LIMITS = {
    "PHANTOM_MAX_PENDING_CONNECTIONS": "30",
    "PHANTOM_MAX_PENDING_CONNECTIONS_PER_ADDRESS": "20",
}


@pytest.fixture(scope="module", params=ALL_ENTRIES)
def server(request, synthetic_recording):
    with live_server(synthetic_recording, entry=request.param, env=LIMITS) as server:
        yield server
        assert server.process.poll() is None, server.log
        assert "Traceback" not in server.log


def connection(server, host="127.0.0.1"):
    port = int(server.address.rpartition(":")[2])
    made = socket.socket()
    made.bind((host, 0))
    made.settimeout(20)
    made.connect(("127.0.0.1", port))
    return made


def ends(made):
    """Whether the other end has closed, within 20 s."""
    with suppress(ConnectionError):
        return made.recv(1) == b""
    return True


def limit_descriptors(server, more):
    """Let the server have so many descriptors more than now; under hypercorn a child serves."""
    process = psutil.Process(server.process.pid)
    for each in [process, *process.children(recursive=True)]:
        limit = each.num_fds() + more
        each.rlimit(psutil.RLIMIT_NOFILE, (limit, limit))


def is_open(made):
    made.setblocking(False)
    try:
        return made.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_silent_connections_are_limited_by_address_and_in_all(server):
    with ExitStack() as stack:
        first = [stack.enter_context(connection(server)) for _ in range(20)]
        assert ends(stack.enter_context(connection(server)))
        # Another address has room, until there is none in all.
        other = [stack.enter_context(connection(server, "127.0.0.2")) for _ in range(10)]
        assert ends(stack.enter_context(connection(server, "127.0.0.2")))
        assert all(map(is_open, first + other))
        said = "Connections are closed unanswered: 20 from 127.0.0.1"
        until(lambda: said in server.log, "the line in the log")
    deadline = time.monotonic() + 20
    while True:
        try:
            assert server.get("/health")[0] == 200
            break
        except OSError:
            # The server has not noticed yet that they have gone.
            assert time.monotonic() < deadline


def test_who_was_let_in_is_not_counted(server):
    with ExitStack() as stack:
        kept = []
        for _ in range(25):
            made = stack.enter_context(connection(server))
            made.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert made.recv(12) == b"HTTP/1.1 200"
            kept.append(made)
        assert server.get("/health")[0] == 200


@pytest.mark.slow
def test_a_head_that_never_ends_ends(server):
    begun = time.monotonic()
    with connection(server) as made, suppress(ConnectionError):
        made.sendall(b"GET /health HTTP/1.1\r\n")
        while time.monotonic() < begun + 18:
            made.sendall(b"X: y\r\n")
            time.sleep(0.2)
            if not is_open(made):
                break
    assert time.monotonic() - begun < 18


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health"), ("GET", "/api/metadata"), ("GET", "/"), ("POST", "/api/sessions/create")],
)
@pytest.mark.parametrize("pieces", [1, 4])
def test_a_head_is_limited_for_every_route(server, method, path, pieces):
    filler = "".join(f"X-{n}: {'y' * 1000}\r\n" for n in range(HEAD_BYTES // 1000))
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{filler}\r\n".encode()
    with connection(server) as made, suppress(ConnectionError):
        step = len(head) // pieces + 1
        for n in range(pieces):
            made.sendall(head[n * step : (n + 1) * step])
        status = made.recv(12)
        assert status in {b"HTTP/1.1 431", b"HTTP/1.1 400"}


def test_a_long_query_is_a_part_of_the_head(server):
    with connection(server) as made, suppress(ConnectionError):
        query = b"_=" + b"x" * HEAD_BYTES
        made.sendall(b"GET /health?" + query + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert made.recv(12) in {b"HTTP/1.1 431", b"HTTP/1.1 400"}


@pytest.mark.parametrize("entry", ALL_ENTRIES)
def test_stuck_clients_do_not_keep_the_server(entry, synthetic_recording):
    """None of them reads, and what is sent to them fills what the kernel holds."""
    env = {"PHANTOM_GRACE_SECONDS": "2", "PHANTOM_CLIENT_BEHIND_SECONDS": "60",
           "PHANTOM_STREAM_FREQUENCY_HZ": "400"}  # fmt: skip
    with live_server(synthetic_recording, entry=entry, env=env) as server, ExitStack() as stack:
        for _ in range(30):
            made = stack.enter_context(socket.socket())
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.connect(("127.0.0.1", int(server.address.rpartition(":")[2])))
            made.sendall(UPGRADE)
        deadline = time.monotonic() + 20
        while server.get("/api/stats/a")[1]["current_packet"] < 1000:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.terminate() == 0, server.log
    assert "Traceback" not in server.log


@pytest.mark.parametrize("entry", ALL_ENTRIES)
def test_without_descriptors_there_is_one_line_and_streams_go_on(entry, synthetic_recording):
    env = {"PHANTOM_MAX_PENDING_CONNECTIONS_PER_ADDRESS": "1000"}
    with live_server(synthetic_recording, entry=entry, env=env) as server, ExitStack() as stack:
        streams = stack.enter_context(listening(f"{server.ws}/stream/a"))
        limit_descriptors(server, 250)
        for _ in range(400):
            stack.enter_context(connection(server))
        before = len(streams.packets)
        deadline = time.monotonic() + 20
        while "New connections wait" not in server.log:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while len(streams.packets) < before + 100:
            assert time.monotonic() < deadline + 20
            time.sleep(0.05)
        assert server.log.count("New connections wait") == 1
        assert "Traceback" not in server.log
        stack.close()
        assert not streams.gaps
        assert server.get("/health")[0] == 200
