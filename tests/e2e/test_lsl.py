"""LSL outlets of a real server, received by pylsl in processes of their own."""

from __future__ import annotations

import json
import math
import os
import signal
import time
import xml.etree.ElementTree as ET
from itertools import pairwise

import psutil
import pytest

from phantomlink.recordings.synthetic.named import synthesize_named
from tests.clients import listening, receive
from tests.e2e.test_openapi import validate
from tests.lsl_inlet import inlets
from tests.servers import ENTRIES, live_server
from tests.waiting import until
from tools.bench.harness.lsl_configuration import write_configuration

KINDS = ("neural", "kinematics", "intention", "markers")
PERIOD = 0.025


@pytest.fixture(scope="module")
def lsl(tmp_path_factory):
    """A configuration that keeps the streams to this machine and to these tests."""
    return write_configuration(
        tmp_path_factory.mktemp("lsl") / "lsl_api.cfg", f"outlets-{os.getpid()}"
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    return path, synthesize_named(path, units=10, seconds=30)


def serving(recording, lsl, **env):
    path, _ = recording
    settings = {"PHANTOM_LSL_ENABLED": "true", "PHANTOM_MAX_CONNECTIONS": "50"} | env
    return live_server(path, env=lsl | settings)


@pytest.fixture(scope="module")
def server(recording, lsl):
    with serving(recording, lsl) as server:
        yield server
        assert server.terminate() == 0, server.log


def sources(code, *kinds):
    return [f"phantomlink-{kind}-{code}" for kind in kinds or KINDS]


def stats(server, code):
    return server.get(f"/api/stats/{code}")[1]


def listeners(server, code):
    return stats(server, code)["active_connections"]


def texts(stream, path):
    found = ET.fromstring(stream.xml).find(f"desc/{path}")
    return {child.tag: child.text for child in found}


def bins_of(layout, values):
    """The bin that each row of counts names."""
    return [layout.bin_of(row) for row in values]


def steps(stamps):
    return {round((b - a) / PERIOD, 3) for a, b in pairwise(stamps)}


@pytest.mark.slow
def test_inlets_of_two_sessions_get_what_their_websocket_clients_get(server, recording, lsl):
    _, layout = recording
    codes = ("one", "two")
    for code in codes:
        created = server.create(code)
        validate(created, {"$ref": "#/components/schemas/SessionCreated"})
        assert [s["source_id"] for s in created["lsl"]["streams"]] == sources(code)
    server.post("/api/control/two/seek", {"packet_id": 700})
    wanted = [*sources("one"), *sources("two")]
    with (
        listening(f"{server.ws}/stream/binary/one") as one,
        listening(f"{server.ws}/stream/binary/two") as two,
    ):
        with inlets(lsl, *wanted) as it:
            until(lambda: all(listeners(server, code) == 2 for code in codes))
            time.sleep(8)
        for code in codes:
            assert server.get(f"/api/sessions/{code}")[1]["lsl"]["streams"]
    for code, client in zip(codes, (one, two), strict=True):
        streams = {
            kind: it.streams[source] for kind, source in zip(KINDS, sources(code), strict=True)
        }
        assert client.gaps == []
        neural = streams["neural"]
        bins = bins_of(layout, neural.values)
        assert len(bins) > 250
        assert bins == [(bins[0] + n) % layout.n_bins for n in range(len(bins))]
        first = client.ids.index(bins[0])
        packets = client.packets[first : first + len(bins)]
        assert [packet["packet_id"] for packet in packets] == bins
        assert [packet["spikes"]["spike_counts"] for packet in packets] == neural.values
        assert steps(neural.stamps) == {1.0}
        assert neural.labels == [str(101 + unit) for unit in range(10)]
        assert set(neural.units) == {"count"}

        # They are told of by liblsl one after the other, so one may have begun packets earlier.
        by_stamp = dict(zip(neural.stamps, packets, strict=True))
        for kind in ("kinematics", "intention"):
            stamps = streams[kind].stamps
            assert steps(stamps) == {1.0}
            begin, end = max(stamps[0], neural.stamps[0]), min(stamps[-1], neural.stamps[-1])
            both = [stamp for stamp in stamps if begin <= stamp <= end]
            assert both == [stamp for stamp in neural.stamps if begin <= stamp <= end]
            assert len(both) > 250
        for row, stamp in zip(
            streams["kinematics"].values, streams["kinematics"].stamps, strict=True
        ):
            if stamp in by_stamp:
                told = by_stamp[stamp]["kinematics"]
                assert row == [told[name] for name in ("vx", "vy", "x", "y")]
        for row, stamp in zip(
            streams["intention"].values, streams["intention"].stamps, strict=True
        ):
            if stamp in by_stamp:
                packet = by_stamp[stamp]
                aim = packet["intention"]
                expected = [aim["target_id"], aim["target_x"], aim["target_y"], packet["trial_id"]]
                assert [None if math.isnan(value) else value for value in row] == expected
        assert streams["kinematics"].labels == ["vx", "vy", "x", "y"]
        assert streams["kinematics"].units == ["mm/s", "mm/s", "mm", "mm"]
        assert streams["intention"].labels == ["target_id", "target_x", "target_y", "trial_id"]

        of_bin = {0: "trial_start", 4: "target_on", 12: "go_cue", 20: "move_onset", 36: "trial_end"}
        for (marker,), stamp in zip(
            streams["markers"].values, streams["markers"].stamps, strict=True
        ):
            if stamp in by_stamp and marker != "loop":
                assert of_bin[by_stamp[stamp]["packet_id"] % 40] == marker
        assert len(streams["markers"].values) > 20

        assert texts(neural, "recording")["name"] == "named"
        assert texts(neural, "session")["code"] == code
        assert texts(neural, "bin")["width_ms"] == "25"
    for code in codes:
        until(lambda code=code: listeners(server, code) == 0)
        assert server.get(f"/api/sessions/{code}/timing")[1]["lsl_push_us"]["count"] > 250
        server.request("DELETE", f"/api/sessions/{code}")


@pytest.mark.slow
def test_a_session_plays_for_an_inlet_alone_and_stop_holds_it(server, recording, lsl):
    _, layout = recording
    server.create("alone")
    with inlets(lsl, *sources("alone", "neural", "markers")) as it:
        until(lambda: stats(server, "alone")["packets_sent"] > 40)
        server.post("/api/control/alone/pause")
        server.post("/api/control/alone/seek", {"packet_id": 600})
        time.sleep(0.5)
        server.post("/api/control/alone/resume")
        time.sleep(0.5)
        server.post("/api/control/alone/stop")
        sent = stats(server, "alone")["packets_sent"]
        time.sleep(1)
        assert stats(server, "alone")["packets_sent"] == sent
        assert server.get("/api/sessions/alone")[1]["lsl"]["has_consumers"] is True
        server.post("/api/control/alone/resume")
        until(lambda: stats(server, "alone")["packets_sent"] > sent + 20)
    neural, markers = (it.streams[source] for source in sources("alone", "neural", "markers"))
    bins = bins_of(layout, neural.values)
    jumps = [(a, b) for a, b in pairwise(bins) if b != a + 1]
    assert [b for _, b in jumps] == [600, 0]
    assert all(b > a for a, b in pairwise(neural.stamps))
    told = [name for (name,) in markers.values]
    assert [name for name in told if "_" not in name] == [
        *("pause", "seek", "resume", "stop", "resume"),
    ]
    assert all(b >= a for a, b in pairwise(markers.stamps))
    until(lambda: not server.get("/api/sessions/alone")[1]["lsl"]["has_consumers"])
    server.request("DELETE", "/api/sessions/alone")


@pytest.mark.slow
def test_inlets_recover_after_a_change_of_speed_and_miss_nothing(server, recording, lsl):
    _, layout = recording
    server.create("paced")
    with inlets(lsl, *sources("paced", "neural")) as it:
        until(lambda: stats(server, "paced")["packets_sent"] > 40)
        server.post("/api/control/paced/speed", {"speed": 2})
        sent = stats(server, "paced")["packets_sent"]
        until(lambda: stats(server, "paced")["packets_sent"] > sent + 80)
    (neural,) = it.streams.values()
    bins = bins_of(layout, neural.values)
    # Up to the few that were on their way when the old outlet went.
    assert sum(b != a + 1 for a, b in pairwise(bins)) <= 1
    assert bins[-1] - bins[0] - len(bins) < 10
    server.request("DELETE", "/api/sessions/paced")


@pytest.mark.slow
def test_a_stopped_inlet_delays_nobody(server, recording, lsl):
    _, layout = recording
    server.create("stuck")
    process = psutil.Process(server.process.pid)
    with inlets(lsl, *sources("stuck"), finish=False) as stuck:
        until(lambda: listeners(server, "stuck") == 1)
        stuck.process.send_signal(signal.SIGSTOP)
        before = process.memory_info().rss
        with (
            listening(f"{server.ws}/stream/binary/stuck") as client,
            inlets(lsl, *sources("stuck", "neural")) as other,
        ):
            time.sleep(10)
        grown = process.memory_info().rss - before
        stuck.process.send_signal(signal.SIGCONT)
    assert client.gaps == []
    assert len(client.packets) > 350
    (neural,) = other.streams.values()
    bins = bins_of(layout, neural.values)
    assert bins == [(bins[0] + n) % layout.n_bins for n in range(len(bins))]
    assert len(bins) > 300
    assert grown < 20e6
    server.request("DELETE", "/api/sessions/stuck")


def test_after_a_restart_inlets_recover_by_the_source_id(recording, lsl):
    _, layout = recording
    with serving(recording, lsl) as first:
        first.create("same")
        with inlets(lsl, *sources("same", "neural"), finish=False) as it:
            until(lambda: stats(first, "same")["packets_sent"] > 20)
            assert first.terminate() == 0, first.log
            with serving(recording, lsl) as second:
                second.create("same")
                until(lambda: stats(second, "same")["packets_sent"] > 40)
                it.finish()
    (neural,) = it.streams.values()
    bins = bins_of(layout, neural.values)
    again = bins.index(0, 5)
    assert bins[:again] == list(range(again))
    assert bins[again:] == list(range(len(bins) - again))
    assert len(bins) - again > 20


def test_a_session_deleted_and_made_anew_has_working_outlets(server, recording, lsl):
    _, layout = recording
    for _ in range(3):
        assert server.create("again")["lsl"]["is_available"] is True
        with inlets(lsl, *sources("again", "neural")) as it:
            until(lambda: stats(server, "again")["packets_sent"] > 10)
        assert bins_of(layout, it.streams[sources("again", "neural")[0]].values)[0] == 0
        assert server.request("DELETE", "/api/sessions/again")[0] == 200


def test_threads_and_descriptors_return_to_where_they_were(recording, lsl):
    with serving(recording, lsl) as server:
        process = psutil.Process(server.process.pid)
        server.create("warm")
        server.request("DELETE", "/api/sessions/warm")
        # A while without work, and the worker threads of trio go.
        until(lambda: process.num_threads() <= 2, seconds=40)
        n_fds = process.num_fds()
        for n in range(30):
            assert server.create(f"churn-{n}")["lsl"]["is_available"] is True
            assert server.request("DELETE", f"/api/sessions/churn-{n}")[0] == 200
        until(lambda: process.num_threads() <= 2, seconds=40)
        assert process.num_fds() <= n_fds


def test_the_cap_and_what_a_session_says_that_has_none(recording, lsl):
    # Several processes divide it.
    with serving(recording, lsl, PHANTOM_LSL_MAX_SESSIONS="1", PHANTOM_PROCESSES="1") as server:
        assert server.create("a")["lsl"]["is_available"] is True
        refused = server.create("b")["lsl"]
        assert refused["streams"] == []
        assert "PHANTOM_LSL_MAX_SESSIONS" in refused["reason"]
        validate(refused, {"$ref": "#/components/schemas/Lsl"})
        assert server.create("a")["lsl"]["is_available"] is True
        without = server.create("c", lsl=False)["lsl"]
        assert without["reason"] == "the session was asked for without"
        status, problem = server.post("/api/sessions/create", {"custom_code": "a", "lsl": False})
        assert (status, problem["title"]) == (409, "Session exists with other options")
        status, problem = server.post("/api/sessions/create", {"lsl": "no"})
        assert (status, problem["detail"]) == (422, "lsl: got 'no', takes true or false")
        server.request("DELETE", "/api/sessions/a")
        assert server.create("d")["lsl"]["is_available"] is True


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_session_that_a_client_has_opened_has_outlets_too(recording, lsl, entry):
    path, layout = recording
    env = lsl | {"PHANTOM_LSL_ENABLED": "true"}
    with live_server(path, entry=entry, env=env) as server:
        with listening(f"{server.ws}/stream/binary/opened") as client:
            until(lambda: server.get("/api/sessions/opened")[1]["lsl"]["is_available"])
            with inlets(lsl, *sources("opened", "neural")) as it:
                time.sleep(1)
        bins = bins_of(layout, it.streams[sources("opened", "neural")[0]].values)
        assert len(bins) > 20
        assert set(bins) <= set(client.ids)
        assert server.process.poll() is None


def test_without_liblsl_it_says_so_once_and_serves(recording, lsl, tmp_path):
    broken = tmp_path / "liblsl.so"
    broken.write_text("not a library")
    with serving(recording, lsl, PYLSL_LIB=str(broken)) as server:
        for code in ("a", "b"):
            told = server.create(code)["lsl"]
            assert told["is_available"] is False
            assert "PYLSL_LIB" in told["reason"]
        got = receive(f"{server.ws}/stream/binary/a", 20)
        assert got.gaps == []
        assert len(got.packets) == 20
        warnings = [line for line in server.lines if "LSL" in line]
        assert len(warnings) == 1, server.log
        assert "WARNING" in warnings[0]
        assert "PYLSL_LIB" in warnings[0]


def test_a_client_without_a_configuration_finds_a_server_of_this_machine(recording, tmp_path):
    path, layout = recording
    here = {"LSLAPICFG": "", "HOME": str(tmp_path)}
    settings = {"PHANTOM_LSL_ENABLED": "true", "PHANTOM_LSL_SOURCE_ID": f"plain-{os.getpid()}"}
    with live_server(path, env=here | settings) as server:
        streams = server.create("plain")["lsl"]["streams"]
        assert "LSL: scope machine" in server.log
        wanted = [stream["source_id"] for stream in streams]
        with inlets(here, *wanted) as it:
            until(lambda: stats(server, "plain")["packets_sent"] > 40)
    bins = bins_of(layout, it.streams[wanted[0]].values)
    assert bins == list(range(bins[0], bins[0] + len(bins)))
    assert len(bins) > 20


def test_float32_for_tools_that_want_it(recording, lsl):
    _, layout = recording
    with serving(recording, lsl, PHANTOM_LSL_FLOAT32="true") as server:
        (neural, *_) = server.create("float")["lsl"]["streams"]
        assert neural["channel_format"] == "float32"
        with inlets(lsl, neural["source_id"]) as it:
            until(lambda: stats(server, "float")["packets_sent"] > 20)
        (got,) = it.streams.values()
        assert "<channel_format>float32</channel_format>" in got.xml
        bins = bins_of(layout, [[int(value) for value in row] for row in got.values])
        assert bins == list(range(bins[0], bins[0] + len(bins)))


def test_json_of_a_session_and_of_its_creation_agree(server):
    created = server.create("shown")
    _, shown = server.get("/api/sessions/shown")
    assert shown["lsl"] == created["lsl"]
    validate(shown, {"$ref": "#/components/schemas/SessionState"})
    assert json.loads(json.dumps(shown["lsl"]))["has_consumers"] is False
    server.request("DELETE", "/api/sessions/shown")
