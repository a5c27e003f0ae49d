"""`phantomlink serve --processes 2 --state-dir DIRECTORY`: killed as a whole and started again."""

import http.client
import json
import os
import signal

import pytest

from phantomlink.recordings.synthetic.named import synthesize_named
from tests.clients import listening, receive
from tests.e2e.test_processes import workers_of
from tests.servers import live_server
from tests.waiting import until

CODES = [f"s{n}" for n in range(6)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """200 packets."""
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    synthesize_named(path, units=5, seconds=5.0)
    return path


def kept(folder):
    """The sessions of the state file, by code; none until it has been written."""
    paths = list(folder.glob("sessions-*.json"))
    if not paths:
        return {}
    (path,) = paths
    return {entry["code"]: entry for entry in json.loads(path.read_text())["sessions"]}


def positions(server):
    sessions = server.get("/api/sessions")[1]["sessions"]
    return {code: (each["current_packet"], each["is_paused"]) for code, each in sessions.items()}


def sessions_by_process(server):
    nodes = server.get("/api/nodes")[1]["nodes"]
    return {node["name"]: node["sessions"] for node in nodes}


def answer_of(server, code):
    """Its status, asked on a connection of its own."""
    connection = http.client.HTTPConnection(server.address, timeout=20)
    connection.request("GET", f"/api/sessions/{code}")
    status = connection.getresponse().status
    connection.close()
    return status


def test_after_a_kill_of_all_processes_sessions_are_where_they_were(recording, tmp_path):
    folder = tmp_path / "state"
    env = {"PHANTOM_STATE_DIR": str(folder), "PHANTOM_PROCESSES": "2"}
    held = {code: (10 * n + 7, True) for n, code in enumerate(CODES)}
    with live_server(recording, env=env) as server:
        for code, (position, _) in held.items():
            server.create(code, seed=3)
            server.post(f"/api/control/{code}/seek", {"packet_id": position})
            server.post(f"/api/control/{code}/pause")
        with listening(f"{server.ws}/stream/plays") as client:
            # Also while nothing happens to it its position is kept.
            until(lambda: kept(folder).get("plays", {}).get("bin_index", 0) > 30)
            until(lambda: set(kept(folder)) == {*CODES, "plays"})
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(60)
        at = kept(folder)["plays"]["bin_index"]
        # What was kept has been played.
        assert at <= client.packets[-1]["packet_id"] + 1 or client.packets[-1]["loop"]
    with live_server(recording, env=env) as server:
        assert positions(server) == held | {"plays": (at, False)}
        assert sorted(sessions_by_process(server).values()) == [3, 4]
        again = receive(f"{server.ws}/stream/plays", 20)
        assert again.ids[0] == again.sequence[0] == at
        # One that has been played on is kept where it stands, at the end of the server too.
        until(lambda: server.get("/api/stats/plays")[1]["active_connections"] == 0)
        at = server.get("/api/control/plays/position")[1]["current_packet"]
        assert server.terminate() == 0
    assert kept(folder)["plays"]["bin_index"] == at
    # One process can go on with the sessions of two, and two with those of one.
    with live_server(recording, env=env | {"PHANTOM_PROCESSES": "1"}) as server:
        assert positions(server) == held | {"plays": (at, False)}
        assert server.post("/api/control/s0/seek", {"packet_id": 111})[0] == 200
        assert server.terminate() == 0
    with live_server(recording, env=env) as server:
        assert positions(server) == held | {"plays": (at, False), "s0": (111, True)}


def test_sessions_that_came_back_survive_the_death_of_their_process(recording, tmp_path):
    folder = tmp_path / "state"
    env = {"PHANTOM_STATE_DIR": str(folder), "PHANTOM_PROCESSES": "2"}
    with live_server(recording, env=env) as server:
        for code in CODES:
            server.create(code)
        until(lambda: set(kept(folder)) == set(CODES))
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait(60)
    with live_server(recording, env=env) as server:
        assert set(positions(server)) == set(CODES)
        workers_of(server)[0].kill()
        assert [answer_of(server, code) for code in CODES] == [200] * len(CODES)
        assert set(kept(folder)) == set(CODES)
        assert server.post("/api/control/s1/seek", {"packet_id": 50})[0] == 200
        until(lambda: kept(folder)["s1"]["bin_index"] == 50)
        server.request("DELETE", "/api/sessions/s2")
        until(lambda: "s2" not in kept(folder))


def test_a_second_server_is_told_that_another_one_has_the_file(recording, tmp_path):
    env = {"PHANTOM_STATE_DIR": str(tmp_path / "state"), "PHANTOM_PROCESSES": "2"}
    with live_server(recording, env=env) as first:
        first.create("a")
        until(lambda: set(kept(tmp_path / "state")) == {"a"})
        with live_server(recording, env=env) as second:
            assert positions(second) == {}
            assert second.log.count("Sessions are not kept over a restart: another server") == 1
            second.create("b")
        until(lambda: set(kept(tmp_path / "state")) == {"a"})
