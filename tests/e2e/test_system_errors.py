"""What only the operating system refuses, to a server that plays: room on a disk, descriptors,
threads.

The first two are limits of the process, put on it while it runs: whatever it writes or opens then
fails.
"""

import http.client
import json
import resource
from contextlib import closing, contextmanager

import psutil
import pytest

from phantomlink.recordings.synthetic import synthesize_named
from tests.clients import listening
from tests.servers import live_server
from tests.threadless import VARIABLE
from tests.waiting import until


@contextmanager
def limited(process, what, most):
    """A process, and what it starts, may have no more than so many of something."""
    pid = psutil.Process(process.pid)
    before = pid.rlimit(what)
    pid.rlimit(what, (most, before[1]))
    try:
        yield
    finally:
        pid.rlimit(what, before)


class OneConnection:
    """Requests over a connection that is open already."""

    def __init__(self, address):
        self._connection = http.client.HTTPConnection(address, timeout=60)

    def ask(self, method, path, body=None):
        headers = {"Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def close(self):
        self._connection.close()


@pytest.fixture
def running(tmp_path, maze_recording):
    """A server, a connection to it and a client that listens to session "a"."""
    folders = {name: tmp_path / name for name in ("state", "captures", "models", "cache", "data")}
    folders["data"].mkdir()
    synthesize_named(folders["data"] / "other.nwb", units=3, seconds=5.0)
    (folders["data"] / "maze.nwb").symlink_to(maze_recording)
    env = {
        "PHANTOM_STATE_DIR": str(folders["state"]),
        "PHANTOM_CAPTURE_DIR": str(folders["captures"]),
        "PHANTOM_CAPTURE_MIN_FREE_MB": "1",
        "PHANTOM_MODELS_DIR": str(folders["models"]),
        "XDG_CACHE_HOME": str(folders["cache"]),
        VARIABLE: str(tmp_path / "no-threads"),
    }
    with (
        live_server(folders["data"] / "maze.nwb", env=env, command="tests.threadless") as server,
        closing(OneConnection(server.address)) as connection,
        listening(f"{server.ws}/stream/a") as client,
    ):
        # What the first use of it loads, and opens, is there.
        for path in ("/api/stats/a", "/api/models", "/api/captures"):
            assert connection.ask("GET", path)[0] == 200
        until(lambda: "maze" in str(connection.ask("GET", "/api/datasets")))
        yield server, connection, client, folders
        n = len(client.packets)
        until(lambda: len(client.packets) > n + 10)
        assert client.close_code is None
        assert server.terminate() == 0, server.log
    assert not client.gaps
    assert "Traceback" not in server.log, server.log


def capture(connection, code):
    return connection.ask("POST", "/api/captures", {"session": code})


def state_of_capture(connection, started):
    return connection.ask("GET", f"/api/captures/{started['id']}")[1]


def failed_model(connection):
    """The reason why a model is not fitted."""
    status, answer = connection.ask("POST", "/api/sessions/a/calibrate", {"decoder": "ridge"})
    assert status == 202, answer
    model = f"/api/models/{answer['model_id']}"
    until(lambda: connection.ask("GET", model)[1]["state"] == "failed")
    return connection.ask("GET", model)[1]["reason"]


def test_a_disk_that_is_full_costs_what_is_written_and_no_packet(running):
    server, connection, _, folders = running
    status, started = capture(connection, "a")
    assert status == 201
    until(lambda: state_of_capture(connection, started)["packets"] > 10)
    with limited(server.process, resource.RLIMIT_FSIZE, 0):
        until(lambda: state_of_capture(connection, started)["state"] == "torn")
        assert "File too large" in state_of_capture(connection, started)["reason"]
        before = sorted(folders["captures"].iterdir())
        status, problem = capture(connection, "a")
        assert status >= 500
        assert "File too large" in problem["detail"]
        assert sorted(folders["captures"].iterdir()) == before
        assert connection.ask("POST", "/api/sessions/create", {"custom_code": "b"})[0] == 200
        until(lambda: "Sessions are not kept over a restart now" in server.log)
        assert failed_model(connection)
        assert connection.ask("GET", "/api/metadata?dataset=other")[0] == 200
    until(lambda: "Sessions are kept over a restart again" in server.log)
    assert server.log.count("Sessions are not kept") == 1
    (kept,) = folders["state"].glob("*.json")
    assert {each["code"] for each in json.loads(kept.read_text())["sessions"]} == {"a", "b"}
    status, started = capture(connection, "a")
    until(lambda: state_of_capture(connection, started)["packets"] > 10)
    assert connection.ask("POST", f"/api/captures/{started['id']}/stop")[1]["state"] == "complete"
    left = [path.name for folder in folders.values() for path in folder.rglob("*")]
    assert not [name for name in left if name.endswith((".part", ".tmp"))]


def test_without_descriptors_what_needs_one_is_refused_and_streams_go_on(running):
    server, connection, _, folders = running
    status, started = capture(connection, "a")
    until(lambda: state_of_capture(connection, started)["packets"] > 10)
    with limited(server.process, resource.RLIMIT_NOFILE, 1):
        assert capture(connection, "a")[0] >= 400
        assert connection.ask("POST", "/api/sessions/create", {"custom_code": "b"})[0] == 200
        status, problem = connection.ask("GET", "/api/metadata?dataset=other")
        assert (status, "Too many open files" in problem["detail"]) == (503, True)
        assert "Too many open files" in failed_model(connection)
        stopped = connection.ask("POST", f"/api/captures/{started['id']}/stop")[1]
        assert (stopped["state"], "Too many" in stopped["reason"]) == ("torn", True)
        until(lambda: "could not be converted: no process can be started" in server.log)
        until(lambda: "Sessions are not kept over a restart now" in server.log)
    until(lambda: "Sessions are kept over a restart again" in server.log)
    status, started = capture(connection, "a")
    assert status == 201
    until(lambda: state_of_capture(connection, started)["packets"] > 10)
    assert connection.ask("POST", f"/api/captures/{started['id']}/stop")[1]["state"] == "complete"
    assert connection.ask("GET", "/api/metadata?dataset=other")[0] == 200
    # What was torn is recovered when it is asked for.
    assert any(folders["captures"].glob("*.plj"))


def test_without_threads_what_needs_one_is_refused_or_waits_and_streams_go_on(running, tmp_path):
    server, connection, client, folders = running
    status, started = capture(connection, "a")
    until(lambda: state_of_capture(connection, started)["packets"] > 10)
    connection.ask("POST", "/api/sessions/create", {"custom_code": "b"})
    refused = tmp_path / "no-threads"
    refused.touch()
    for asked in (
        lambda: capture(connection, "b"),
        lambda: connection.ask("GET", "/api/metadata?dataset=other"),
        lambda: connection.ask("GET", "/api/trials"),
    ):
        status, problem = asked()
        assert (status, "no thread can be started" in problem["detail"]) == (503, True)
    assert connection.ask("POST", "/api/control/a/seek", {"packet_id": 100})[0] == 200
    until(lambda: "what runs beside the streams waits" in server.log)
    n = len(client.packets)
    until(lambda: len(client.packets) > n + 40)
    refused.unlink()
    assert connection.ask("GET", "/api/metadata?dataset=other")[0] == 200
    assert connection.ask("POST", "/api/sessions/create", {"custom_code": "c"})[0] == 200
    until(lambda: any('"c"' in path.read_text() for path in folders["state"].glob("*.json")))
    assert connection.ask("POST", f"/api/captures/{started['id']}/stop")[1]["state"] == "complete"


def test_without_threads_a_server_stops_as_told(tmp_path, maze_recording):
    refused = tmp_path / "no-threads"
    env = {VARIABLE: str(refused)}
    with live_server(maze_recording, env=env, command="tests.threadless") as server:
        with listening(f"{server.ws}/stream/a") as client:
            until(lambda: client.packets)
            refused.touch()
            assert server.terminate() == 0, server.log
        assert client.close_code == 1001
        assert "Nothing watches the grace period" in server.log
        assert "Traceback" not in server.log
