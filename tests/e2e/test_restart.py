"""Told to stop, killed, and started again."""

import json
import os
import signal
import socket
import urllib.request
from contextlib import ExitStack, closing, contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from phantomlink.recordings.synthetic import synthesize_named
from tests.clients import decode, listening, receive
from tests.servers import live_server
from tests.waiting import until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """200 packets of a width that fills a socket soon."""
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    synthesize_named(path, units=200, seconds=5.0)
    return path


@contextmanager
def raw_client(server, path):
    """A WebSocket client that reads nothing but the head of the answer."""
    host, port = server.address.split(":")
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect((host, int(port)))
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {server.address}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 101"
        yield connection


def state_of(folder):
    """The sessions of the state file, by code; none until it has been written."""
    paths = list(folder.glob("sessions-*.json"))
    if not paths:
        return {}
    (path,) = paths
    return {entry["code"]: entry for entry in json.loads(path.read_text())["sessions"]}


def position_without_listeners(server, code):
    """Where a session stands once its last listener has gone."""
    until(lambda: server.get(f"/api/stats/{code}")[1]["active_connections"] == 0)
    return server.get(f"/api/control/{code}/position")[1]["current_packet"]


def test_after_a_kill_sessions_are_where_they_were(recording, tmp_path):
    env = {"PHANTOM_STATE_DIR": str(tmp_path / "state")}

    def kept():
        return state_of(tmp_path / "state")

    with live_server(recording, env=env) as server:
        body = {"custom_code": "fast", "bin_size_ms": 5, "speed": 2}
        server.post("/api/sessions/create", body)
        assert receive(f"{server.ws}/stream/fast", 30).sequence == list(range(30))
        noisy = {"custom_code": "noisy", "perturbation": "light", "seed": 7, "lsl": False}
        server.post("/api/sessions/create", noisy)
        for code, verb in (("held", "pause"), ("over", "stop")):
            server.post("/api/sessions/create", {"custom_code": code})
            server.post(f"/api/control/{code}/seek", {"packet_id": 150})
            server.post(f"/api/control/{code}/{verb}")
        with listening(f"{server.ws}/stream/main") as client:
            fast_at = position_without_listeners(server, "fast")
            until(lambda: kept().get("fast", {}).get("bin_index") == fast_at)
            until(lambda: kept().get("main", {}).get("bin_index", 0) > 30)
            server.process.kill()
            server.process.wait(60)
        main_at = kept()["main"]["bin_index"]
        # What was kept has been played.
        assert main_at <= client.packets[-1]["packet_id"] + 1 or client.packets[-1]["loop"]
    with live_server(recording, env=env) as server:
        sessions = server.get("/api/sessions")[1]["sessions"]
        assert set(sessions) == {"fast", "held", "over", "main", "noisy"}
        assert (sessions["noisy"]["perturbation"]["name"], sessions["noisy"]["seed"]) == (
            "light",
            7,
        )
        # The same once more: made without outlets, which 409 would tell.
        assert server.post("/api/sessions/create", noisy)[0] == 200
        main, fast, held, over = (sessions[code] for code in ("main", "fast", "held", "over"))
        assert (main["is_paused"], main["current_packet"]) == (False, main_at)
        assert main["active_connections"] == 0
        assert (held["is_paused"], held["current_packet"]) == (True, 150)
        assert (over["is_stopped"], over["current_packet"]) == (True, 0)
        assert (fast["bin_size_ms"], fast["speed"], fast["is_paused"]) == (5, 2, False)
        assert 30 <= fast["current_packet"] == fast_at
        again = receive(f"{server.ws}/stream/main", 20)
        assert again.ids[0] == again.sequence[0] == main["current_packet"]
        assert again.ids == [(again.ids[0] + n) % 200 for n in range(20)]
        main_at = position_without_listeners(server, "main")
        assert "last run that are back: 5" in server.log
        assert server.terminate() == 0
    assert state_of(tmp_path / "state")["main"]["bin_index"] == main_at


