"""`phantomlink serve --processes 2`: one server to its clients, also when a process of it dies."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import msgpack
import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from phantomlink.recordings.synthetic.named import synthesize_named
from tests.clients import listening, receive
from tests.commands import finish, start
from tests.nodes import SECRET
from tests.servers import live_server
from tests.waiting import until

CODES = [f"s{n}" for n in range(6)]


@pytest.fixture(scope="module")
def server(synthetic_recording):
    env = {"PHANTOM_PROCESSES": "2", "PHANTOM_MAX_SESSIONS": "40"}
    with live_server(synthetic_recording, env=env) as server:
        for code in CODES:
            server.create(code, seed=5)
        yield server


def workers_of(server):
    return [child for child in psutil.Process(server.process.pid).children() if _is_worker(child)]


def _is_worker(process):
    try:
        return "phantomlink.cluster.worker_process" in process.cmdline()
    except psutil.NoSuchProcess:
        # It ended while we looked, or has ended and was not waited for yet.
        return False


def sessions_by_node(server):
    """What each process has, by its own figures."""
    connection = http.client.HTTPConnection(server.address, timeout=20)
    connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
    text = connection.getresponse().read().decode()
    connection.close()
    lines = [line for line in text.splitlines() if line.startswith("phantomlink_sessions{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


def follows_the_recording(got):
    """Whether every packet is the one that its number says: a stall may have skipped some."""
    n_bins = got.metadata["data"]["total_packets"]
    first = got.ids[0] - got.sequence[0]
    numbers = got.sequence
    return numbers == sorted(set(numbers)) and got.ids == [(first + n) % n_bins for n in numbers]


def test_the_process_that_listens_imports_nothing_that_plays():
    code = "import sys, phantomlink.cluster.parent; print(sorted(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"'numpy'", "'h5py'", "'quart'", "'coredis'"} & set(
        modules.stdout.strip("[]\n").split(", ")
    )


def test_with_one_process_nothing_of_it_is_imported():
    code = "import sys, phantomlink.server.serve; print(sorted(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "phantomlink.cluster" not in modules.stdout


def test_sessions_are_spread_and_listed_as_one(server):
    status, listed = server.get("/api/sessions")
    assert status == 200
    assert set(CODES) <= set(listed["sessions"])
    assert listed["total_sessions"] == len(listed["sessions"])
    by_node = sessions_by_node(server)
    assert set(by_node) == {"0", "1"}
    assert min(by_node.values()) >= 2
    assert server.get("/api/stats")[1]["total_sessions"] == sum(by_node.values())
    assert len(server.get("/metrics")[1]["metrics"]["sessions"]) == sum(by_node.values())


def test_requests_on_one_connection_reach_the_session_wherever_it_is(server):
    connection = http.client.HTTPConnection(server.address, timeout=20)
    for code in CODES * 2:
        connection.request("POST", f"/api/control/{code}/pause", headers={"Content-Length": "0"})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["session_code"]) == (200, code)
    for code in CODES:
        body = json.dumps({"custom_code": code, "seed": 5})
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/sessions/create", body, headers)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["created"]) == (200, False)
    for code in CODES:
        connection.request("GET", f"/api/sessions/{code}")
        assert json.loads(connection.getresponse().read())["is_paused"]
        assert server.post(f"/api/control/{code}/resume")[0] == 200
    connection.close()


def test_a_code_is_one_session_whoever_asks_for_it_at_the_same_time(server):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.create("same"), range(16)))
    assert [answer["created"] for answer in answers].count(True) == 1
    assert server.request("DELETE", "/api/sessions/same")[0] == 200
    assert server.request("DELETE", "/api/sessions/same")[0] == 404


def test_a_stream_makes_a_session_and_ends_with_it(server):
    got = receive(server.ws + "/stream/made-by-stream", 20)
    assert got.sequence == list(range(20))
    assert server.get("/api/sessions/made-by-stream")[1]["current_packet"] > 0


def test_the_list_of_views_has_the_sessions_of_all(server):
    with connect(server.ws + "/view", open_timeout=20) as websocket:
        hello = msgpack.unpackb(websocket.recv(timeout=20))
    assert set(CODES) <= set(hello["sessions"])
    assert hello["totals"]["sessions"] == sum(sessions_by_node(server).values())


def test_what_is_wrong_is_answered(server):
    assert server.get("/api/sessions/nobody")[0] == 404
    assert server.get("/nowhere")[0] == 404
    assert server.post("/api/sessions/create", {"custom_code": "a b"})[0] == 422


def test_when_a_process_is_killed_its_sessions_go_on_where_they_should_be(server):
    with ExitStack() as stack:
        got = {code: stack.enter_context(listening(f"{server.ws}/stream/{code}")) for code in CODES}
        until(lambda: sum(len(each.packets) for each in got.values()) > 400, "packets")
        os.kill(workers_of(server)[0].pid, signal.SIGKILL)
        until(lambda: any(each.close_code for each in got.values()), "streams are cut off")
    assert all(map(follows_the_recording, got.values()))
    cut = {code: each for code, each in got.items() if each.close_code == 1006}
    assert cut, "the process that was killed had no session"
    for code, old in cut.items():
        new = receive(server.ws + f"/stream/{code}", 40)
        assert follows_the_recording(new)
        # On the same grid, and what was due meanwhile is missed, or held after 10 s.
        assert new.sequence[0] > old.sequence[-1]
        n_bins = old.metadata["data"]["total_packets"]
        first = (old.ids[0] - old.sequence[0]) % n_bins
        assert new.ids == [(first + number) % n_bins for number in new.sequence]
        state = server.get(f"/api/sessions/{code}")[1]
        assert (state["seed"], state["is_paused"]) == (5, False)
    until(lambda: len(sessions_by_node(server)) == 2, "its figures")
    assert set(CODES) <= set(server.get("/api/sessions")[1]["sessions"])


def test_a_client_that_is_back_at_once_misses_what_was_due_meanwhile(server):
    code = CODES[0]
    # The process that has it, by what it loses.
    with listening(server.ws + f"/stream/{code}") as old:
        until(lambda: len(old.packets) > 40, "packets")
        for victim in workers_of(server):
            os.kill(victim.pid, signal.SIGSTOP)
            n = len(old.packets)
            try:
                until(lambda n=n: len(old.packets) > n + 4, "packets", seconds=1)
            except AssertionError:
                os.kill(victim.pid, signal.SIGKILL)
                break
            os.kill(victim.pid, signal.SIGCONT)
        until(lambda: old.close_code, "the end")
    new = receive(server.ws + f"/stream/{code}", 40)
    passed_seconds = new.times[0] - old.times[-1]
    jumped = new.sequence[0] - old.sequence[-1]
    assert jumped == pytest.approx(passed_seconds * 40, abs=4)
    until(lambda: len(workers_of(server)) == 2, "another process")


def test_the_limit_of_sessions_is_that_of_all_processes(synthetic_recording):
    env = {"PHANTOM_PROCESSES": "2", "PHANTOM_MAX_SESSIONS": "2"}
    with live_server(synthetic_recording, env=env) as server:
        for code in ("a", "b", "c"):
            server.create(code)
        assert set(server.get("/api/sessions")[1]["sessions"]) == {"b", "c"}
        with listening(server.ws + "/stream/b"), listening(server.ws + "/stream/c"):
            status, problem = server.post("/api/sessions/create", {"custom_code": "d"})
            assert (status, "PHANTOM_MAX_SESSIONS" in problem["detail"]) == (503, True)
            workers = workers_of(server)
            with ThreadPoolExecutor() as pool:
                last = pool.submit(receive, server.ws + "/stream/b", seconds=20)
                until(lambda: server.get("/health")[1]["active_connections"] == 3, "listeners")
                assert server.terminate() == 0
                assert last.result().close_code == 1001
        assert not psutil.wait_procs(workers, timeout=10)[1]
        assert "Traceback" not in server.log


def test_files_and_captures_that_come_and_go_are_known_to_all_processes(tmp_path):
    path = tmp_path / "first.nwb"
    synthesize_named(path, units=6, seconds=20)
    with live_server(path, env={"PHANTOM_PROCESSES": "2"}) as server:

        def answers(name):
            # One after the other is asked.
            return {server.get(f"/api/trials?dataset={name}")[0] for _ in range(4)}

        assert answers("late") == {404}
        shutil.copy(path, tmp_path / "late.nwb")
        assert server.post("/api/datasets/rescan")[0] == 200
        assert answers("late") == {200}
        with listening(server.ws + "/stream/captured") as client:
            captured = server.post("/api/captures", {"session": "captured"})[1]["id"]
            until(lambda: len(client.packets) > 20, "packets")
            assert server.post(f"/api/captures/{captured}/stop")[0] == 200
        until(lambda: answers(captured) == {200}, "a dataset of all processes")
        assert server.request("DELETE", f"/api/captures/{captured}")[0] == 200
        assert answers(captured) == {404}


def test_limits_of_an_address_are_those_of_all_processes_and_what_is_played_is_said_once(
    synthetic_recording,
):
    env = {
        "PHANTOM_PROCESSES": "2",
        "PHANTOM_TRUST_PROXY": "true",
        "PHANTOM_MAX_CLIENTS_PER_ADDRESS": "2",
        "PHANTOM_MAX_REQUESTS_PER_SECOND": "0.001",
        "PHANTOM_REQUEST_BURST": "12",
        "PHANTOM_LSL_ENABLED": "true",
        "PYLSL_LIB": __file__,
    }
    with live_server(synthetic_recording, env=env) as server:
        # What is about the whole is said once, by the first.
        for said in ("Playing ", "There are no LSL streams"):
            assert server.log.count(said) == 1

        def status(who, method="GET", path="/livez", body=None):
            headers = {"X-Forwarded-For": who, "Content-Type": "application/json"}
            return server.request(method, path, body, headers)[0]

        # One after the other is asked; each by itself would let 12 pass.
        statuses = [status("192.0.2.1") for _ in range(20)]
        assert (statuses[:12], statuses[-1]) == ([200] * 12, 429)
        # What all are asked for counts once.
        assert [status("192.0.2.3", path="/health") for _ in range(12)] == [200] * 12
        for code in ("a", "b"):
            # Each where there is most room: one in each process.
            create = "/api/sessions/create"
            assert status("192.0.2.2", "POST", create, {"custom_code": code}) == 200
        who = {"X-Forwarded-For": "192.0.2.2"}
        with ExitStack() as held:
            for code in ("a", "b"):
                client = connect(f"{server.ws}/stream/{code}", additional_headers=who)
                held.enter_context(client).recv(timeout=20)
            for code in ("a", "b"):
                with pytest.raises(InvalidStatus) as caught:
                    connect(f"{server.ws}/stream/{code}", additional_headers=who)
                assert caught.value.response.status_code == 429
                assert b"there are 2 already" in caught.value.response.body


def test_viewers_are_those_of_all_processes(synthetic_recording):
    env = {"PHANTOM_PROCESSES": "2", "PHANTOM_MAX_VIEWERS": "1"}
    with live_server(synthetic_recording, env=env) as server:
        server.create("seen")

        def statuses():
            # One process after the other is asked for the list.
            return {server.get(path)[0] for path in ("/view/seen", *["/view"] * 6)}

        assert statuses() == {426}
        for path in ("/view/seen", "/view"):
            with connect(server.ws + path) as viewer:
                viewer.recv(timeout=20)
                until(lambda: statuses() == {503}, "no room in any process")
            until(lambda: statuses() == {426}, "room again")
        with connect(f"{server.ws}/view/seen") as viewer:
            viewer.recv(timeout=20)
            until(lambda: statuses() == {503}, "no room in any process")
            for worker in workers_of(server):
                worker.kill()
        until(lambda: len(workers_of(server)) == 2 and statuses() == {426}, "room without the dead")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--processes", "0"], "--processes: got '0', takes a whole number from 1 to 64"),
        (["--processes", "2", "/nowhere.nwb"], "/nowhere.nwb"),
        (["--cluster-url", "redis://127.0.0.1:1"], "cluster_secret: got none"),
        (
            ["--cluster-url", "redis://example.invalid", "--cluster-secret", SECRET],
            "cluster_url: got a server beyond this machine without a password",
        ),
        (
            ["--cluster-url", "redis://127.0.0.1:1", "--cluster-secret", SECRET],
            "cluster_url: the directory cannot be reached",
        ),
        (["--node-name", "a b"], "--node-name: got 'a b', takes 1 to 64 letters"),
        (["--node-url", "ftp://a"], "--node-url: got 'ftp://a', takes a URL like"),
        (["--node-url", "http://a/b"], "--node-url: got 'http://a/b', takes a URL like"),
    ],
)
def test_what_stops_the_start(arguments, said):
    code, _, err = finish(start("serve", "--port", "0", *arguments))
    assert code == 2
    assert said in err.splitlines()[-1]
