"""Hosts and origins that are let in, by each of the entries: one rule for REST and streams."""

from __future__ import annotations

import http.client
import json
import socket

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.clients import decode
from tests.servers import ALL_ENTRIES, live_server

LOCAL = "http://localhost:3000"


@pytest.fixture(scope="module", params=ALL_ENTRIES)
def server(request, synthetic_recording):
    with live_server(synthetic_recording, entry=request.param) as server:
        yield server
        assert server.process.poll() is None, server.log


def ask(server, method, path, *headers):
    """Status and body of one request with just these headers."""
    connection = http.client.HTTPConnection(server.address, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def upgrade(server, *headers, path="/stream/named"):
    """Status of a request for a WebSocket with these headers beside those that it needs."""
    fixed = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*headers, *fixed))
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return int(connection.recv(4096).split()[1])


# Answered in each of the ways that a server has for it.
REQUESTS = (
    ("GET", "/health"), ("GET", "/livez"), ("GET", "/api/metadata"), ("GET", "/"),
    ("GET", "/openapi.json"), ("POST", "/api/sessions/create"), ("DELETE", "/api/sessions/named"),
    ("GET", "/nowhere"), ("OPTIONS", "/health"),
)  # fmt: skip


@pytest.mark.parametrize(("method", "path"), [*REQUESTS, ("GET", "/static/app.js")])
def test_every_answer_says_how_browsers_are_to_take_it(server, method, path):
    connection = http.client.HTTPConnection(server.address, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_all("Referrer-Policy") == ["no-referrer"]
    if answer.headers.get_content_type() == "text/html":
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        # A WebSocket to this server, and to no other.
        assert f"ws://{server.address}" in policy
        assert "ws:;" not in policy


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.com"])
def test_a_name_that_was_pointed_here_gets_nothing(server, name):
    port = server.address.partition(":")[2]
    host = ("Host", f"{name}:{port}")
    for method, path in REQUESTS:
        status, body = ask(server, method, path, host)
        assert (method, path, status) == (method, path, 421)
        assert "PHANTOM_ALLOWED_HOSTS" in json.loads(body)["detail"]
        # The browser's own origin, as that page has it.
        assert ask(server, method, path, host, ("Origin", f"http://{name}:{port}"))[0] == 421
    assert upgrade(server, host) == 421
    assert upgrade(server, host, ("Origin", f"http://{name}:{port}")) == 421


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "a.localhost", "phantomlink", "[::1]"])
def test_names_that_no_stranger_can_have(server, name):
    for method, path in REQUESTS[:6]:
        assert ask(server, method, path, ("Host", name))[0] == 200
    assert upgrade(server, ("Host", name)) == 101


def test_foreign_pages_change_nothing_and_do_not_listen(server):
    host = ("Host", "127.0.0.1:8000")
    for origin in ("https://evil.example", "http://localhost.evil.example", "http://%6cocalhost",
                   "http://[localhost]", "http://localhost/", "http://localhost@evil.example",
                   "null"):  # fmt: skip
        foreign = ("Origin", origin)
        assert ask(server, "POST", "/api/sessions/create", host, foreign)[0] == 403
        assert ask(server, "DELETE", "/api/sessions/named", host, foreign)[0] == 403
        assert upgrade(server, host, foreign) == 403
        assert ask(server, "GET", "/api/metadata", host, foreign)[0] == 200


def test_two_origins_are_refused(server):
    twice = (("Host", "127.0.0.1:8000"), ("Origin", LOCAL), ("Origin", LOCAL))
    for method, path in REQUESTS:
        assert (path, ask(server, method, path, *twice)[0]) == (path, 403)
    assert upgrade(server, *twice) in {400, 403}


@pytest.mark.parametrize("entry", ALL_ENTRIES)
def test_what_is_allowed_by_a_setting(entry, synthetic_recording):
    env = {
        "PHANTOM_ALLOWED_HOSTS": "stream.example",
        "PHANTOM_ALLOWED_ORIGINS": "wss://dash.example,*",
    }
    with live_server(synthetic_recording, entry=entry, env=env) as server:
        for name in ("stream.example", "STREAM.example:81", "dash.example"):
            assert ask(server, "GET", "/health", ("Host", name))[0] == 200
            assert upgrade(server, ("Host", name)) == 101
        # Every page may call, but not by a name of its own.
        page = ("Origin", "http://evil.example")
        assert ask(server, "POST", "/api/sessions/create", ("Host", "localhost"), page)[0] == 200
        assert ask(server, "GET", "/health", ("Host", "evil.example"), page)[0] == 421


def test_programs_that_send_an_origin_are_no_browsers(server):
    """IXWebSocket and ws4py name the WebSocket's own scheme, websocket-client the server."""
    for origin in (f"ws://{server.address}", f"http://{server.address}"):
        with connect(f"{server.ws}/stream/program", origin=origin) as websocket:
            assert isinstance(websocket.recv(timeout=20), bytes)
    with connect(
        f"{server.ws}/stream/program", origin=LOCAL, user_agent_header="Mozilla/5.0 (X11)"
    ) as websocket:
        message = websocket.recv(timeout=20)
        assert isinstance(message, str)
        assert decode(message)["type"] == "metadata"
    with pytest.raises(InvalidStatus):
        connect(f"{server.ws}/stream/program", origin="ws://evil.example")
