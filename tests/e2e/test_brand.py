"""Sessions as streams of a BRAND graph, on a real Valkey, read as a BRAND node reads."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

from phantomlink.recordings.synthetic.named import synthesize_named
from tests.clients import listening
from tests.nodes import valkey_at
from tests.servers import live_server
from tests.waiting import until

UNITS = 10


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("brand") / "named.nwb"
    return path, synthesize_named(path, units=UNITS, seconds=30)


@pytest.fixture
def redis(tmp_path):
    with valkey_at(tmp_path / "valkey") as server:
        yield server


def serving(recording, url, **env):
    return live_server(recording[0], env={"PHANTOM_BRAND_URL": url} | env)


def url_of(redis):
    return f"redis://127.0.0.1:{redis.port}"


def entries(redis, key):
    return [fields for _, fields in redis.client().xrange(key)]


def index(raw):
    return int(np.frombuffer(raw, "<u8")[0])


def brand(server, code):
    return server.get(f"/api/sessions/{code}")[1]["brand"]


def test_a_node_reads_what_the_recording_holds(recording, redis):
    with serving(recording, url_of(redis)) as server:
        created = server.create("graph", brand=True)["brand"]
        assert (created["is_available"], created["reason"]) == (True, None)
        keys = created["streams"]
        until(lambda: brand(server, "graph")["sent"] >= 20, "20 packets were sent")
        server.post("/api/control/graph/pause")
        told = [b"initialized", b"paused"]
        until(lambda: [e[b"status"] for e in entries(redis, keys["state"])] == told, "its state")
        read = {kind: entries(redis, keys[kind]) for kind in ("neural", "kinematics", "intention")}
        assert server.terminate() == 0, server.log
    layout = recording[1]
    for number, entry in enumerate(read["neural"]):
        assert index(entry[b"i"]) == number
        assert json.loads(entry[b"sync"]) == {"i": number, "bin": number}
        counts = np.frombuffer(entry[b"samples"], "int8")
        assert np.array_equal(counts, layout.counts(np.array([number]))[0])
    stamps = [index(entry[b"ts"]) for entry in read["neural"]]
    assert set(np.diff(stamps)) == {25_000_000}
    kinematics = [np.frombuffer(entry[b"samples"], "<f8") for entry in read["kinematics"]]
    assert np.array_equal(kinematics, layout.kinematics(np.arange(len(kinematics))))
    aims = np.array([np.frombuffer(entry[b"samples"], "<f8") for entry in read["intention"]])
    assert aims.shape == (len(stamps), 4)
    assert set(aims[:20, 3]) == {0.0}
    said = [entry[b"status"] for entry in entries(redis, keys["state"])]
    assert said == [*told, b"done"]


def test_counts_have_the_type_that_was_asked_for(recording, redis):
    with serving(recording, url_of(redis), PHANTOM_BRAND_COUNT_TYPE="float32") as server:
        keys = server.create("wide", brand=True)["brand"]["streams"]
        first = until(lambda: entries(redis, keys["neural"]), "an entry")[0]
    counts = np.frombuffer(first[b"samples"], "<f4")
    assert np.array_equal(counts, recording[1].counts(np.array([0]))[0])


def test_a_server_that_goes_away_costs_packets_and_comes_back(recording):
    with valkey_at() as redis, serving(recording, url_of(redis)) as server:
        port = redis.port
        server.create("graph", brand=True)
        until(lambda: brand(server, "graph")["sent"] > 0, "a packet")
        with listening(f"{server.ws}/stream/graph") as got:
            redis.stop()
            until(lambda: not brand(server, "graph")["is_available"], "the loss was noticed")
            assert "Redis server fails" in brand(server, "graph")["reason"]
            n_before = len(got.packets)
            until(lambda: len(got.packets) > n_before + 20, "others go on")
            with valkey_at(port=port):
                until(lambda: brand(server, "graph")["is_available"], "it is back")
                sent = brand(server, "graph")["sent"]
                until(lambda: brand(server, "graph")["sent"] > sent, "entries are sent again")
        server.check_no_gap("graph", got.sequence)
        assert server.terminate() == 0, server.log


def test_what_is_asked_for_and_cannot_be_had_is_said(recording, redis):
    with live_server(recording[0]) as server:
        status, answer = server.post("/api/sessions/create", {"brand": True})
        assert (status, "brand" in answer["detail"]) == (422, True)
        assert "brand" not in server.create("plain")
    with serving(recording, url_of(redis)) as server:
        status, answer = server.post("/api/sessions/create", {"brand": True, "private": True})
        assert status == 422
        assert "private" in answer["detail"]
        assert "brand" not in server.create("plain")
        status, answer = server.post(
            "/api/sessions/create", {"custom_code": "plain", "brand": True}
        )
        assert status == 409


def test_streams_come_back_with_their_session(recording, redis, tmp_path):
    state = {"PHANTOM_STATE_DIR": str(tmp_path / "state")}
    with serving(recording, url_of(redis), **state) as server:
        server.create("graph", brand=True)
        until(lambda: brand(server, "graph")["sent"] > 0, "a packet")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    with serving(recording, url_of(redis), **state) as server:
        until(lambda: brand(server, "graph")["sent"] > 0, "a packet after the start")
