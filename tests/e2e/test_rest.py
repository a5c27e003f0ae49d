"""REST through the framework's test client, on the real application and a small recording."""

import hashlib
import http.client
import json
import logging
import re
from fractions import Fraction
from itertools import pairwise

import pytest
import trio
from quart.testing.connections import WebsocketResponseError

from phantomlink.app import create_app
from phantomlink.settings import Settings
from phantomlink.source.trials import OWN_FIELDS, Filter
from tests.rest import LOCAL, get, listening, post, problem, running, until
from tests.servers import ENTRIES, live_server

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


# --- The server --------------------------------------------------------------------------------


async def test_health_counts_sessions_and_listeners(app, client):
    health = await get(client, "/health")
    assert ISO.fullmatch(health.pop("timestamp"))
    assert health == {
        "status": "healthy",
        "version": "0.1.0",
        "active_sessions": 0,
        "active_connections": 0,
    }
    await post(client, "/api/sessions/create")
    session, _ = app.get_service().registry.create("heard")
    with listening(session), listening(session, Filter(trial_id=1)):
        health = await get(client, "/health")
    assert (health["active_sessions"], health["active_connections"]) == (1, 2)


async def test_before_the_start_it_is_alive_but_not_ready(synthetic_recording):
    client = create_app(Settings(lsl_enabled=False), str(synthetic_recording)).test_client()
    assert await get(client, "/livez") == {"status": "alive"}
    for path in ("/readyz", "/health", "/api/metadata", "/api/trials", "/"):
        answer = await client.get(path)
        await problem(answer, 503, "starting")
        assert int(answer.headers["Retry-After"]) > 0


async def test_going_away_shows_in_readyz_first(app, client):
    assert await get(client, "/readyz") == {"status": "ready"}
    app.get_service().shut_down()
    await problem(await client.get("/readyz"), 503, "going away")
    assert await get(client, "/livez") == {"status": "alive"}
    await problem(await client.post("/api/sessions/create"), 503, "going away")


async def test_metadata_is_that_of_the_recording(app, client, synthetic_recording):
    service = app.get_service()
    metadata = await get(client, "/api/metadata")
    grid = service.bins.grid
    assert metadata["dataset"] == "small"
    assert metadata["num_channels"] == len(metadata["unit_ids"]) == 12
    assert metadata["unit_ids"] == list(service.recording.unit_ids)
    assert metadata["total_packets"] == grid.n_bins
    assert metadata["duration_seconds"] == grid.n_bins * 0.025
    assert (metadata["frequency_hz"], metadata["bin_size_ms"]) == (40, 25.0)
    assert metadata["num_trials"] == 6
    assert metadata["is_synthetic"] is True
    assert metadata["behaviour"]["position"]["path"] == "processing/behavior/cursor_pos"
    assert metadata["behaviour"]["velocity"]["path"] == "processing/behavior/hand_vel"
    assert metadata["behaviour"]["position"]["unit"] == "mm"
    assert len(metadata["behaviour"]["found"]) == 4
    assert metadata["reaches"][0]["reach_id"] == 0
    await until(lambda: service.sha256)
    metadata = await get(client, "/api/metadata")
    assert metadata["sha256"] == hashlib.sha256(synthetic_recording.read_bytes()).hexdigest()


async def test_a_rate_that_is_no_whole_number(synthetic_recording):
    async with running(synthetic_recording, stream_frequency_hz=Fraction(1000, 33)) as app:
        metadata = await get(app.test_client(), "/api/metadata")
    assert metadata["frequency_hz"] == pytest.approx(30.303, abs=1e-3)
    assert metadata["bin_size_ms"] == 33.0


# --- Sessions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"headers": {"Content-Type": "application/json"}},
        {"data": b"  ", "headers": {"Content-Type": "application/json"}},
        {"json": {}},
        {"json": {"custom_code": None, "unknown": [1]}},
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
        async with running(synthetic_recording, trust_proxy=trust_proxy) as app:
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
    async with running(synthetic_recording, max_connections=1) as app:
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


