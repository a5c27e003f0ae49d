"""Polled routes are answered without hypercorn and framework, and as the framework answers."""

import json
import logging

import pytest
import trio

from phantomlink.access.request_identity import UNKNOWN_ADDRESS, RequestIdentity
from phantomlink.engine.session import NO_FILTER
from phantomlink.rest import polled, views
from phantomlink.scheduling import loop_budget
from tests.fakes import ListSink
from tests.front import LOCAL_ORIGIN, ROUTES, Client
from tests.servers import ENTRIES, live_server

FOREIGN = "Origin: http://evil.example\r\n"
# The framework's business: says that there is no body, which goes without saying.
SLOW = "Content-Length: 0\r\n"
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


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("origin", ["", LOCAL_ORIGIN, FOREIGN])
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
            assert allowed == (origin == LOCAL_ORIGIN), path


@pytest.mark.parametrize("entry", ENTRIES)
def test_both_entries_answer_as_the_framework_does(synthetic_recording, entry):
    async def compare(address):
        async with await trio.open_tcp_stream(*address) as stream:
            client = Client(stream)
            for path in (*ROUTES, *ERRORS):
                for method in ("GET", "HEAD"):
                    fast = await client.ask(path, LOCAL_ORIGIN, method=method)
                    slow = await client.ask(path, LOCAL_ORIGIN + SLOW, method=method)
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


@pytest.mark.parametrize("path", ["/metrics", "/api/stats", "/api/sessions"])
async def test_a_hundred_sessions_are_told_of_bit_by_bit(front, path, nursery, monkeypatch):
    monkeypatch.setattr(loop_budget, "LONGEST_NS", 0)
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
    policy = front.app.get_access_policy()
    requester = RequestIdentity("GET", path, UNKNOWN_ADDRESS, hosts=("localhost",))
    _, _, body = await call.answer(front.app.get_service, policy, requester)
    assert turns - before >= 99
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
