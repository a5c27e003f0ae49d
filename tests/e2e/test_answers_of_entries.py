"""Every entry answers alike, and gives ticks their turn while it does."""

import json
import logging

import msgspec
import pytest
import trio

from phantomlink.engine.events import NO_FILTER
from phantomlink.rest.request import RequestHead
from phantomlink.rest.routes.metrics import session_metrics
from phantomlink.scheduling import loop_budget
from tests.fakes import ListSink
from tests.front import LOCAL_ORIGIN, ROUTES

FOREIGN = "Origin: http://evil.example\r\n"
ERRORS = {
    "/api/stats/nobody": 404,
    "/api/control/nobody/position": 404,
    "/api/sessions/nobody": 404,
    "/api/sessions/nobody/timing": 404,
    "/api/sessions/create": 404,
    "/api/sessions/a?x=1": 422,
    "/api/sessions/a/timing?fromat=text": 422,
    "/api/stats/..": 422,
    "/api/stats/a.b": 422,
    f"/api/sessions/{'x' * 65}": 422,
    "/api/sessions/a/timing?format=xml": 422,
    "/api/sessions/a/timing?format=": 422,
    "/api/sessions/a/timing?format=text&format=json": 422,
}
HEADERS = ((b"host", b"localhost"),)
# What differs from one moment to the next.
MOMENT = {"timestamp", "memory_usage_mb", "last_accessed", "server"}


def without_the_moment(answer, method):
    """An answer without what another one, a moment later, may have otherwise."""
    status, headers, body = answer
    # A server adds the date, and leaves away the body for a HEAD.
    own = [(name, value) for name, value in headers if name not in (b"date", b"content-length")]
    (length,) = (int(value) for name, value in headers if name == b"content-length")
    if method == "HEAD":
        return status, own
    assert length == len(body)
    if body.startswith(b"{"):
        body = json.dumps(_drop(json.loads(body))).encode()
    elif body:
        body = b"".join(line[:28] for line in body.splitlines()[2:6])
    return status, own, body


async def no_body():
    return b""


def _drop(value):
    if isinstance(value, dict):
        return {name: _drop(member) for name, member in value.items() if name not in MOMENT}
    return value


class AsgiClient:
    """Calls the application as an ASGI server does, one request at a time."""

    def __init__(self, app):
        self._app = app

    async def ask(self, path, headers="", *, method="GET", **more):
        """(status, headers in order, body)."""
        path, _, query = path.partition("?")
        given = [line.split(": ", 1) for line in headers.splitlines()]
        scope = {
            "type": "http", "method": method, "http_version": "1.1", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
            "headers": [(b"host", b"localhost")]
            + [(name.lower().encode(), value.encode()) for name, value in given],
        } | more  # fmt: skip
        sent, received = [], [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            return received.pop() if received else await trio.sleep_forever()

        async def send(message):
            sent.append(message)

        await self._app(scope, receive, send)
        assert [event.get("more_body") for event in sent][-1] is False
        body = b"".join(event.get("body", b"") for event in sent)
        return sent[0]["status"], sent[0]["headers"], body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("origin", ["", LOCAL_ORIGIN, FOREIGN])
async def test_serve_answers_as_the_application_does(front, method, origin):
    asgi = AsgiClient(front.app)
    async with front.client() as client:
        for path in (*ROUTES, *ERRORS):
            served = await client.ask(path, origin, method=method)
            called = await asgi.ask(path, origin, method=method)
            assert without_the_moment(served, method) == without_the_moment(called, method), path
            assert served[0] == ERRORS.get(path, 200), path
            assert bool(served[2]) == (method == "GET")
            allowed = (b"access-control-allow-origin", b"http://localhost:3000") in served[1]
            assert allowed == (origin == LOCAL_ORIGIN), path


async def test_unavailable_says_when_to_try_again(front):
    front.app.get_service()._not_ready = "the recording is being opened"
    async with front.client() as client:
        status, headers, _ = await client.ask("/readyz")
    assert status == 503
    assert (b"retry-after", b"5") in headers


async def test_a_bug_is_logged_once_and_costs_one_request(front, monkeypatch, caplog):
    def fail(code):
        raise ValueError("secret")

    monkeypatch.setattr(front.app.get_service().registry, "get", fail)
    async with front.client() as client:
        with caplog.at_level(logging.ERROR):
            status, _, body = await client.ask("/api/stats/a")
        (record,) = caplog.records
        assert "GET /api/stats/a failed" in record.message
        assert record.exc_info[0] is ValueError
        assert status == 500
        assert b"secret" not in body
        assert (await client.ask("/livez"))[0] == 200


async def test_the_application_goes_by_what_was_sent(front):
    asgi = AsgiClient(front.app)
    assert (await asgi.ask("/livez", raw_path=b"/live%7a"))[0] == 200
    assert (await asgi.ask("/livez", raw_path=b"/live%2F"))[0] == 404
    assert (await asgi.ask("/livez", raw_path=None))[0] == 200
    assert (await asgi.ask("/livez", http_version="2"))[0] == 200
    assert (await asgi.ask("/livez", raw_path=b"/p/livez", root_path="/p"))[0] == 200
    status, headers, _ = await asgi.ask("/api/sessions/a/timing?format=text")
    assert (status, dict(headers)[b"content-type"]) == (200, b"text/plain; charset=utf-8")


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
    before = turns
    response = await front.app.dispatch(RequestHead("GET", path, headers=HEADERS), no_body)
    body = response.body
    assert turns - before >= 99
    session.unsubscribe(sink)
    said = json.loads(body)
    if path == "/metrics":
        assert list(said) == ["timestamp", "service", "version", "metrics"]
        said = said["metrics"]
        assert (said["active_sessions"], said["total_connections"]) == (1, 1)
        memory_mb = said["sessions"]["s-8"]["memory_usage_mb"]
        expected = msgspec.to_builtins(session_metrics(registry.get("s-8"), memory_mb))
        assert said["sessions"]["s-8"] == expected
    if path != "/api/stats":
        assert list(said["sessions"]) == [session.code for session in registry]
    assert said["total_sessions"] == 100
