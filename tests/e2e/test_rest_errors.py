"""REST: what is no route, what is too much, and what is our own fault."""

import json
import logging

import pytest
from quart.testing.connections import WebsocketResponseError

from tests.rest import get, problem


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


async def test_a_bug_is_logged_once_and_told_to_nobody(app, client, caplog, monkeypatch):
    def broken(code):
        raise KeyError("a secret of the inside")

    monkeypatch.setattr(app.get_service().registry, "get", broken)
    with caplog.at_level(logging.INFO):
        answer = await client.get("/api/stats/broken")
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
    await problem(await client.get("/stream/a/b"), 404, "/stream/a/b")


@pytest.mark.parametrize(("path", "status"), [("/nope", 404), ("/health", 404)])
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