# --- Control -----------------------------------------------------------------------------------


async def test_pause_and_resume_hold_and_go_on(app, client):
    session, _ = app.get_service().registry.create("a")
    with listening(session) as sink:
        await until(lambda: len(sink.packets) >= 4)
        for _ in range(2):
            done = await post(client, "/api/control/a/pause")
            assert done == {"status": "paused", "session_code": "a"}
        held = len(sink.packets)
        position = await get(client, "/api/control/a/position")
        assert (position["is_playing"], position["is_paused"]) == (False, True)
        assert position["current_packet"] == held
        assert position["position_seconds"] == held * 0.025
        await trio.sleep(0.1)
        assert len(sink.packets) == held
        stats = await get(client, "/api/stats/a")
        assert stats["elapsed_seconds"] == held * 0.025
        assert (stats["is_running"], stats["active_connections"]) == (True, 1)
        assert stats["timing_error_ms"]["max"] >= stats["timing_error_ms"]["mean"] >= 0
        done = await post(client, "/api/control/a/resume")
        assert done == {"status": "resumed", "session_code": "a"}
        await until(lambda: len(sink.packets) > held)
        assert (await get(client, "/api/control/a/position"))["is_playing"] is True
    assert all(b == a + 1 for a, b in pairwise(sink.ids))


async def test_stop_closes_and_rewinds(app, client):
    session, _ = app.get_service().registry.create("a")
    with listening(session) as sink:
        await until(lambda: len(sink.packets) >= 2)
        done = await post(client, "/api/control/a/stop")
        assert done == {"status": "stopped", "session_code": "a"}
    assert sink.ended == (1000, "session stopped")
    shown = await get(client, "/api/sessions/a")
    assert (shown["is_running"], shown["is_stopped"], shown["current_packet"]) == (False, True, 0)


@pytest.mark.parametrize(
    ("query", "body", "packet_id"),
    [
        ("", {"packet_id": 100}, 100),
        ("", {"position_seconds": 2.5}, 100),
        ("", {"position_seconds": 3, "packet_id": None, "unknown": 1}, 120),
        ("?packet_id=100", None, 100),
        ("?position_seconds=2.51", None, 100),
        ("?packet_id=100", {"packet_id": 100}, 100),
        ("", {"packet_id": 0}, 0),
    ],
)
async def test_seek_moves_a_session_that_has_no_listener_yet(app, client, query, body, packet_id):
    app.get_service().registry.create("a")
    answer = await client.post("/api/control/a/seek" + query, **({"json": body} if body else {}))
    assert await answer.get_json() == {
        "status": "seeked",
        "session_code": "a",
        "packet_id": packet_id,
        "position_seconds": packet_id * 0.025,
    }
    assert (await get(client, "/api/control/a/position"))["current_packet"] == packet_id
    with listening(app.get_service().registry.get("a")) as sink:
        await until(lambda: sink.packets)
    assert sink.ids[0] == packet_id


@pytest.mark.parametrize(
    ("query", "body", "words"),
    [
        ("", None, ["neither", "packet_id", "position_seconds"]),
        ("", {}, ["neither"]),
        ("", {"packet_id": 1, "position_seconds": 0.025}, ["both"]),
        ("?packet_id=1", {"position_seconds": 0.025}, ["both"]),
        ("?packet_id=1", {"packet_id": 2}, ["2 in the body", "1 in the query"]),
        ("", {"packet_id": True}, ["packet_id", "true", "a whole number"]),
        ("", {"packet_id": 1.5}, ["packet_id", "1.5", "a whole number"]),
        ("", {"packet_id": "10"}, ["packet_id", "'10'", "a whole number"]),
        ("?packet_id=x", None, ["packet_id", "'x'", "a whole number"]),
        ("", {"packet_id": -1}, ["-1", "0 to {last}"]),
        ("", {"packet_id": 10**30}, ["0 to {last}"]),
        ("?packet_id=999999", None, ["999999", "0 to {last}"]),
        ("", {"position_seconds": "2"}, ["position_seconds", "a number"]),
        ("?position_seconds=nan", None, ["position_seconds", "a number"]),
        ("", {"position_seconds": -0.001}, ["-0.001", "{duration}"]),
        ("", {"position_seconds": 10**400}, ["position_seconds", "a double"]),
        ("?position_seconds=1e999", None, ["inf", "{duration}"]),
        ("?position_seconds={duration}", None, ["{duration}"]),
    ],
)
async def test_seek_refuses_what_is_no_place(app, client, query, body, words):
    grid = app.get_service().bins.grid
    facts = {"last": grid.n_bins - 1, "duration": grid.duration_seconds}
    session, _ = app.get_service().registry.create("a")
    session.seek(7)
    path = "/api/control/a/seek" + query.format(**facts)
    answer = await client.post(path, **({} if body is None else {"json": body}))
    await problem(answer, 422, *(word.format(**facts) for word in words))
    assert session.main.playhead.bin_index == 7


