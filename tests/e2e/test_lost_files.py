"""The files of a large recording are cut, overwritten, damaged or deleted under a real server."""

import json
import os
import time
from contextlib import contextmanager

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from phantomlink.recordings.index_cache import HEADER_BYTES, places
from phantomlink.recordings.recording import open_recording
from tests.clients import listening
from tests.large_files import overwrite
from tests.servers import ENTRIES, live_server
from tests.waiting import until


@pytest.fixture(scope="module")
def expected(large_recording):
    """Counts and kinematics of the first minute."""
    with open_recording(large_recording) as recording:
        bins = recording.at_rate(40)
        assert not bins.in_memory
        assert not recording.in_memory
        return bins.read(0, 2400)


def not_ready(server):
    status, body = server.get("/readyz")
    return body["detail"] if status == 503 else None


def is_ready(server):
    return server.get("/readyz")[0] == 200


def waiting_for(server, code="a"):
    position = server.get(f"/api/control/{code}/position")[1]
    if position["waiting_for"] is None:
        return None
    assert position["is_playing"] is False
    assert position["is_paused"] is False
    assert server.get(f"/api/sessions/{code}")[1]["waiting_for"] == position["waiting_for"]
    return position["waiting_for"]


@contextmanager
def playing(recording, entry="serve"):
    env = {"XDG_CACHE_HOME": str(recording.parent / "cache")}
    with (
        live_server(recording, entry=entry, env=env) as server,
        listening(f"{server.ws}/stream/binary/a") as got,
    ):
        until(lambda: len(got.packets) > 20, "playing")
        yield server, got
        assert server.process.poll() is None, server.log


def goes_on(got, n=60):
    before = len(got.packets)
    until(lambda: len(got.packets) > before + n, "going on")


def check(got, expected):
    """Every packet is there, and says what is in the recording."""
    assert got.close_code is None
    assert got.ids == list(range(len(got.ids)))
    assert got.sequence == got.ids
    assert len(got.packets) < len(expected.counts)
    for packet in got.packets:
        bin_index = packet["packet_id"]
        assert packet["spikes"]["spike_counts"] == expected.counts[bin_index].tolist()
        kinematics = [packet["kinematics"][name] for name in ("vx", "vy", "x", "y")]
        assert np.allclose(kinematics, expected.kinematics[bin_index], equal_nan=True)


@pytest.mark.parametrize("entry", ENTRIES)
def test_cut_and_restored_while_it_plays(entry, recording, expected):
    data = recording.read_bytes()
    with playing(recording, entry) as (server, got):
        os.truncate(recording, len(data) // 3)
        assert "bytes" in until(lambda: not_ready(server), "readyz saying why")
        reason = until(lambda: waiting_for(server), "the session saying why")
        assert "cut" in reason
        assert reason.startswith(f"{recording.name}: "), "where it lies is nobody's business"
        n = len(got.packets)
        assert n > 40, "what had been read ahead was played"
        time.sleep(1.0)
        assert len(got.packets) == n
        assert got.close_code is None
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{server.ws}/stream/binary/b").close()
        answer = refused.value.response
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert "cut" in json.loads(answer.body)["detail"]
        resumed = time.monotonic()
        overwrite(recording, data)
        until(lambda: is_ready(server), "readyz")
        goes_on(got)
        assert waiting_for(server) is None
        first = got.times[n]
        assert first >= resumed
        assert sum(t - first < 1.0 for t in got.times[n:]) <= 45, "no burst"
        goes_on(got, 100)
        log = server.log
    check(got, expected)
    assert log.count("The recording cannot be read:") == 1
    assert log.count("The recording can be read again") == 1
    assert "Traceback" not in log
    assert "1013" not in log


def test_another_file_in_its_place_is_refused_until_the_right_one_is_back(recording, expected):
    data = recording.read_bytes()
    with playing(recording) as (server, got):
        assert until(lambda: server.get("/api/metadata")[1]["sha256"], "the SHA-256")
        overwrite(recording, data[::-1])
        until(
            lambda: "another file is in its place" in (not_ready(server) or ""),
            "refusal",
        )
        until(
            lambda: "another file" in (waiting_for(server) or ""), "the session waiting", seconds=30
        )
        recording.unlink()
        until(lambda: "no such file" in (not_ready(server) or ""), "that it is gone")
        recording.write_bytes(data)
        until(lambda: is_ready(server), "readyz")
        goes_on(got)
    check(got, expected)


def test_deleted_or_replaced_by_a_rename_it_plays_on(recording, expected):
    with playing(recording) as (server, got):
        other = recording.with_name("other")
        other.write_bytes(b"another")
        os.replace(other, recording)
        until(lambda: "has another file in its place" in server.log, "a warning")
        recording.unlink()
        until(lambda: "was deleted or moved away" in server.log, "another")
        goes_on(got, 150)
        assert is_ready(server)
        log = server.log
    check(got, expected)
    assert log.count("has another file in its place") == 1
    assert log.count("was deleted or moved away") == 1


def test_touched_it_plays_on(recording, expected):
    with playing(recording) as (server, got):
        assert until(lambda: server.get("/api/metadata")[1]["sha256"], "the SHA-256")
        os.utime(recording)
        until(lambda: "can be read again" in server.log, "being looked at")
        goes_on(got, 150)
        assert is_ready(server)
    check(got, expected)


@pytest.mark.parametrize("fault", ["cut", "damaged"])
def test_an_index_that_is_lost_is_made_again(fault, recording, expected):
    with playing(recording) as (server, got):
        index = places(recording, recording.parent)[0]
        if fault == "cut":
            os.truncate(index, HEADER_BYTES + 1000)
        else:
            with index.open("r+b") as file:
                file.seek(HEADER_BYTES)
                file.write(b"\xff" * (index.stat().st_size - HEADER_BYTES))
        until(lambda: "The recording cannot be read:" in server.log, "a warning")
        until(lambda: "can be read again" in server.log, "the index")
        until(lambda: is_ready(server), "readyz")
        goes_on(got, 150)
    check(got, expected)
