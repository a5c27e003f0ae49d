"""Captures of a real server: started, stopped, downloaded, verified; and killed in the middle."""

import json
import math
import os
import signal
import urllib.error
import urllib.request
from functools import partial

import numpy as np
import pytest
import pyxdf
import trio

from phantomlink.captures.command import verify_file
from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.records import Answer, Control, Marker, Sent
from phantomlink.cli import main
from phantomlink.client import connect
from phantomlink.files.slots import LocalSlots
from phantomlink.outputs.capture.captures import Captures
from phantomlink.outputs.capture.limits import CaptureLimits
from phantomlink.recordings.recording import open_recording
from phantomlink.settings import Settings
from tests.captures import AT_40
from tests.clients import listening
from tests.servers import live_server
from tests.waiting import until

CAPTURES = "/api/captures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("captures")


def environment(folder, **more):
    return {"PHANTOM_CAPTURE_DIR": str(folder), "PHANTOM_CAPTURE_MIN_FREE_MB": "1"} | more


@pytest.fixture(scope="module")
def server(maze_recording, folder):
    with live_server(maze_recording, env=environment(folder)) as running:
        yield running


def call(server, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.http + path, data, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


def test_what_was_sent_is_in_it_and_verifies(server, folder, maze_recording, tmp_path):
    with listening(f"{server.ws}/stream/kept") as got:
        until(lambda: len(got.packets) > 3)
        status, started, headers = call(server, "POST", CAPTURES, {"session": "kept", "title": "t"})
        assert (status, started["state"]) == (201, "running")
        assert headers["Location"] == f"{CAPTURES}/{started['id']}"
        first = len(got.packets)
        until(lambda: len(got.packets) > first + 20)
        faults = [{"kind": kind, "probability": 0.2} for kind in ("packet_loss", "packet_reorder")]
        wanted = {"perturbation": {"transforms": [*faults, {"kind": "gaussian_noise",
                  "noise_std": 0.5}]}, "seed": 5}  # fmt: skip
        assert call(server, "PUT", "/api/sessions/kept/perturbation", wanted)[0] == 200
        until(lambda: len(got.packets) > first + 60)
        for action, body in (("pause", None), ("seek", {"packet_id": 700}), ("resume", None)):
            assert call(server, "POST", f"/api/control/kept/{action}", body)[0] == 200
        assert call(server, "POST", "/api/control/kept/speed", {"speed": 2})[0] == 200
        until(lambda: len(got.packets) > first + 110)
        assert call(server, "POST", CAPTURES, {"session": "kept"})[0] == 409
        status, stopped, _ = call(server, "POST", f"{CAPTURES}/{started['id']}/stop")
    assert (status, stopped["state"], stopped["reason"]) == (200, "complete", "stopped")
    again = call(server, "POST", f"{CAPTURES}/{started['id']}/stop")[1]
    assert (again["state"], again["reason"]) == ("complete", "stopped")
    listed = call(server, "GET", CAPTURES)[1]
    assert started["id"] in [each["id"] for each in listed["captures"]]

    with urllib.request.urlopen(f"{server.http}{CAPTURES}/{started['id']}/file") as answer:
        path = tmp_path / "capture.plj"
        path.write_bytes(answer.read())
        assert answer.headers["ETag"]
    verified = verify_file(path, maze_recording)
    assert verified.is_equal, verified.found.differences
    assert verified.found.packets == stopped["packets"] > 100
    assert verified.found.faults > 3
    journal = Journal(path)
    records = list(journal.records())
    sent = {r.packet.sequence_number: r for r in records if isinstance(r, Sent)}
    controls = {r.what for r in records if isinstance(r, Control)}
    assert {"perturbation", "pause", "seek", "resume", "speed"} <= controls
    # What the client got is in it, with the counts and the times that it got.
    packets = [p for p in got.packets if "dataset" not in p]  # metadata come anew in between
    received = [p for p in packets if p["sequence_number"] in sent]
    assert len(received) > 90
    for packet in received:
        record = sent[packet["sequence_number"]]
        assert record.packet.spike_counts.tolist() == packet["spikes"]["spike_counts"]
        assert record.packet.packet_id == packet["packet_id"]
        assert record.left_at_ns == pytest.approx(packet["timestamp"] * 1e9, abs=1000)
        assert record.delivered == 1
    lost = [r for r in sent.values() if not r.delivered]
    numbers = {p["sequence_number"] for p in packets}
    assert lost
    assert not numbers & {r.packet.sequence_number for r in lost}


def formed(server, capture_id, form):
    """The file of a capture in this form, once it has been made.

    By a process that gives way to others: on a busy machine that is a minute and more.
    """
    url = f"{server.http}{CAPTURES}/{capture_id}/file?format={form}"

    def ready():
        with urllib.request.urlopen(url, timeout=20) as answer:
            if answer.status == 202:
                assert answer.headers["Retry-After"] == "1"
                assert answer.headers["Location"] == url.removeprefix(server.http)
                return None
            assert answer.headers["Content-Disposition"].startswith("attachment")
            return answer.read()

    return until(ready, f"the {form} of it", seconds=180)


@pytest.mark.timeout(600)
def test_every_form_of_it_can_be_had_and_it_is_a_dataset(server, maze_recording, tmp_path):
    with (
        connect(server.http, session="formed") as stream,
        connect(server.http, session="formed") as other,
    ):
        packets, others = iter(stream), iter(other)
        started = call(server, "POST", CAPTURES, {"session": "formed"})[1]["id"]
        for _ in range(45):
            packet = next(packets)
            stream.predict(packet, 1.5, -2.0, decoder="first")
            other.predict(next(others), x=0.5, y=0.25, decoder="second")
        # The last answers are on their way.
        next(packets)
        stopped = call(server, "POST", f"{CAPTURES}/{started}/stop")[1]
    assert formed(server, started, "nwb").startswith(b"\x89HDF")
    (tmp_path / "a.xdf").write_bytes(formed(server, started, "xdf"))
    (tmp_path / "a.json").write_bytes(formed(server, started, "recipe"))
    (tmp_path / "a.plj").write_bytes(formed(server, started, "journal"))
    shown = call(server, "GET", f"{CAPTURES}/{started}")[1]
    assert shown["formats"] == ["nwb", "journal", "xdf", "recipe"]
    assert shown["recipe"] == json.loads((tmp_path / "a.json").read_text())
    assert (shown["problems"], shown["recipe_reason"]) == ({}, "")
    for name in ("a.plj", "a.json"):
        verified = verify_file(tmp_path / name, maze_recording)
        assert verified.is_equal
        assert verified.found.digest == shown["digest"]
        assert verified.found.packets == stopped["packets"]
    loaded, _ = pyxdf.load_xdf(tmp_path / "a.xdf", dejitter_timestamps=False)
    by_name = {each["info"]["name"][0]: each for each in loaded}
    neural = by_name["PhantomLink-Neural-formed"]
    records = list(Journal(tmp_path / "a.plj").records())
    sent = [r for r in records if isinstance(r, Sent)]
    assert neural["time_series"].tolist() == [r.packet.spike_counts.tolist() for r in sent]
    answers = [r for r in records if isinstance(r, Answer)]
    assert {(a.decoder, a.vx, a.vy, a.x, a.y) for a in answers} == {
        ("first", 1.5, -2.0, None, None),
        ("second", None, None, 0.5, 0.25),
    }
    assert len(answers) > 80
    assert {a.outcome for a in answers} <= {"scored", "unknown"}  # those before its first packet
    numbers = {r.packet.sequence_number: r for r in sent}
    late_ns = [
        a.arrived_ns - numbers[a.sequence_number].deadline_ns
        for a in answers
        if a.sequence_number in numbers
    ]
    assert min(late_ns) > 0
    assert Marker in {type(r) for r in records}

    # It is played as any other dataset is: the same counts, bin by bin.
    card = call(server, "GET", f"/api/datasets/{started}")[1]
    assert card["phantomlink"]["state"] == "available"
    with connect(server.http, session="again", dataset=started) as stream:
        packets = iter(stream)
        for k in range(20):
            packet = next(packets)
            if packet.loop == 0:
                expected = sent[packet.packet_id].packet
                assert packet.counts.tolist() == expected.spike_counts.tolist(), k
                unknown_is_nan = [math.nan if v is None else v for v in (expected.vx, expected.vy)]
                np.testing.assert_array_equal(packet.velocity, unknown_is_nan)
    call(server, "DELETE", "/api/sessions/again")
    until(lambda: call(server, "DELETE", f"{CAPTURES}/{started}")[0] == 200, "it is deleted")
    assert call(server, "GET", f"/api/datasets/{started}")[0] == 404


def test_the_command_captures_through_the_server(server, maze_recording, tmp_path, capsys):
    call(server, "POST", "/api/sessions/create", {"custom_code": "told"})
    out = tmp_path / "told.nwb"
    wanted = [*("capture", server.http, "told", str(out)), "--seconds", "0.5", "--keeps-playing"]
    assert main(wanted) == 0
    assert "complete: as long as was asked for" in capsys.readouterr().out
    verified = verify_file(out, maze_recording)
    assert verified.is_equal
    assert verified.found.packets > 5
    assert main(wanted) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["capture", server.http, "nobody", str(tmp_path / "x.plj")]) == 2
    assert "nobody" in capsys.readouterr().err
    assert main(["capture", server.http, "told", str(tmp_path / "x.mat")]) == 2
    assert ".plj, .nwb, .xdf, .json" in capsys.readouterr().err
    # It kept the session playing no longer than it ran.
    assert not call(server, "GET", "/api/sessions/told")[1]["is_running"]