# --- Trials ------------------------------------------------------------------------------------


async def test_trials_are_the_rows_of_the_table(app, client):
    trials = await get(client, "/api/trials")
    assert (trials["total_trials"], trials["count"]) == (6, 6)
    assert [trial["trial_id"] for trial in trials["trials"]] == list(range(6))
    for trial in trials["trials"]:
        assert tuple(trial)[: len(OWN_FIELDS)] == OWN_FIELDS
        assert trial["target_id"] == trial["active_target"]
        x, y = trial["target_pos"][trial["active_target"]]
        assert (trial["target_x"], trial["target_y"]) == (x, y)
        assert await get(client, f"/api/trials/{trial['trial_id']}") == trial
    assert await get(client, "/api/trials") == trials


async def test_trials_by_target_are_those_that_aimed_at_it(client):
    every = (await get(client, "/api/trials"))["trials"]
    for target_id in {trial["target_id"] for trial in every}:
        aimed = await get(client, f"/api/trials/by-target/{target_id}")
        expected = [trial for trial in every if trial["target_id"] == target_id]
        assert aimed == {"trials": expected, "count": len(expected), "target_id": target_id}


@pytest.mark.parametrize("path", ["/api/trials/6", "/api/trials/-1", "/api/trials/by-target/99"])
async def test_a_trial_that_is_not_there_is_404(client, path):
    details = await problem(await client.get(path), 404, "the recording has")
    assert details["title"] == "No such trial"


@pytest.mark.parametrize("path", ["/api/trials/x", "/api/trials/1.0", "/api/trials/by-target/x"])
async def test_a_trial_that_is_no_number_is_422(client, path):
    await problem(await client.get(path), 422, "takes a whole number")


# --- Figures -----------------------------------------------------------------------------------


async def test_figures_of_one_and_of_all(app, client):
    registry = app.get_service().registry
    session, _ = registry.create("heard")
    registry.create("silent")
    with listening(session) as sink:
        sink.dropped = 2
        await until(lambda: len(sink.packets) >= 3)
        session.pause()
        sent = len(sink.packets)
        metrics = (await get(client, "/metrics"))["metrics"]
        totals = await get(client, "/api/stats")
    assert (metrics["total_sessions"], metrics["active_sessions"]) == (2, 1)
    assert metrics["total_connections"] == 1
    heard, silent = metrics["sessions"]["heard"], metrics["sessions"]["silent"]
    assert (heard["packets_sent"], heard["dropped_packets"], heard["connections"]) == (sent, 2, 1)
    assert (heard["is_running"], heard["is_paused"]) == (True, True)
    assert heard["timing_error_ms"]["mean"] >= 0
    assert set(silent["timing_error_ms"].values()) == {None}
    assert set(silent["network_latency_ms"].values()) == {None}
    assert heard["memory_usage_mb"] == silent["memory_usage_mb"] > 10
    assert (totals["packets_sent"], totals["dropped_packets"]) == (sent, 2)
    assert (totals["total_sessions"], totals["active_connections"]) == (2, 1)
    after = (await get(client, "/metrics"))["metrics"]["sessions"]["heard"]
    assert after["dropped_packets"] == 2


