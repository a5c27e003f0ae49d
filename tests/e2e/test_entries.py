"""hypercorn with each of its workers: what it starts, serves, refuses, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.clients import listening, receive
from tests.servers import live_server

WORKERS = ("trio", "asyncio")
ENTRY = {"trio": "hypercorn", "asyncio": "asyncio"}


@pytest.fixture(scope="module", params=WORKERS)
def server(request, maze_recording):
    with live_server(maze_recording, entry=ENTRY[request.param]) as server:
        yield server


def run_hypercorn(recording: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """hypercorn as it ends by itself."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PHANTOM_")}
    environment |= {"PHANTOM_DATA_DIR": str(recording.parent), "PHANTOM_DATASET": recording.stem}
    command = [sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:0", *options]
    return subprocess.run(
        [*command, "phantomlink.app:app"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rest_is_served(server):
    assert server.get("/health")[1]["status"] == "healthy"
    status, created = server.post("/api/sessions/create", {"custom_code": "rest"})
    assert (status, created["session_code"]) == (200, "rest")
    assert server.post("/api/control/rest/seek", {"packet_id": 100})[0] == 200
    assert server.get("/api/control/rest/position")[1]["current_packet"] == 100
    assert server.get("/api/sessions/nobody")[0] == 404
    assert server.request("DELETE", "/api/sessions/rest")[0] == 200
    assert server.get("/openapi.json")[1]["openapi"].startswith("3.1")


@pytest.mark.slow
def test_ten_seconds_at_40_hz_come_without_a_gap(server):
    with ThreadPoolExecutor(3) as pool:
        urls = [f"{server.ws}/stream/{code}" for code in ("steady", "steady", "other")]
        got = list(pool.map(lambda url: receive(url, 400), urls))
    for received in got:
        assert len(received.packets) == 400
        assert not received.gaps
        assert received.times[-1] - received.times[0] > 399 / 40 - 0.5


def test_a_client_that_leaves_is_gone_and_the_others_stay(server):
    def wait_for(n):
        deadline = time.monotonic() + 10
        while server.get("/api/stats/leaving")[1]["active_connections"] != n:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    with listening(f"{server.ws}/stream/leaving") as staying:
        with listening(f"{server.ws}/stream/leaving"):
            # It has its first message before it is counted.
            wait_for(2)
        wait_for(1)
        time.sleep(0.3)
    assert not staying.gaps
    assert staying.close_code is None


def test_a_stop_closes_with_its_code_and_a_refusal_comes_before_the_upgrade(server):
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(receive, f"{server.ws}/stream/stopped", seconds=20)
        deadline = time.monotonic() + 10
        while server.get("/api/stats/stopped")[0] == 404:
            assert time.monotonic() < deadline
        time.sleep(0.3)
        assert server.post("/api/control/stopped/stop")[0] == 200
        assert call.result().close_code == 1000
    with pytest.raises(InvalidStatus) as refused:
        receive(f"{server.ws}/stream/a%20b", 1)
    assert refused.value.response.status_code == 422


@pytest.mark.parametrize("worker", WORKERS)
def test_sigterm_tells_the_clients_and_ends_with_0(worker, maze_recording):
    with live_server(maze_recording, entry=ENTRY[worker]) as server:
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(receive, f"{server.ws}/stream/told", seconds=20)
            deadline = time.monotonic() + 10
            while not server.get("/api/sessions")[1]["total_sessions"]:
                assert time.monotonic() < deadline
            time.sleep(0.5)
            assert server.terminate() == 0, server.log
            assert call.result().close_code in {1000, 1001, 1006, 1011}
        # Python 3.11's streams log a traceback of their own for a connection that is cut off.
        assert not [line for line in server.lines if "/phantomlink/" in line], server.log


def test_only_the_asyncio_worker_warns_and_once(server):
    n = server.log.count("--worker-class trio")
    assert n == ("--worker-class" not in server.process.args)


@pytest.mark.parametrize("worker", WORKERS)
def test_a_recording_that_is_not_there_stops_the_start_with_one_line(worker, tmp_path):
    ended = run_hypercorn(tmp_path / "missing.nwb", "--worker-class", worker)
    lines = [line for line in ended.stderr.splitlines() if "--worker-class" not in line]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("phantomlink: ")
    assert "missing.nwb: no such file" in lines[0]


@pytest.mark.parametrize("worker", WORKERS)
def test_a_second_worker_ends_the_start_with_the_reason(worker, maze_recording):
    ended = run_hypercorn(maze_recording, "--worker-class", worker, "--workers", "2")
    assert ended.stderr.count("phantomlink: workers: got more than one") == 1, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr


def test_two_servers_of_one_user_do_not_take_each_other_for_workers(maze_recording):
    with (
        live_server(maze_recording, entry="hypercorn") as one,
        live_server(maze_recording, entry="asyncio") as other,
    ):
        assert one.get("/health")[0] == other.get("/health")[0] == 200


def test_a_worker_that_is_started_again_serves_again(maze_recording):
    """hypercorn joins its worker before it starts the next one: at SIGHUP, for instance."""
    with live_server(maze_recording, entry="hypercorn") as server:
        running = server.log.count("Running on")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while server.log.count("Running on") == running:
            assert time.monotonic() < deadline, server.log
            time.sleep(0.1)
        assert server.get("/health")[0] == 200
        assert "got more than one" not in server.log