def test_what_is_not_there_is_404_and_the_rest_is_refused(server):
    assert call(server, "POST", CAPTURES, {"session": "nobody"})[0] == 404
    assert call(server, "GET", f"{CAPTURES}/nothing")[0] == 404
    assert call(server, "DELETE", f"{CAPTURES}/nothing")[0] == 404
    assert call(server, "GET", f"{CAPTURES}/..%2f..%2fetc/file")[0] == 404
    assert call(server, "POST", CAPTURES, {"session": "kept", "titel": "x"})[0] == 422


def test_a_capture_ends_with_its_session_and_its_time(server, folder):
    for code in ("short", "ended"):
        call(server, "POST", "/api/sessions/create", {"custom_code": code})
    short = call(server, "POST", CAPTURES, {"session": "short", "max_seconds": 0.3})[1]["id"]
    ended = call(server, "POST", CAPTURES, {"session": "ended"})[1]["id"]
    assert call(server, "GET", f"{CAPTURES}/{ended}/file")[0] == 409
    call(server, "DELETE", "/api/sessions/ended")
    for name in (short, ended):
        until(lambda name=name: call(server, "GET", f"{CAPTURES}/{name}")[1]["state"] == "complete")
    # 409 while it is being converted, which begins when it is complete.
    until(lambda: call(server, "DELETE", f"{CAPTURES}/{short}")[0] == 200)
    assert call(server, "GET", f"{CAPTURES}/{short}")[0] == 404
    assert not list(folder.glob(f"{short}*"))
    assert list(folder.glob(f"{ended}*"))


