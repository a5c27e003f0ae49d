"""REST: sessions are made, found, listed and ended."""

import re

import pytest

from tests.rest import ISO, get, listening, post, problem, running


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"headers": {"Content-Type": "application/json"}},
        {"data": b"  ", "headers": {"Content-Type": "application/json"}},
        {"json": {}},
        {"json": {"custom_code": None}},
        {"data": b"{}"},
    ],
)
async def test_a_session_needs_no_code(client, request_):
    created = await post(client, "/api/sessions/create", **request_)
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d+", created["session_code"])
    assert created["stream_url"] == f"ws://localhost/stream/{created['session_code']}"
    assert ISO.fullmatch(created["created_at"])
    assert created["created"] is True
    assert created["lsl"] == {
        "is_available": False,
        "reason": "LSL is switched off (PHANTOM_LSL_ENABLED)",
        "has_consumers": False,
        "streams": [],
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/sessions/create", {"custom_code": "My_Code-1"}),
        ("/api/sessions/create?custom_code=My_Code-1", None),
        ("/api/sessions/create?custom_code=My_Code-1", {"custom_code": "My_Code-1"}),
    ],
)
async def test_a_code_of_ones_own_finds_the_same_session_again(client, path, body):
    first = await post(client, path, json=body) if body else await post(client, path)
    again = await post(client, "/api/sessions/create", json={"custom_code": "My_Code-1"})
    other_case = await post(client, "/api/sessions/create", json={"custom_code": "my_code-1"})
    assert first["session_code"] == again["session_code"] == "My_Code-1"
    assert (first["created"], again["created"], other_case["created"]) == (True, False, True)
    assert first["created_at"] == again["created_at"]
    assert (await get(client, "/api/sessions"))["total_sessions"] == 2


@pytest.mark.parametrize(
    ("path", "kwargs", "words"),
    [
        ("", {"json": {"custom_code": ""}}, ["''", "1 to 64 letters"]),
        ("", {"json": {"custom_code": "a" * 65}}, ["1 to 64 letters"]),
        ("", {"json": {"custom_code": "a b"}}, ["'a b'", "1 to 64 letters"]),
        ("", {"json": {"custom_code": 42}}, ["custom_code", "42", "a text"]),
        ("", {"json": ["x"]}, ["body", '["x"]', "a JSON object"]),
        ("", {"data": b"{", "headers": {"Content-Type": "application/json"}}, ["not JSON"]),
        ("?custom_code=", {}, ["1 to 64 letters"]),
        ("?custom_code=a&custom_code=b", {}, ["custom_code", "2 times"]),
        ("?custom_code=a", {"json": {"custom_code": "b"}}, ["'b' in the body", "'a' in the query"]),
    ],
)
async def test_what_is_no_code_is_refused(client, path, kwargs, words):
    await problem(await client.post("/api/sessions/create" + path, **kwargs), 422, *words)
    assert (await get(client, "/api/sessions"))["total_sessions"] == 0


async def test_the_stream_url_is_the_way_the_client_came(synthetic_recording):
    forwarded = {
        "Host": "inner:8000",
        "X-Forwarded-Proto": "https, http",
        "X-Forwarded-Host": "lab.example, inner",
    }
    for trust_proxy, base in ((False, "ws://inner:8000"), (True, "wss://lab.example")):
        async with running(
            synthetic_recording, trust_proxy=trust_proxy, allowed_hosts=("lab.example",)
        ) as app:
            created = await post(
                app.test_client(), "/api/sessions/create?custom_code=a", headers=forwarded
            )
        assert created["stream_url"] == f"{base}/stream/a"


async def test_a_session_ends_once(app, client):
    await post(client, "/api/sessions/create?custom_code=a")
    session = app.get_service().registry.get("a")
    with listening(session) as sink:
        answer = await client.delete("/api/sessions/a")
        assert await answer.get_json() == {"status": "deleted", "session_code": "a"}
        assert answer.status_code == 200
    assert sink.ended == (4410, "session deleted")
    details = await problem(await client.delete("/api/sessions/a"), 404, "'a'")
    assert details["title"] == "No such session"
    assert (await get(client, "/api/sessions")) == {"sessions": {}, "total_sessions": 0}


@pytest.mark.parametrize("code", ["create", "cleanup", "by-target"])
async def test_names_of_routes_are_codes_too(client, code):
    await problem(await client.get(f"/api/sessions/{code}"), 404)
    await post(client, f"/api/sessions/create?custom_code={code}")
    assert (await get(client, f"/api/sessions/{code}"))["session_code"] == code
    assert (await client.delete(f"/api/sessions/{code}")).status_code == 200


async def test_cleanup_ends_what_has_expired(app, client):
    for code in ("old", "new"):
        await post(client, f"/api/sessions/create?custom_code={code}")
    app.get_service().registry.get("old").last_used -= 3601
    assert await post(client, "/api/sessions/cleanup") == {"cleaned_up": 1}
    assert list((await get(client, "/api/sessions"))["sessions"]) == ["new"]
    assert await post(client, "/api/sessions/cleanup") == {"cleaned_up": 0}


async def test_no_room_is_503_until_somebody_leaves(synthetic_recording):
    async with running(synthetic_recording, max_sessions=1) as app:
        client = app.test_client()
        session, _ = app.get_service().registry.create("first")
        with listening(session):
            answer = await client.post("/api/sessions/create")
            details = await problem(answer, 503, "all 1 sessions have listeners")
            assert details["title"] == "Too many sessions"
            assert int(answer.headers["Retry-After"]) > 0
        await post(client, "/api/sessions/create?custom_code=second")
        assert list((await get(client, "/api/sessions"))["sessions"]) == ["second"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/sessions/nobody"),
        ("DELETE", "/api/sessions/nobody"),
        ("POST", "/api/control/nobody/pause"),
        ("POST", "/api/control/nobody/resume"),
        ("POST", "/api/control/nobody/stop"),
        ("POST", "/api/control/nobody/seek?packet_id=1"),
        ("GET", "/api/control/nobody/position"),
        ("GET", "/api/stats/nobody"),
    ],
)
async def test_a_session_that_is_not_there_is_404(client, method, path):
    answer = await client.open(path, method=method)
    details = await problem(answer, 404, "nobody")
    assert details["title"] == "No such session"
    assert (await get(client, "/api/sessions"))["total_sessions"] == 0
