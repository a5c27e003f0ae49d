"""Other bin widths and speeds: asked for over REST, seen by an independent client."""

import time
import urllib.request

import numpy as np
import pytest

from phantomlink.recordings.synthetic import synthesize, synthesize_named
from tests.clients import listening, receive
from tests.e2e.test_stream import expected_bins
from tests.servers import live_server
from tests.waiting import until


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """400 bins of 25 ms, whose counts are their index in base 8."""
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    synthesize_named(path, units=8, seconds=10.0)
    with live_server(path, env={"PHANTOM_MAX_CONNECTIONS": "50"}) as server:
        yield server


def median_interval(got):
    """Of the stamps, s: a machine that stalls for a moment does not move it."""
    return float(np.median(np.diff([packet["timestamp"] for packet in got.packets])))


@pytest.mark.parametrize(("bin_size_ms", "n_bins"), [(5, 2000), (12.5, 800), (100, 100)])
def test_a_session_at_another_bin_width(server, bin_size_ms, n_bins):
    code = f"width-{n_bins}"
    answer = server.create(code, bin_size_ms=bin_size_ms)
    assert answer["bin_size_ms"] == bin_size_ms
    assert answer["frequency_hz"] == 1000 / bin_size_ms
    n = 12 if bin_size_ms == 100 else 60
    got = receive(f"{server.ws}/stream/{code}", n)
    data = got.metadata["data"]
    assert (data["bin_size_ms"], data["total_packets"]) == (bin_size_ms, n_bins)
    assert data["frequency_hz"] == 1000 / bin_size_ms
    assert {packet["spikes"]["bin_size_ms"] for packet in got.packets} == {bin_size_ms}
    assert got.ids == list(range(n))
    assert median_interval(got) == pytest.approx(bin_size_ms / 1e3, rel=0.1)
    metadata = server.get(f"/api/metadata?session={code}")[1]
    assert (metadata["bin_size_ms"], metadata["total_packets"]) == (bin_size_ms, n_bins)
    assert server.get("/api/metadata")[1]["bin_size_ms"] == 25.0


def test_counts_are_binned_anew_from_the_spikes(tmp_path):
    path = tmp_path / "two_trials.nwb"
    synthesize(path, units=20, trials=2, seed=5)
    counts, _, n_bins = expected_bins(path)
    with live_server(path, env={"PHANTOM_LOOP": "false"}) as server:
        server.create("fine", bin_size_ms=1, speed=4)
        fine = receive(f"{server.ws}/stream/fine")
    assert fine.close_code == 1000
    received = np.array([packet["spikes"]["spike_counts"] for packet in fine.packets])
    assert fine.ids == list(range(len(received)))
    padded = np.zeros((n_bins * 25, 20), int)
    padded[: len(received)] = received
    np.testing.assert_array_equal(padded.reshape(n_bins, 25, 20).sum(axis=1), counts)


