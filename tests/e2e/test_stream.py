"""Streams as an independent client gets them, from the real server by both of its entries."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import h5py
import msgpack
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from phantomlink.recordings.synthetic import synthesize, synthesize_named
from tests.clients import decode, listening, receive
from tests.servers import ENTRIES, live_server
from tests.waiting import until

RATE = 40


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """400 bins of 8 units; 10 trials of 36 bins, one every 40."""
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    synthesize_named(path, units=8, seconds=10.0)
    return path


@pytest.fixture(scope="module", params=ENTRIES)
def server(request, named):
    with live_server(named, entry=request.param, env={"PHANTOM_MAX_CONNECTIONS": "100"}) as server:
        yield server


def expected_bins(path):
    """Independent of the project: (counts, kinematics, n_bins) at 40 Hz, from the file alone."""
    with h5py.File(path) as file:
        times = file["units/spike_times"][()]
        ends = file["units/spike_times_index"][()].astype(int)
        behaviour = {}
        for name in ("cursor_pos", "hand_vel"):
            series = file[f"processing/behavior/{name}"]
            behaviour[name] = series["timestamps"][()], series["data"][()]
        stops = file["intervals/trials/stop_time"][()]
    last = max([times.max(), stops.max(), *(stamps.max() for stamps, _ in behaviour.values())])
    n_bins = int(np.floor(round(last * RATE, 6))) + 1
    counts = np.zeros((n_bins, len(ends)), int)
    for unit, (start, stop) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        index = np.floor(np.round(times[start:stop] * RATE, 6)).astype(int)
        np.add.at(counts[:, unit], index, 1)
    kinematics = np.full((n_bins, 4), np.nan)
    for column, name in ((0, "hand_vel"), (2, "cursor_pos")):
        stamps, data = behaviour[name]
        index = np.floor(np.round(stamps * RATE, 6)).astype(int)
        for i in np.unique(index):
            kinematics[i, column : column + 2] = data[index == i].mean(axis=0)
    return counts, kinematics, n_bins


def genuine_recordings():
    folder = os.environ.get("PHANTOM_TEST_RECORDINGS")
    return [Path(folder) / "mc_maze_full_2trials.nwb"] if folder else []


@pytest.fixture(scope="module", params=["synthetic", *map(str, genuine_recordings())])
def whole_recording(request, tmp_path_factory):
    if request.param != "synthetic":
        assert Path(request.param).exists()
        return Path(request.param)
    path = tmp_path_factory.mktemp("whole") / "two_trials.nwb"
    synthesize(path, units=40, trials=2, seed=3)
    return path


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_whole_recording_arrives_as_it_is_in_the_file(whole_recording, entry):
    counts, kinematics, n_bins = expected_bins(whole_recording)
    with live_server(whole_recording, entry=entry, env={"PHANTOM_LOOP": "false"}) as server:
        got = receive(f"{server.ws}/stream/whole")
    assert got.close_code == 1000
    assert got.ids == list(range(n_bins))
    assert got.sequence == list(range(n_bins))
    received = np.array([packet["spikes"]["spike_counts"] for packet in got.packets])
    np.testing.assert_array_equal(received.sum(axis=0), counts.sum(axis=0))
    np.testing.assert_array_equal(received, counts)
    for column, name in enumerate(("vx", "vy", "x", "y")):
        values = [packet["kinematics"][name] for packet in got.packets]
        expected = kinematics[:, column]
        assert [value is None for value in values] == np.isnan(expected).tolist()
        np.testing.assert_allclose(np.array(values, float), expected, rtol=1e-9, atol=1e-12)


def test_the_first_message_is_the_metadata_with_a_packet_to_draw(server):
    server.post("/api/sessions/create", {"custom_code": "meta"})
    server.post("/api/control/meta/seek", {"packet_id": 77})
    got = receive(f"{server.ws}/stream/meta", 2)
    data = got.metadata["data"]
    assert got.metadata["type"] == "metadata"
    assert got.metadata["session"] == {"code": "meta", "url": f"{server.ws}/stream/meta"}
    assert data["dataset"] == "named"
    assert data["total_packets"] == 400
    assert data["frequency_hz"] == RATE
    assert data["num_channels"] == data["channel_count"] == 8
    assert data["duration_seconds"] == 10.0
    assert data["num_trials"] == 10
    assert data["bin_size_ms"] == 25.0
    assert data["channel_ids"] == list(range(8))
    snapshot = {name: data[name] for name in got.packets[0]}
    for packet in (snapshot, got.packets[0]):
        assert abs(packet.pop("timestamp") - time.time()) < 60
    assert snapshot == got.packets[0]
    assert snapshot["packet_id"] == 77


def test_both_forms_say_the_same(server):
    with (
        listening(f"{server.ws}/stream/forms") as packed,
        listening(f"{server.ws}/stream/forms?format=json") as text,
        listening(f"{server.ws}/stream/binary/forms?format=json") as binary,
    ):
        until(lambda: min(len(got.packets) for got in (packed, text, binary)) > 25)
    assert all(isinstance(raw, bytes) for raw in packed.raw + binary.raw)
    assert all(isinstance(raw, str) for raw in text.raw)
    for other in (text, binary):
        common = {p["sequence_number"]: p for p in other.packets}
        shared = [(p, common[p["sequence_number"]]) for p in packed.packets if
                  p["sequence_number"] in common]  # fmt: skip
        assert len(shared) > 15
        for one, two in shared:
            assert one["timestamp"] == pytest.approx(two["timestamp"], abs=2e-6)
            assert one | {"timestamp": 0} == two | {"timestamp": 0}


@pytest.mark.parametrize("path", ["compact?format=compact", "binary/compact?format=compact"])
def test_compact_packets_say_the_same(server, path):
    with (
        listening(f"{server.ws}/stream/compact") as plain,
        listening(f"{server.ws}/stream/{path}") as compact,
    ):
        until(lambda: min(len(got.packets) for got in (plain, compact)) > 25)
    by_number = {p["sequence_number"]: p for p in plain.packets}
    shared = [p for p in compact.packets if p["sequence_number"] in by_number]
    assert len(shared) > 15
    snapshot = compact.metadata["data"]
    assert set(snapshot["spikes"]) == {"counts", "dtype", "bin_size_ms"}
    assert snapshot["channel_ids"] == list(range(8))
    for packet in shared:
        expected = by_number[packet["sequence_number"]]
        spikes, wanted = packet.pop("spikes"), expected["spikes"]
        assert np.frombuffer(spikes["counts"], spikes["dtype"]).tolist() == wanted["spike_counts"]
        assert spikes["bin_size_ms"] == wanted["bin_size_ms"]
        assert packet == {name: value for name, value in expected.items() if name != "spikes"}


def test_the_sub_protocol_of_compact_packets_is_answered(server):
    offered = ["phantomlink.v2.msgpack", "phantomlink.v1.msgpack"]
    with connect(f"{server.ws}/stream/binary/sub2", subprotocols=offered) as websocket:
        assert websocket.subprotocol == "phantomlink.v2.msgpack"
        websocket.recv(timeout=10)
        assert "counts" in decode(websocket.recv(timeout=10))["data"]["spikes"]


@pytest.mark.parametrize("wanted", ["json", "msgpack"])
def test_a_subprotocol_chooses_the_form_and_is_answered(server, wanted):
    subprotocols = ["unknown", f"phantomlink.v1.{wanted}"]
    with connect(f"{server.ws}/stream/sub", subprotocols=subprotocols) as websocket:
        assert websocket.subprotocol == f"phantomlink.v1.{wanted}"
        assert isinstance(websocket.recv(timeout=10), str if wanted == "json" else bytes)


def test_a_browser_gets_json_and_a_foreign_page_nothing(server):
    browser = {"origin": "http://localhost:3000", "user_agent_header": "Mozilla/5.0 (X11)"}
    with connect(f"{server.ws}/stream/page", **browser) as websocket:
        assert json.loads(websocket.recv(timeout=10))["type"] == "metadata"
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.ws}/stream/page", origin="https://evil.example")
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("a?trial_id=99", 404), ("a?trial_id=x", 422), ("a?reach_id=7", 404),
        ("a?trial_id=0&target_id=2", 404), ("a%20b", 422), ("a?format=xml", 422),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_before_the_upgrade_with_the_reason(server, path, status):
    before = server.get("/api/sessions")[1]["total_sessions"]
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.ws}/stream/{path}")
    response = refused.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == status
    assert "got" in problem["detail"] or "no " in problem["detail"]
    assert server.get("/api/sessions")[1]["total_sessions"] == before


def test_two_clients_of_one_session_get_identical_packets(server):
    with (
        listening(f"{server.ws}/stream/pair") as one,
        listening(f"{server.ws}/stream/pair") as two,
    ):
        # Not for so long: a busy machine sends less in a second.
        until(lambda: len(two.packets) >= 40, "the second client's 40 packets")
        until(lambda: one.sequence[-1] >= two.sequence[39], "the same of the first")
    first = one.sequence.index(two.sequence[0])
    n = min(len(one.raw) - first, len(two.raw))
    assert n >= 35
    assert one.raw[first : first + n] == two.raw[:n]
    assert not one.gaps
    assert not two.gaps


def test_four_sessions_with_different_positions_do_not_touch_each_other(server):
    starts = {"four-a": 0, "four-b": 100, "four-c": 200, "four-d": 300}
    for code, packet_id in starts.items():
        server.post("/api/sessions/create", {"custom_code": code})
        status, _ = server.post(f"/api/control/{code}/seek", {"packet_id": packet_id})
        assert status == 200
    with ExitStack() as stack:
        got = {
            code: stack.enter_context(listening(f"{server.ws}/stream/{code}")) for code in starts
        }
        until(lambda: len(got["four-c"].ids) > 20)
        server.post("/api/control/four-b/pause")
        server.post("/api/control/four-c/seek", {"position_seconds": 0})
        for code in ("four-a", "four-d"):
            until(lambda code=code: len(got[code].ids) >= 60, f"60 packets of {code}")
    for code in ("four-a", "four-d"):
        first = starts[code]
        n = len(got[code].ids)
        assert n >= 40
        assert got[code].ids == [(first + k) % 400 for k in range(n)]
    assert got["four-b"].ids[0] == 100
    assert len(got["four-b"].ids) < len(got["four-a"].ids) - 10
    assert got["four-c"].ids[0] == 200
    assert 0 in got["four-c"].ids
    assert not got["four-c"].gaps


def test_a_trial_filter_starts_at_once_and_sends_only_that_trial(server):
    server.post("/api/sessions/create", {"custom_code": "filter"})
    server.post("/api/control/filter/seek", {"packet_id": 399})
    got = receive(f"{server.ws}/stream/filter?trial_id=4", 80)
    # Nothing was waited for that it does not send.
    assert got.sequence == list(range(80))
    assert {packet["trial_id"] for packet in got.packets} == {4}
    assert got.ids == [160 + k % 36 for k in range(80)]
    assert [packet["loop"] for packet in got.packets] == [k // 36 for k in range(80)]
    assert not got.gaps
    assert server.get("/api/control/filter/position")[1]["current_packet"] == 399


def test_pause_then_resume_sends_no_burst_and_loses_no_bin(server):
    with listening(f"{server.ws}/stream/hold") as got:
        until(lambda: len(got.packets) > 15)
        assert server.post("/api/control/hold/pause")[0] == 200
        # From the first packet on, so that the position is how many have left.
        held = server.get("/api/control/hold/position")[1]["current_packet"]
        until(lambda: len(got.packets) == held)
        time.sleep(3.0)
        assert len(got.packets) == held
        assert server.post("/api/control/hold/pause")[0] == 200
        server.post("/api/control/hold/resume")
        until(lambda: len(got.packets) >= held + 20)
    assert got.ids == list(range(len(got.ids)))
    assert not got.gaps
    after = [packet["timestamp"] for packet in got.packets[held : held + 20]]
    # A burst would squeeze the packets of three seconds together.
    assert after[-1] - after[0] > (len(after) - 1) * 0.025 - 0.15


def test_stop_closes_with_1000_and_the_next_listener_starts_over(server):
    with listening(f"{server.ws}/stream/halt") as got:
        until(lambda: got.packets)
        assert server.post("/api/control/halt/stop")[0] == 200
        until(lambda: got.close_code is not None)
        assert got.close_code == 1000
    again = receive(f"{server.ws}/stream/halt", 3)
    assert again.ids == [0, 1, 2]
    assert again.sequence[0] == len(got.packets)


def test_delete_closes_with_4410(server):
    with listening(f"{server.ws}/stream/gone") as got:
        assert server.request("DELETE", "/api/sessions/gone")[0] == 200
        until(lambda: got.close_code is not None)
    assert got.close_code == 4410


def test_what_a_client_sends_is_ignored(server):
    with connect(f"{server.ws}/stream/chatty") as websocket:
        websocket.recv(timeout=10)
        for message in ("hello", b"\x00\xff", "x" * 10_000, ""):
            websocket.send(message)
        numbers = [decode(websocket.recv(timeout=10))["data"]["sequence_number"] for _ in range(20)]
    assert numbers == list(range(numbers[0], numbers[0] + 20))


def flood(url, message):
    """Send something and read on until the server closes; its close code."""
    with connect(url) as websocket:
        try:
            websocket.recv(timeout=10)
            websocket.send(message)
            while True:
                websocket.recv(timeout=10)
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else 1006


def test_a_message_that_is_too_big_ends_its_sender_alone(server):
    with listening(f"{server.ws}/stream/other") as other:
        # Above hypercorn's limit (16 MiB) and ours (64 KiB); a client that is cut off in the
        # middle of sending may not see the close frame.
        assert flood(f"{server.ws}/stream/big", b"x" * 20_000_000) in {1009, 1006}
        time.sleep(0.2)
    assert not other.gaps
    assert other.close_code is None


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_ten_sessions_at_once_without_a_gap(named, entry):
    with (
        live_server(named, entry=entry) as server,
        ThreadPoolExecutor(10) as pool,
    ):
        urls = [f"{server.ws}/stream/ten-{k}" for k in range(10)]
        results = list(pool.map(lambda url: receive(url, 160), urls))
    for got in results:
        assert not got.gaps
        assert got.ids == [k % 400 for k in range(len(got.ids))]
        assert len(got.ids) == 160


def test_no_room_is_503_before_the_upgrade(named):
    with live_server(named, env={"PHANTOM_MAX_CONNECTIONS": "1"}) as server:
        with listening(f"{server.ws}/stream/only"):
            with pytest.raises(InvalidStatus) as refused:
                connect(f"{server.ws}/stream/another")
            assert refused.value.response.status_code == 503
            assert int(refused.value.response.headers["Retry-After"]) > 0
        # Its listener has gone, and the session makes room.
        until(lambda: server.get("/api/stats/only")[1]["active_connections"] == 0)
        assert receive(f"{server.ws}/stream/another", 3).ids == [0, 1, 2]


def test_going_away_is_1001_and_exit_0(named):
    with live_server(named) as server:
        with listening(f"{server.ws}/stream/bye") as got:
            assert server.terminate() == 0
        assert got.close_code == 1001
        assert "Traceback" not in server.log, server.log


def test_messagepack_is_plain(server):
    """Any MessagePack library reads it: no extension types, text keys."""
    raw = receive(f"{server.ws}/stream/plain", 1).raw[0]
    message = msgpack.unpackb(raw, strict_map_key=True, raw=False)
    assert list(message) == ["type", "data"]