def test_what_was_is_not_given_to_another_recording(recording, tmp_path):
    other = tmp_path / "named.nwb"
    synthesize_named(other, units=3, seconds=2.0)
    env = {"PHANTOM_STATE_DIR": str(tmp_path / "state")}
    with live_server(recording, env=env) as server:
        receive(f"{server.ws}/stream/mine", 5)
        assert server.terminate() == 0
    with live_server(other, env=env) as server:
        assert server.get("/api/sessions")[1]["total_sessions"] == 0
        assert server.terminate() == 0
    with live_server(recording, env=env) as server:
        assert list(server.get("/api/sessions")[1]["sessions"]) == ["mine"]


def test_sessions_on_other_datasets_come_back_where_they_were(tmp_path):
    """Killed and started again; what is gone or is another file now is said by name."""
    data = tmp_path / "data"
    data.mkdir()
    names = ("one", "two", "moved", "gone", "changed")
    for units, name in enumerate(names, 3):
        synthesize_named(data / f"{name}.nwb", units=units, seconds=5.0)
    env = {"PHANTOM_STATE_DIR": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with live_server(data / "one.nwb", env=env) as server:
        for number, name in enumerate(names):
            server.create(f"s-{name}", dataset=name)
            server.post(f"/api/control/s-{name}/seek", {"packet_id": 20 * number + 7})
            server.post(f"/api/control/s-{name}/pause")
        until(lambda: state_of(tmp_path / "state").get("s-changed", {}).get("bin_index") == 87)
        kept = lambda: state_of(tmp_path / "state")["s-moved"]["dataset_file"]  # noqa: E731
        until(lambda: kept()["sha256"] is not None)
        server.process.kill()
        server.process.wait(60)
    (data / "gone.nwb").unlink()
    synthesize_named(data / "changed.nwb", units=30, seconds=9.0, overwrite=True)
    # Copied back from somewhere: the same content with another time of change.
    os.utime(data / "moved.nwb", ns=(1, 10**18))
    with live_server(data / "one.nwb", env=env) as server:
        sessions = server.get("/api/sessions")[1]["sessions"]
        assert {code: each["current_packet"] for code, each in sessions.items()} == {
            "s-one": 7,
            "s-two": 27,
            "s-moved": 47,
        }
        for name, units in (("one", 3), ("two", 4), ("moved", 5)):
            got = receive(f"{server.ws}/stream/s-{name}?dataset={name}", 0, seconds=5)
            assert (got.metadata["data"]["dataset"], got.metadata["data"]["num_channels"]) == (
                name,
                units,
            )
        assert "Session s-gone does not come back: no dataset 'gone'; there are one, " in server.log
        assert "s-changed does not come back: dataset changed has another file now" in server.log
        # Kept once more, by the names of their datasets.
        assert server.terminate() == 0
    assert state_of(tmp_path / "state")["s-two"]["dataset"] == "two"


def test_a_folder_that_cannot_be_written_is_a_warning_and_nothing_else(recording, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("somebody's")
    env = {"PHANTOM_STATE_DIR": str(in_the_way)}
    with live_server(recording, env=env) as server:
        assert not receive(f"{server.ws}/stream/a", 60).gaps
        assert server.log.count("WARNING") == 1
        assert server.terminate() == 0
    assert in_the_way.read_text() == "somebody's"


def test_told_to_stop_it_says_so_and_ends_in_time_whatever_clients_do(recording):
    """One never reads, one never closes, one holds a request open; a good one is told 1001."""
    with live_server(recording) as server, ExitStack() as stack:
        stuck = stack.enter_context(raw_client(server, "/stream/stuck"))
        stack.enter_context(raw_client(server, "/stream/never-closes"))
        host, port = server.address.split(":")
        half = stack.enter_context(closing(socket.create_connection((host, int(port)))))
        half.sendall(
            b"POST /api/sessions/create HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        )
        good = stack.enter_context(listening(f"{server.ws}/stream/good"))
        until(lambda: server.get("/api/stats/stuck")[1]["dropped_packets"] > 0)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "going away" in server.log)
        status, problem = server.get("/readyz")
        assert (status, problem["detail"]) == (503, "the server is going away")
        with pytest.raises(Exception, match="503"), connect(f"{server.ws}/stream/new"):
            pass
        # A client that is waited for would take for ever.
        assert server.process.wait(60) == 0
        until(lambda: good.close_code is not None)
        assert good.close_code == 1001
        data = b""
        while chunk := stuck.recv(65536):
            data += chunk
        assert "Traceback" not in server.log, server.log


def test_the_grace_period_is_a_setting(recording):
    with live_server(recording, env={"PHANTOM_GRACE_SECONDS": "0.3"}) as server:
        with raw_client(server, "/stream/never-closes"):
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(60) == 0
        assert "Traceback" not in server.log, server.log


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(recording, second):
    with (
        live_server(recording, env={"PHANTOM_GRACE_SECONDS": "60"}) as server,
        raw_client(server, "/stream/never-closes"),
    ):
        server.process.send_signal(signal.SIGTERM)
        # The first has been heeded.
        until(lambda: "never-closes ends" in server.log)
        server.process.send_signal(second)
        assert server.process.wait(60) == 128 + second


def test_without_clients_it_ends_without_waiting(recording):
    with live_server(recording, env={"PHANTOM_GRACE_SECONDS": "600"}) as server:
        server.get("/health")
        assert server.terminate() == 0


def test_every_line_of_the_log_is_an_object_with_ids(recording, tmp_path):
    env = {"PHANTOM_LOG_FORMAT": "json", "PHANTOM_LOG_LEVEL": "DEBUG"}
    headers = {"Authorization": "Bearer s3cret-token"}
    with live_server(recording, env=env) as server:
        with connect(f"{server.ws}/stream/a", additional_headers=headers) as websocket:
            decode(websocket.recv())
        server.request(
            "POST",
            "/api/sessions/create",
            {"custom_code": "b"},
            headers | {"Content-Type": "application/json"},
        )
        until(lambda: "has left" in server.log)
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(60) == 0
        lines = [json.loads(line) for line in server.lines]
    assert all({"ts", "level", "logger", "message"} <= line.keys() for line in lines)
    left = next(line for line in lines if "has left" in line["message"])
    assert (left["session"], left["client"]) == ("a", 1)
    created = {line["session"] for line in lines if "created" in line["message"]}
    assert created == {"a", "b"}
    assert "s3cret" not in server.log


def test_prometheus_is_answered_by_both_ways_in(recording):
    accept = {"Accept": "text/plain;version=0.0.4"}
    for entry in ("serve", "hypercorn"):
        # Several processes label their samples.
        with live_server(recording, entry=entry, env={"PHANTOM_PROCESSES": "1"}) as server:
            receive(f"{server.ws}/stream/a", 45)

            request = urllib.request.Request(f"{server.http}/metrics", headers=accept)
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
                assert "Accept" in ", ".join(answer.headers.get_all("Vary"))
                text = answer.read().decode()
            families = {f.name: f for f in text_string_to_metric_families(text)}
            sent = families["phantomlink_packets_sent"].samples[0]
            assert (sent.labels, sent.value >= 45) == ({"transport": "websocket"}, True)
            assert server.get("/metrics")[1]["metrics"]["total_sessions"] == 1


def test_behind_hypercorn_sessions_come_back_too(recording, tmp_path):
    env = {"PHANTOM_STATE_DIR": str(tmp_path / "state")}
    with live_server(recording, entry="hypercorn", env=env) as server:
        last = receive(f"{server.ws}/stream/a", 30).ids[-1]
        server.post("/api/control/a/pause")
        position = server.get("/api/control/a/position")[1]["current_packet"]
        assert position > last
        assert server.terminate() == 0
    with live_server(recording, entry="hypercorn", env=env) as server:
        found = server.get("/api/control/a/position")[1]
        assert (found["current_packet"], found["is_paused"]) == (position, True)
