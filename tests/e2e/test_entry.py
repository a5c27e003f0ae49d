"""Who may enter, by each of the entries: token, origins, limits, private sessions."""

from __future__ import annotations

import http.client
import json
import re
import socket
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from phantomlink.access.token import OPEN_PATHS, OPEN_PREFIXES
from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.table import RouteTable
from tests.clients import decode, receive
from tests.servers import ALL_ENTRIES, ENTRIES, live_server

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def is_open(path):
    """Probes, and pages without data: what needs no token."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(scope="module", params=ALL_ENTRIES)
def locked(request, synthetic_recording):
    """A server with a token, whose whole log is searched for it at the end."""
    env = {"PHANTOM_API_TOKEN": TOKEN, "PHANTOM_LOG_LEVEL": "DEBUG", "PHANTOM_LOG_FORMAT": "json"}
    with live_server(synthetic_recording, entry=request.param, env=env) as server:
        yield server
        assert server.process.poll() is None, server.log
        server.terminate()
    assert "horse" not in server.log
    if request.param != "asyncio":
        # There asyncio says so of a connection that hypercorn could not decode.
        assert "Traceback" not in server.log


def ask(server, method, path, headers=None, body=None):
    """Status, headers and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection(server.address, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def exchange(server, raw, at_most=10**9):
    """What is answered to some bytes, until the server closes or is silent after an answer."""
    host, port = server.address.split(":")
    data = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(raw)
        try:
            while len(data) < at_most and (more := connection.recv(65536)):
                data += more
                connection.settimeout(5)
        except (TimeoutError, ConnectionResetError):
            pass
    return data


def receive_to_the_end(websocket):
    for _ in range(400):
        websocket.recv(timeout=20)


def upgrade(path, *lines, method="GET"):
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    )
    return (head + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode("latin-1")


def status_of(data):
    found = re.match(rb"HTTP/1\.1 (\d{3})", data)
    return int(found[1]) if found else None


def check_refusal(status, headers, body, *, wanted=401, method="GET"):
    assert status == wanted, body
    assert headers["Content-Type"] == "application/problem+json"
    if wanted == 401:
        assert headers["WWW-Authenticate"].startswith("Bearer ")
    assert TOKEN.encode() not in body + str(headers).encode()
    if method != "HEAD":
        problem = json.loads(body)
        assert problem["status"] == wanted
        assert set(problem) == {"type", "title", "status", "detail"}


def refused(url, **how):
    """Status and problem of a WebSocket that is not let in."""
    with pytest.raises(InvalidStatus) as caught:
        connect(url, open_timeout=20, **how)
    response = caught.value.response
    return response.status_code, response.headers, json.loads(bytes(response.body))


def routes():
    """Method and path of every route, with something in the place of its parameters."""
    table = RouteTable(ROUTES)
    for route in ROUTES:
        path = re.sub(r"{\w+}", "a", route.path)
        yield from ((method, path) for method in table.match(path).methods)
    yield from (("WS", "/stream/a"), ("WS", "/stream/binary/a"))


class TestToken:
    def test_every_route_needs_it(self, locked):
        asked = [*routes(), ("GET", "/nope"), ("POST", "/"), ("GET", "/docs/swagger-ui.css")]
        assert len(asked) > 80
        for wrong in ({}, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}):
            for method, path in asked:
                if method == "WS":
                    status, headers, _ = refused(locked.ws + path, additional_headers=wrong)
                    assert (path, status) == (path, 401)
                    assert headers["WWW-Authenticate"].startswith("Bearer ")
                    continue
                status, headers, body = ask(locked, method, path, wrong)
                if is_open(path) and method in {"GET", "HEAD"}:
                    assert status in {200, 404}, path
                else:
                    check_refusal(status, headers, body, method=method)
        # Nothing of it has been done.
        assert json.loads(ask(locked, "GET", "/api/sessions", BEARER)[2])["total_sessions"] == 0

    @pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text", "text/html"])
    def test_in_every_form(self, locked, accept):
        for path in ("/metrics", "/api/metadata"):
            assert ask(locked, "GET", path, {"Accept": accept})[0] == 401
            assert ask(locked, "GET", path, {"Accept": accept} | BEARER)[0] == 200

    @pytest.mark.parametrize(
        "target", ["/%68ealth", "//health", "/health/", "/./health", "/livez/../health", "/LIVEZ",
                   "/livez%00", "/livez;x", "http://localhost/health", "/livez/%2e%2e/health"]
    )  # fmt: skip
    def test_no_spelling_of_a_path_goes_round_it(self, locked, target):
        data = exchange(
            locked, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        assert status_of(data) in {400, 401, 404}
        assert b"healthy" not in data

    def test_requests_on_one_connection_are_each_asked_for_it(self, locked):
        connection = http.client.HTTPConnection(locked.address, timeout=20)
        statuses = []
        for method, path, headers in (
            ("GET", "/health", BEARER),
            ("GET", "/health", {}),
            ("GET", "/api/metadata", BEARER),
            ("GET", "/api/metadata", {}),
            ("GET", "/health", {}),
            ("POST", "/api/sessions/cleanup", {}),
            ("POST", "/api/sessions/cleanup", BEARER),
        ):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
        assert statuses == [200, 401, 200, 401, 401, 401, 200]

    def test_it_opens_everything(self, locked):
        created = ask(locked, "POST", "/api/sessions/create?custom_code=mine", BEARER)
        assert json.loads(created[2])["session_code"] == "mine"
        url = f"{locked.ws}/stream/mine"
        by_header = receive(url, 3, additional_headers=BEARER)
        assert len(by_header.packets) == 3
        for form, kind in (("json", str), ("msgpack", bytes)):
            wanted = [f"phantomlink.bearer.{TOKEN}", f"phantomlink.v1.{form}"]
            with connect(url, subprotocols=wanted, open_timeout=20) as websocket:
                assert websocket.subprotocol == f"phantomlink.v1.{form}"
                assert TOKEN not in str(websocket.response.headers)
                message = websocket.recv(timeout=20)
                assert isinstance(message, kind)
                assert TOKEN not in str(decode(message))
        ask(locked, "DELETE", "/api/sessions/mine", BEARER)

    def test_alone_as_a_subprotocol_it_is_not_echoed(self, locked):
        offer = f"Sec-WebSocket-Protocol: phantomlink.bearer.{TOKEN}"
        data = exchange(locked, upgrade("/stream/alone", offer), at_most=2000)
        assert status_of(data) == 101
        assert b"horse" not in data
        assert b"sec-websocket-protocol" not in data.lower()
        ask(locked, "DELETE", "/api/sessions/alone", BEARER)

    @pytest.mark.parametrize(
        "lines",
        [
            [f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {TOKEN}"],
            [f"Authorization: Basic {TOKEN}"],
            [f"Authorization: {TOKEN}"],
            [f"Authorization : Bearer {TOKEN}"],
            [f"Authorization: Bearer {TOKEN}\xff\xe9"],
            [f"Authorization: Bearer {TOKEN}\x01"],
            ["Authorization: Bearer " + TOKEN * 500],
            ["Authorization: Bearer " + TOKEN * 5_000],
            [f"X-Api-Key: {TOKEN}", f"Cookie: token={TOKEN}"],
            [f"Sec-WebSocket-Protocol: phantomlink.v1.json, phantomlink.bearer.{TOKEN}"],
            [f"Sec-WebSocket-Protocol: phantomlink.bearer.{TOKEN}\xff, phantomlink.v1.json"],
            [f"Sec-WebSocket-Protocol: phantomlink.bearer.{TOKEN}x"],
            ["Sec-WebSocket-Protocol: phantomlink.bearer." + TOKEN * 500],
            [f"Sec-WebSocket-Protocol: phantomlink.bearer.{TOKEN}", "Authorization: Bearer no"],
        ],
        ids=range(14),
    )  # fmt: skip
    @pytest.mark.parametrize("is_websocket", [True, False])
    def test_other_shapes_of_it_are_refused_and_nowhere_repeated(self, locked, lines, is_websocket):
        if is_websocket:
            raw = upgrade("/stream/never", *lines)
        else:
            text = "".join(f"{line}\r\n" for line in lines)
            raw = (
                f"GET /api/metadata HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{text}\r\n".encode(
                    "latin-1"
                )
            )
        data = exchange(locked, raw)
        assert status_of(data) in {400, 401, 431, None}, data[:200]
        assert b"horse" not in data
        assert ask(locked, "GET", "/api/sessions/never", BEARER)[0] == 404

    def test_a_page_can_read_why_it_was_refused_and_ask_first(self, locked):
        page = {"Origin": "http://localhost:5173"}
        for path in ("/health", "/api/metadata"):
            status, headers, body = ask(locked, "GET", path, page)
            check_refusal(status, headers, body)
            assert headers["Access-Control-Allow-Origin"] == page["Origin"]
        asking = page | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        status, headers, _ = ask(locked, "OPTIONS", "/api/sessions/create", asking)
        assert status == 204
        assert "Authorization" in headers["Access-Control-Allow-Headers"]
        asking["Origin"] = "http://evil.example"
        _, headers, _ = ask(locked, "OPTIONS", "/api/sessions/create", asking)
        assert "Access-Control-Allow-Origin" not in headers

    def test_foreign_pages_are_refused_even_with_it(self, locked):
        for origin in ("http://evil.example", "null"):
            status, _, problem = refused(
                f"{locked.ws}/stream/x", origin=origin, additional_headers=BEARER
            )
            assert (status, problem["title"]) == (403, "Origin not allowed")


@pytest.fixture(scope="module", params=ENTRIES)
def limited(request, synthetic_recording):
    """A server with small limits, which believes whose request it is."""
    env = {
        "PHANTOM_TRUST_PROXY": "true",
        "PHANTOM_ALLOWED_ORIGINS": "https://lab.example,http://10.0.0.5:3000",
        "PHANTOM_MAX_CLIENTS": "4",
        "PHANTOM_MAX_CLIENTS_PER_SESSION": "3",
        "PHANTOM_MAX_CLIENTS_PER_ADDRESS": "2",
        "PHANTOM_MAX_REQUESTS_PER_SECOND": "0.2",
        "PHANTOM_REQUEST_BURST": "12",
        "PHANTOM_MAX_BODY_BYTES": "2000",
        "PHANTOM_MAX_MESSAGE_BYTES": "1000",
        "PHANTOM_MAX_HEAD_BYTES": "8000",
    }
    with live_server(synthetic_recording, entry=request.param, env=env) as server:
        yield server
        assert server.process.poll() is None, server.log


_addresses = iter(f"198.51.100.{n}" for n in range(1, 255))


def somebody():
    """Headers of a client from an address that nobody has used."""
    return {"X-Forwarded-For": f"203.0.113.1, {next(_addresses)}"}


class TestOrigins:
    @pytest.mark.parametrize(
        "origin", ["https://lab.example", "http://10.0.0.5:3000", "http://localhost:5173",
                   "http://127.0.0.1:3", "http://[::1]:3000"]
    )  # fmt: skip
    def test_pages_that_may(self, limited, origin):
        got = receive(f"{limited.ws}/stream/pages", 1, origin=origin, additional_headers=somebody())
        assert len(got.packets) == 1
        who = somebody() | {"Origin": origin}
        status, headers, _ = ask(limited, "POST", "/api/sessions/cleanup", who)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)

    @pytest.mark.parametrize(
        "origin", ["null", "https://lab.example.evil.example", "http://lab.example", "https://x"]
    )
    def test_pages_that_may_not(self, limited, origin):
        who = somebody()
        url = f"{limited.ws}/stream/foreign"
        status, _, problem = refused(url, origin=origin, additional_headers=who)
        assert (status, problem["status"]) == (403, 403)
        assert origin in problem["detail"]
        assert "PHANTOM_ALLOWED_ORIGINS" in problem["detail"]
        who["Origin"] = origin
        assert ask(limited, "POST", "/api/sessions/cleanup", who)[0] == 403
        _, headers, _ = ask(limited, "GET", "/health", who)
        assert "Access-Control-Allow-Origin" not in headers
        assert ask(limited, "GET", "/api/sessions/foreign", who)[0] == 404


class TestLimits:
    def test_clients_from_one_address_of_one_session_and_in_all(self, limited):
        first, second, third = somebody(), somebody(), somebody()

        def url(code):
            return f"{limited.ws}/stream/{code}"

        with ExitStack() as listening:

            def enter(code, who):
                listening.enter_context(connect(url(code), additional_headers=who)).recv(timeout=20)

            enter("full", first)
            enter("full", first)
            status, headers, problem = refused(url("other"), additional_headers=first)
            assert (status, headers["Retry-After"]) == (429, "5")
            assert problem["title"] == "Too many clients"
            assert "there are 2 already, takes 2 at once" in problem["detail"]
            enter("full", second)
            status, headers, problem = refused(url("full"), additional_headers=second)
            assert (status, headers["Retry-After"]) == (503, "5")
            assert "of this session: there are 3 already" in problem["detail"]
            enter("more", second)
            status, _, problem = refused(url("more"), additional_headers=third)
            assert status == 503
            assert "in all: there are 4 already" in problem["detail"]
            # Nobody was made a session for.
            assert ask(limited, "GET", "/api/sessions/other", third)[0] == 404
        # Those who have left make room.
        for _ in range(50):
            if json.loads(ask(limited, "GET", "/health", somebody())[2])["active_connections"] == 0:
                break
        assert len(receive(url("full"), 1, additional_headers=first).packets) == 1

    def test_requests_of_one_address(self, limited):
        who = somebody()
        paths = ["/livez", "/health", "/api/metadata", "/nope"] * 3
        assert 429 not in [ask(limited, "GET", path, who)[0] for path in paths]
        for path in ("/livez", "/health", "/api/metadata", "/nope"):
            status, headers, body = ask(limited, "GET", path, who)
            check_refusal(status, headers, body, wanted=429)
            assert 1 <= int(headers["Retry-After"]) <= 5
            assert who["X-Forwarded-For"].split(", ")[1] in json.loads(body)["detail"]
            assert "0.2 a second after 12 at once" in json.loads(body)["detail"]
        status, headers, _ = refused(f"{limited.ws}/stream/x", additional_headers=who)
        assert status == 429
        assert 1 <= int(headers["Retry-After"]) <= 5
        # What the client says of itself is not believed, only what the proxy adds.
        who["X-Forwarded-For"] = "192.0.2.9, " + who["X-Forwarded-For"]
        assert ask(limited, "GET", "/health", who)[0] == 429
        assert ask(limited, "GET", "/health", somebody())[0] == 200

    def test_bodies(self, limited):
        path, who = "/api/sessions/create", somebody() | {"Content-Type": "application/json"}
        body = json.dumps({"custom_code": "body"}) + " " * 1950
        assert ask(limited, "POST", path, who, body)[0] == 200
        status, headers, answer = ask(limited, "POST", path, who, body + " " * 200)
        check_refusal(status, headers, answer, wanted=413)
        assert "2000 bytes" in json.loads(answer)["detail"]
        # Without a length to believe.
        status, headers, answer = ask(limited, "POST", path, who, iter([body.encode(), b" " * 200]))
        check_refusal(status, headers, answer, wanted=413)

    @pytest.mark.parametrize("message", ["x" * 1001, b"x" * 1001])
    def test_messages(self, limited, message):
        url = f"{limited.ws}/stream/messages"
        with connect(url, additional_headers=somebody()) as websocket:
            websocket.recv(timeout=20)
            websocket.send(message[: len(message) // 2])
            for _ in range(3):
                websocket.recv(timeout=20)
            websocket.send(message)
            with pytest.raises(ConnectionClosed) as caught:
                receive_to_the_end(websocket)
        assert caught.value.rcvd.code == 1009

    def test_heads(self, limited):
        data = exchange(limited, b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000)
        assert status_of(data) in {400, 431}
        if b"problem+json" in data:
            assert b"takes 8000 bytes at most" in data


@pytest.mark.parametrize("entry", ENTRIES)
def test_private_sessions_are_seen_by_their_owner_only(synthetic_recording, tmp_path, entry):
    env = {"PHANTOM_STATE_DIR": str(tmp_path), "PHANTOM_LOG_LEVEL": "DEBUG"}
    secret = ""

    def look(server):
        shown = secret[:14] + "..."
        assert server.get(f"/api/sessions/{secret}")[1]["is_private"] is True
        for path in ("/api/sessions", "/metrics", "/api/stats", "/health"):
            assert secret[15:] not in json.dumps(server.get(path))
        assert list(server.get("/api/sessions")[1]["sessions"]) == ["seen"]
        assert set(server.get("/metrics")[1]["metrics"]["sessions"]) == {"seen", shown}
        assert server.get("/api/stats")[1]["total_sessions"] == 2

    with live_server(synthetic_recording, entry=entry, env=env) as server:
        server.post("/api/sessions/create", {"custom_code": "seen"})
        status, created = server.post("/api/sessions/create", {"private": True})
        secret = created["session_code"]
        assert (status, created["is_private"]) == (200, True)
        assert re.fullmatch(r"private-[0-9a-f]{6}-[0-9a-f]{32}", secret)
        assert created["stream_url"].endswith(f"/stream/{secret}")
        assert len(receive(f"{server.ws}/stream/{secret}", 3).packets) == 3
        look(server)
        assert server.post(f"/api/control/{secret}/seek", {"packet_id": 100})[0] == 200
        both = {"private": True, "custom_code": "mine"}
        assert server.post("/api/sessions/create", both)[0] == 422
        assert server.post("/api/sessions/create", {"private": True, "lsl": True})[0] == 422
        again = {"custom_code": secret}
        assert server.post("/api/sessions/create", again)[1]["created"] is False
        server.terminate()
        assert secret[15:] not in server.log
    with live_server(synthetic_recording, entry=entry, env=env) as server:
        look(server)
        assert server.get(f"/api/control/{secret}/position")[1]["current_packet"] == 100
        assert server.request("DELETE", f"/api/sessions/{secret}")[0] == 200
        server.terminate()
        assert secret[15:] not in server.log


def test_listening_beyond_this_machine_without_a_token_is_said(synthetic_recording):
    env = {"PHANTOM_HOST": "0.0.0.0"}
    with live_server(synthetic_recording, env=env) as server:
        assert server.get("/health")[0] == 200
        assert server.log.count("Listening on 0.0.0.0, beyond this machine") == 1
    with live_server(synthetic_recording, env=env | {"PHANTOM_API_TOKEN": TOKEN}) as server:
        assert server.get("/health")[0] == 401
        assert "beyond" not in server.log
    with live_server(synthetic_recording) as server:
        assert server.address.startswith("127.0.0.1:")
        assert "beyond" not in server.log