def test_speed_changes_while_playing_and_the_metadata_comes_again(server):
    server.create("speed", speed=2)
    with listening(f"{server.ws}/stream/speed") as got:
        until(lambda: len(got.packets) > 20)
        status, answer = server.post("/api/control/speed/speed", {"speed": 10})
        assert (status, answer["speed"], answer["frequency_hz"]) == (200, 10, 400)
        until(lambda: got.packets[-1].get("packet_id", 0) > answer["packet_id"] + 100)
    packets = [packet for packet in got.packets if "dataset" not in packet]
    metadata = [packet for packet in got.packets if "dataset" in packet]
    assert [(m["speed"], m["frequency_hz"]) for m in metadata] == [(10, 400)]
    assert got.metadata["data"]["frequency_hz"] == 80
    ids = [packet["packet_id"] for packet in packets]
    assert ids == [k % 400 for k in range(len(ids))]
    assert [packet["sequence_number"] for packet in packets] == list(range(len(ids)))
    assert {packet["spikes"]["bin_size_ms"] for packet in packets} == {25.0}
    fast = [p["timestamp"] for p in packets if p["packet_id"] >= answer["packet_id"]]
    assert len(fast) > 100
    assert server.get("/api/metadata?session=speed")[1]["speed"] == 10


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"bin_size_ms": 0.5}, "bin_size_ms"), ({"bin_size_ms": 1001}, "bin_size_ms"),
        ({"bin_size_ms": "5"}, "bin_size_ms"), ({"speed": 0}, "speed"), ({"speed": 101}, "speed"),
        ({"bin_size_ms": 1, "speed": 5}, "speed"), ({"speed": True}, "speed"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_by_name(server, asked, field):
    before = server.get("/api/sessions")[1]["total_sessions"]
    status, problem = server.post("/api/sessions/create", {"custom_code": "refused", **asked})
    assert status == 422
    assert problem["detail"].startswith(f"{field}: got ")
    assert server.get("/api/sessions")[1]["total_sessions"] == before


def test_a_session_that_exists_and_is_another_is_409(server):
    server.create("other", bin_size_ms=5)
    assert server.create("other")["created"] is False
    assert server.create("other", bin_size_ms=5)["created"] is False
    for asked, word in (({"bin_size_ms": 10}, "bins of 5 ms"), ({"speed": 2}, "plays at 1")):
        status, problem = server.post("/api/sessions/create", {"custom_code": "other", **asked})
        assert status == 409
        assert word in problem["detail"]


def test_a_thousand_packets_a_second(server):
    code = f"fast-{time.monotonic_ns()}"
    server.create(code, bin_size_ms=1)
    got = receive(f"{server.ws}/stream/{code}", 2000)
    assert not got.gaps
    # A machine so busy that this reader falls behind has it closed early.
    assert len(got.ids) == 2000 or got.close_code == 4408
    assert len(got.ids) > 100
    assert got.ids == list(range(len(got.ids)))
    # Some that are late on a busy machine leave one after the other; over all it is never faster.
    assert median_interval(got) < 0.0012
    stamps = [packet["timestamp"] for packet in got.packets]
    assert stamps[-1] - stamps[0] > 0.0009 * (len(stamps) - 1)


def test_the_timing_report_counts_what_was_sent(server):
    server.create("timed")
    assert len(receive(f"{server.ws}/stream/timed?trial_id=2", 50).ids) == 50
    deadline = time.monotonic() + 5
    while len((report := server.get("/api/sessions/timed/timing")[1])["playheads"]) > 1:
        assert time.monotonic() < deadline
    assert report["packets_per_second"] == 40
    (main,) = report["playheads"]
    assert main["filter"] == {"trial_id": None, "target_id": None, "reach_id": None}
    assert main["packets"] == 0, "the filtered playhead has gone with its listener"
    assert main["lateness_us"]["p50"] is None
    with listening(f"{server.ws}/stream/timed") as got:
        until(lambda: len(got.packets) > 40)
        report = server.get("/api/sessions/timed/timing")[1]
        with urllib.request.urlopen(
            f"{server.http}/api/sessions/timed/timing?format=text", timeout=10
        ) as answer:
            text = answer.read().decode()
            assert answer.headers.get_content_type() == "text/plain"
        assert "lateness, unfiltered" in text
        assert "switch interval: done" in text
    (main,) = report["playheads"]
    lateness = main["lateness_us"]
    assert main["packets"] == lateness["count"] == sum(b["packets"] for b in lateness["histogram"])
    assert 30 <= main["packets"] <= len(got.packets)
    assert lateness["p50"] <= lateness["p99"] <= lateness["max"]
    assert main["anchors"] == 1 + len(main["events"])
    assert main["lowest_prefetch_depth_bins"] > 0
    assert report["send_latency_us"]["count"] >= main["packets"]
    assert report["server"]["gc_pauses_in_ticks"] == 0
