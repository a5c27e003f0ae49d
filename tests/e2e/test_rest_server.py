"""REST: what the server says of itself, of its recording and of all that it plays."""

import hashlib
from fractions import Fraction

import pytest

from phantomlink.app import create_app
from phantomlink.recordings.trials import Filter
from phantomlink.settings import Settings
from tests.rest import ISO, get, listening, post, problem, running, until


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
    async with running(synthetic_recording, max_sessions=30) as app:
        for n in range(25):
            app.get_service().registry.create(f"s{n}")
        client = app.test_client()
        codes = [f"s{n}" for n in range(25)]
        assert list((await get(client, "/api/sessions"))["sessions"]) == codes
        assert list((await get(client, "/metrics"))["metrics"]["sessions"]) == codes
        assert (await get(client, "/api/stats"))["total_sessions"] == 25