def test_a_private_sessions_capture_names_it_nowhere(server, folder):
    made = call(server, "POST", "/api/sessions/create", {"private": True})[1]["session_code"]
    started = call(server, "POST", CAPTURES, {"session": made})[1]
    assert made not in json.dumps(started)
    assert not [c for c in call(server, "GET", CAPTURES)[1]["captures"] if c["id"] == started["id"]]
    call(server, "POST", f"{CAPTURES}/{started['id']}/stop")
    assert not [name for name in os.listdir(folder) if made in name]
    assert made not in repr(Journal(folder / f"{started['id']}.plj").header)


def test_killed_in_the_middle_what_was_written_is_there(maze_recording, tmp_path):
    with (
        live_server(maze_recording, env=environment(tmp_path)) as server,
        listening(f"{server.ws}/stream/killed") as got,
    ):
        started = call(server, "POST", CAPTURES, {"session": "killed"})[1]["id"]
        until(lambda: len(got.packets) > 60)
        os.kill(server.process.pid, signal.SIGKILL)
        last = max(p["sequence_number"] for p in got.packets)
    # At the start of the next server it is found, here without one.
    captures = Captures(tmp_path, LocalSlots(4), CaptureLimits(10**9, 10**9, 0), Settings())

    async def start_again():
        async with trio.open_nursery() as nursery:
            await nursery.start(captures.run)
            is_read = partial(until, lambda: captures.get(started).is_read)
            await trio.to_thread.run_sync(is_read)
            nursery.cancel_scope.cancel()

    trio.run(start_again)
    found = captures.get(started)
    assert (found.state, found.reason) == ("recovered", "its process died")
    assert found.forms == ("nwb", "journal", "xdf", "recipe")
    path = tmp_path / f"{started}.plj"
    verified = verify_file(path, maze_recording)
    assert verified.is_equal
    assert verified.found.digest == found.digest
    with open_recording(tmp_path / f"{started}.nwb") as played:
        assert played.at_rate(AT_40).grid.n_bins == found.packets
    records = Journal(path).records()
    numbers = [r.packet.sequence_number for r in records if isinstance(r, Sent)]
    assert found.packets == len(numbers)
    # A write is there whoever dies, every tenth of a second; power costs up to a second.
    assert last - max(numbers) <= 40


def test_a_folder_that_is_removed_tears_the_capture_and_nothing_else(maze_recording, tmp_path):
    folder = tmp_path / "gone"
    with (
        live_server(maze_recording, env=environment(folder)) as server,
        listening(f"{server.ws}/stream/torn") as got,
    ):
        started = call(server, "POST", CAPTURES, {"session": "torn"})[1]["id"]
        until(lambda: len(got.packets) > 20)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        until(lambda: call(server, "GET", f"{CAPTURES}/{started}")[1]["state"] == "torn")
        assert "cannot be written" in call(server, "GET", f"{CAPTURES}/{started}")[1]["reason"]
        n = len(got.packets)
        until(lambda: len(got.packets) > n + 20)
    numbers = [p["sequence_number"] for p in got.packets]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_when_the_server_goes_its_captures_are_whole(maze_recording, tmp_path):
    with (
        live_server(maze_recording, env=environment(tmp_path)) as server,
        listening(f"{server.ws}/stream/going") as got,
    ):
        started = call(server, "POST", CAPTURES, {"session": "going"})[1]["id"]
        n = len(got.packets)
        until(lambda: len(got.packets) > n + 20)
        assert server.terminate() == 0
    journal = Journal(tmp_path / f"{started}.plj")
    assert len(list(journal.records())) > 15
    assert journal.state == "complete"
    assert journal.end.reason in ("the server is going away", "server is going away")
