"""REST: sessions are paused, stopped and sought in."""

from itertools import pairwise

import pytest
import trio

from tests.rest import get, listening, post, problem, until


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
        ("", {"position_seconds": 3, "packet_id": None}, 120),
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
        ("", None, ["none", "packet_id", "position_seconds", "trial_id"]),
        ("", {}, ["none"]),
        ("", {"packet_id": 1, "position_seconds": 0.025}, ["packet_id and position_seconds"]),
        ("?packet_id=1", {"position_seconds": 0.025}, ["packet_id and position_seconds"]),
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