async def test_more_sessions_than_are_looked_at_in_one_go(synthetic_recording):
    async with running(synthetic_recording, max_connections=30) as app:
        for n in range(25):
            app.get_service().registry.create(f"s{n}")
        client = app.test_client()
        codes = [f"s{n}" for n in range(25)]
        assert list((await get(client, "/api/sessions"))["sessions"]) == codes
        assert list((await get(client, "/metrics"))["metrics"]["sessions"]) == codes
        assert (await get(client, "/api/stats"))["total_sessions"] == 25


# --- Errors ------------------------------------------------------------------------------------


async def test_errors_of_the_framework_are_problems(client):
    await problem(await client.get("/nope"), 404, "/nope", "/docs")
    answer = await client.post("/health")
    await problem(answer, 405, "POST", "GET")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    await problem(await client.post("/api/sessions/create", data=b"x" * 70_000), 413, "65536")
    answer = await client.post(
        "/api/sessions/create", data=b"a=1", headers={"Content-Type": "text/csv"}
    )
    await problem(answer, 415, "text/csv", "application/json")


async def test_a_bug_is_logged_once_and_told_to_nobody(app, client, caplog):
    async def broken():
        raise KeyError("a secret of the inside")

    app.add_url_rule("/broken", "broken", broken)
    with caplog.at_level(logging.INFO):
        answer = await client.get("/broken")
    details = await problem(answer, 500)
    assert "secret" not in json.dumps(details)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info[0] is KeyError
    assert "/broken" in record.getMessage()
    assert await get(client, "/livez") == {"status": "alive"}


async def test_a_stream_without_an_upgrade_says_what_it_is(client):
    for path in ("/stream/a", "/stream/binary/a"):
        answer = await client.get(path)
        await problem(answer, 426, path, "ws://")
        assert answer.headers["Upgrade"] == "websocket"
    await problem(await client.get("/stream/a/b"), 400, "WebSocket")


@pytest.mark.parametrize(("path", "status"), [("/nope", 404), ("/health", 400)])
async def test_a_websocket_where_there_is_none_is_refused(client, path, status):
    async with client.websocket(path) as websocket:
        with pytest.raises(WebsocketResponseError) as caught:
            await websocket.receive()
    await problem(caught.value.response, status, path)


async def test_get_answers_head(client):
    for path in ("/health", "/livez", "/readyz", "/metrics", "/api/metadata", "/api/trials", "/"):
        answer = await client.head(path)
        assert answer.status_code == 200
        assert int(answer.headers["Content-Length"]) > 0


# --- On a real connection ----------------------------------------------------------------------


@pytest.fixture(scope="module", params=ENTRIES)
def server(request, synthetic_recording):
    with live_server(synthetic_recording, entry=request.param) as server:
        yield server


def test_on_a_real_connection(server):
    """What the test client does not show: how bodies, and their absence, are sent."""
    connection = http.client.HTTPConnection(server.address, timeout=20)

    def ask(method, path, body=None, **headers):
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()

    answer, body = ask("HEAD", "/health")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    answer, body = ask(
        "OPTIONS", "/api/sessions/a", Origin=LOCAL, Access_Control_Request_Method="DELETE"
    )
    assert (answer.status, body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == LOCAL
    answer, body = ask("POST", "/api/sessions/create", b'{"custom_code": "a"}')
    assert json.loads(body)["stream_url"] == f"ws://{server.address}/stream/a"
    answer, body = ask("GET", "/stream/a")
    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    answer, body = ask("GET", "/docs/swagger-ui-bundle.js")
    assert len(body) == int(answer.headers["Content-Length"]) > 1_000_000
    answer, body = ask("GET", "/api/trials")
    assert json.loads(body)["count"] == 6
    answer, body = ask("DELETE", "/api/sessions/a")
    assert json.loads(body) == {"status": "deleted", "session_code": "a"}
    connection.close()
    assert "Traceback" not in server.log
