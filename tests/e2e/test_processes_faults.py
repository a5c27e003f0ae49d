"""`phantomlink serve --processes 2`: what one process knows and another is asked for."""

import http.client
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from phantomlink.cluster import parent
from phantomlink.settings import Settings
from tests.e2e.test_processes import workers_of
from tests.servers import live_server
from tests.waiting import until

CODES = ["a", "b", "c", "d"]


@pytest.fixture
def server(synthetic_recording, tmp_path):
    env = {
        "PHANTOM_PROCESSES": "2",
        "PHANTOM_MAX_SESSIONS": "10",
        "PHANTOM_MODELS_DIR": str(tmp_path / "models"),
    }
    with live_server(synthetic_recording, env=env) as server:
        for code in CODES:
            server.create(code)
        yield server
        assert "Traceback" not in server.log


def test_the_processes_are_listed_with_what_they_have(server):
    nodes = server.get("/api/nodes")[1]["nodes"]
    assert [node["name"] for node in nodes] == ["0", "1"]
    assert [node["sessions"] for node in nodes] == [2, 2]
    assert {(node["state"], node["room"], node["clock_offset_ms"]) for node in nodes} == {
        ("up", 6, 0.0)
    }
    assert sorted(node["epoch"] for node in nodes) == [1, 2]
    assert "small" in nodes[0]["datasets"]


def status(address, method, path):
    """Of one request on a connection of its own; its answer is read to the end."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_a_connection_that_a_dying_process_has_not_read_is_answered_by_the_heir(server):
    victim = workers_of(server)[0]
    os.kill(victim.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(len(CODES)) as pool:
        answers = [
            pool.submit(status, server.address, "GET", f"/api/sessions/{code}") for code in CODES
        ]
        # Those of the process that runs, and none of the other's.
        until(lambda: sum(each.done() for each in answers) == 2, "answers")
        os.kill(victim.pid, signal.SIGKILL)
        assert [each.result() for each in answers] == [200] * len(CODES)


async def test_a_request_that_nobody_can_serve_is_refused(nursery, monkeypatch):
    monkeypatch.setattr(parent, "_OWNER_SECONDS", 0.0)
    without_workers = parent.Parent(Settings(processes=2), None, (), nursery)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(trio.serve_listeners, without_workers.handle, listeners)
    client = await trio.open_tcp_stream(*listeners[0].socket.getsockname())
    async with client:
        await client.send_all(b"GET /api/sessions/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join([piece async for piece in client])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 5\r\n" in head
    assert json.loads(body)["detail"] == "no process can serve this now: try again"


def decoders_of(server, code):
    return f"/api/sessions/{code}/decoders/kf"


def test_a_model_is_known_to_all_processes_and_deleted_where_none_uses_it(server):
    code, answer = server.post("/api/sessions/a/calibrate", {"decoder": "ridge"})
    assert code == 202, answer
    path = "/api/models/" + answer["model_id"]
    until(lambda: server.get(path)[1]["state"] == "ready", "the model")
    listed = server.get("/api/models")[1]["models"]
    assert [each["model_id"] for each in listed] == [answer["model_id"]]
    for code in CODES:
        put = server.request("PUT", decoders_of(server, code), {"model": answer["model_id"]})
        assert put[0] == 200, put
    for code in CODES:
        # Whichever process is asked: two connections in a row go to two of them.
        for _ in range(2):
            assert server.request("DELETE", path)[0] == 409
        assert server.request("DELETE", decoders_of(server, code))[0] == 200
    assert server.request("DELETE", path)[0] == 200
    assert [server.get(path)[0] for _ in range(2)] == [404, 404]
    assert server.request("DELETE", path)[0] == 404
