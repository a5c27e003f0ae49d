"""Several nodes with a Valkey between them: one server to their clients, also when one dies."""

import os
import signal
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from tests.clients import listening, receive
from tests.nodes import LONG_LEASE_SECONDS, MAX_PENDING, NOISE, SEED, nodes, valkey_at
from tests.stream_again import are_right, back
from tests.waiting import until


def make(server, code):
    answer = server.create(code, perturbation=NOISE, seed=SEED)
    # Once its file's digest is known, others may go on with it.
    until(lambda: server.get("/api/metadata")[1]["sha256"], "the digest")
    return answer


def test_a_session_of_one_node_is_reached_at_the_other(synthetic_recording, valkey, oracle):
    lease = LONG_LEASE_SECONDS
    with nodes(synthetic_recording, "a", "b", valkey=valkey, lease_seconds=lease) as (a, b):
        answer = make(a, "s")
        assert answer["stream_url"] == f"{a.ws}/stream/s"
        again = b.create("s", perturbation=NOISE, seed=SEED)
        assert (again["created"], again["stream_url"]) == (False, answer["stream_url"])
        got = receive(b.ws + "/stream/s", 20)
        assert are_right(oracle, got)
        assert got.metadata["session"]["url"] == answer["stream_url"]
        assert b.post("/api/control/s/pause")[0] == 200
        assert a.get("/api/sessions/s")[1]["is_paused"]
        assert b.get("/api/sessions/s")[1]["is_paused"]
        with ExitStack() as stack:
            # Streams that are passed on are not connections that have said nothing yet.
            for _ in range(MAX_PENDING + 2):
                stream = stack.enter_context(connect(b.ws + "/stream/s", open_timeout=20))
                assert stream.recv(timeout=20)
        b.create("t")
        for server in (a, b):
            assert set(server.get("/api/sessions")[1]["sessions"]) == {"s", "t"}
            found = {each["name"]: each for each in server.get("/api/nodes")[1]["nodes"]}
            assert {name: each["sessions"] for name, each in found.items()} == {"a/0": 1, "b/0": 1}
            assert {each["state"] for each in found.values()} == {"up"}
            assert {name: each["url"] for name, each in found.items()} == {
                "a/0": a.http,
                "b/0": b.http,
            }
        assert a.request("DELETE", "/api/sessions/t")[0] == 200
        assert b.get("/api/sessions/t")[0] == 404
        assert b.get("/api/sessions/nobody")[0] == 404


def test_when_a_node_is_killed_the_other_goes_on_with_its_sessions(
    synthetic_recording, valkey, oracle
):
    with nodes(synthetic_recording, "a", "b", valkey=valkey) as (a, b):
        make(a, "s")
        make(b, "own")
        with listening(a.ws + "/stream/s") as old, listening(b.ws + "/stream/own") as own:
            until(lambda: len(old.packets) > 40, "packets")
            os.killpg(a.process.pid, signal.SIGKILL)
            until(lambda: old.close_code, "the end of the connection")
            new = back(b.ws + "/stream/s", 40)
        assert are_right(oracle, old)
        assert are_right(oracle, new)
        assert are_right(oracle, own)
        assert new.sequence[0] > old.sequence[-1]
        # Where it should be by now: on the clock, not where it was.
        passed = new.packets[0]["timestamp"] - old.packets[-1]["timestamp"]
        assert new.sequence[0] - old.sequence[-1] == pytest.approx(passed * 40, abs=8)
        assert b.get("/api/sessions/s")[1]["seed"] == SEED
        assert "Traceback" not in b.log


def test_a_node_that_wakes_after_another_took_over_sends_nothing_more(
    synthetic_recording, valkey, oracle
):
    with nodes(synthetic_recording, "a", "b", valkey=valkey) as (a, b):
        make(a, "s")
        with listening(a.ws + "/stream/s") as old:
            until(lambda: len(old.packets) > 40, "packets")
            os.killpg(a.process.pid, signal.SIGSTOP)
            new = back(b.ws + "/stream/s", 40)
            os.killpg(a.process.pid, signal.SIGCONT)
            until(lambda: old.close_code, "the end of the old stream")
        assert old.close_code == 4411
        assert are_right(oracle, old)
        assert are_right(oracle, new)
        assert old.sequence[-1] < new.sequence[0]
        # And it is one of the nodes again.
        until(lambda: a.get("/api/sessions/s")[0] == 200, "the relay")
        assert "Traceback" not in a.log + b.log


def test_while_valkey_is_away_streams_go_on_and_nothing_is_changed(
    synthetic_recording, tmp_path, oracle
):
    with valkey_at(tmp_path / "one") as first:
        port = first.port
        lease = LONG_LEASE_SECONDS
        with nodes(synthetic_recording, "a", "b", valkey=first, lease_seconds=lease) as (a, b):
            make(a, "s")
            with listening(a.ws + "/stream/s") as got:
                until(lambda: len(got.packets) > 40, "packets")
                first.stop()

                def state():
                    return {node["state"] for node in a.get("/api/nodes")[1]["nodes"]}

                until(lambda: state() == {"static"}, "static mode")
                n = len(got.packets)
                until(lambda: len(got.packets) > n + 200, "packets")
                status, problem = a.post("/api/control/s/pause")
                assert (status, "directory" in problem["detail"]) == (503, True)
                assert a.post("/api/sessions/create", {"custom_code": "new"})[0] == 503
                also = receive(a.ws + "/stream/s", 20)
                # Empty: the owner writes its records once more.
                with valkey_at(tmp_path / "two", port):
                    until(lambda: state() == {"up"}, "its return")
                    until(lambda: a.post("/api/control/s/pause")[0] == 200, "a command")
                    until(lambda: b.get("/api/sessions/s")[0] == 200, "its record")
            assert are_right(oracle, got)
            assert are_right(oracle, also)
            assert got.close_code is None
            assert "Traceback" not in a.log + b.log


def test_a_node_that_drains_sends_its_clients_to_the_heir(synthetic_recording, valkey, oracle):
    with nodes(synthetic_recording, "a", "b", valkey=valkey) as (a, b):
        make(a, "s")
        with listening(a.ws + "/stream/s") as old:
            until(lambda: len(old.packets) > 300, "packets")
            assert a.terminate() == 0
            until(lambda: old.close_code, "the end of the old stream")
        # Without an heir in time, as on a machine that is too busy, it only says that it goes.
        assert old.close_code in {4412, 1001}
        new = back(b.ws + "/stream/s", 40)
        assert are_right(oracle, old)
        assert are_right(oracle, new)
        assert new.sequence[0] > old.sequence[-1]
