"""A blind session tells nothing of what it hides: two recordings that differ in that alone."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py
import msgpack
import numpy as np
import pytest
from websockets.sync.client import connect

from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.records import Marker, Sent
from phantomlink.recordings.synthetic import synthesize
from tests.clients import decode
from tests.servers import live_server
from tests.waiting import until

HIDDEN = (2, 3)
N_PACKETS = 500
# What differs from one server, playing or file to the next, whatever is hidden.
_OWN = re.compile(
    r'"(sha256|digest|created_at|last_accessed|timestamp|url|stream_url|started_at|wall_time'
    r'|contentUrl|path|idle_seconds|age_seconds)":("[^"]*"|[0-9.]+|null|\{[^}]*\}|\[[^]]*\])'
    r'|\["sha256","[0-9a-f]*"\]'
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The same recording twice, with another truth in the hidden trials of the second."""
    first, second = (tmp_path_factory.mktemp(name) / "twin.nwb" for name in ("first", "second"))
    synthesize(first, units=8, trials=6)
    shutil.copy(first, second)
    with h5py.File(second, "r+") as file:
        trials = file["intervals/trials"]
        starts, stops = trials["start_time"][:], trials["stop_time"][:]
        behaviour = []
        file.visititems(
            lambda name, item: (
                behaviour.append(item)
                if name.startswith("processing/behavior") and name.endswith("/data")
                else None
            )
        )
        assert len(behaviour) >= 2
        for data in behaviour:
            group = data.parent
            if "timestamps" in group:
                times = group["timestamps"][:]
            else:
                begin = group["starting_time"]
                times = begin[()] + np.arange(len(data)) / begin.attrs["rate"]
            values = data[:]
            for trial in HIDDEN:
                # Less a bin on both sides: what the bins beside the trial look at stays.
                inside = (times > starts[trial] + 0.03) & (times < stops[trial] - 0.03)
                values[inside] = values[inside] * -0.5
            data[:] = values
    return first, second


@contextmanager
def blind_session(recording):
    env = {"PHANTOM_LOOP": "false", "PHANTOM_CAPTURE_MIN_FREE_MB": "0"}
    with live_server(recording, env=env) as server:
        create(server)
        yield server


def create(server):
    """It is held; `play` has packets leave without gaps, however slow the machine is."""
    server.create("blind", blind={"test_trials": list(HIDDEN)}, speed=10)
    server.post("/api/control/blind/pause")


def play(server):
    """Have more packets leave than are looked at."""
    assert server.post("/api/control/blind/step", {"packets": N_PACKETS + 50})[0] == 200


def play_for_listener(server):
    until(lambda: server.get("/api/stats/blind")[1]["active_connections"], "somebody listens")
    play(server)


def anew(server):
    """The same session from its beginning: nobody has listened to it yet."""
    server.request("DELETE", "/api/sessions/blind")
    create(server)


def text_of(server, path):
    """Status and body of a route, without what is a server's own."""
    try:
        with urllib.request.urlopen(server.http + path, timeout=20) as answer:
            status, body = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read().decode()
    if body.startswith(("{", "[")):
        body = json.dumps(json.loads(body), separators=(",", ":"), sort_keys=True)
    return status, _OWN.sub("", body).replace(server.address, "HOST")


def streamed(server, query):
    with connect(f"{server.ws}/stream/blind?{query}") as websocket:
        play_for_listener(server)
        messages = []
        while len(messages) <= N_PACKETS:
            message = decode(websocket.recv(timeout=20))
            for name in ("timestamp", "sha256", "sequence_number"):  # of a playing, of a file
                message["data"].pop(name, None)
            message.pop("session", None)
            messages.append(message)
    return messages


def viewed(server):
    """All columns of a view, one bin each, while somebody listens."""
    columns = {}
    with ExitStack() as stack:
        view = stack.enter_context(connect(f"{server.ws}/view/blind?column_ms=25"))
        assert msgpack.unpackb(view.recv(timeout=20))["type"] == "hello"
        stack.enter_context(connect(f"{server.ws}/stream/binary/blind"))
        play_for_listener(server)
        while len(columns) < N_PACKETS:
            message = msgpack.unpackb(view.recv(timeout=20))
            if message["type"] != "columns" or message["bins_per_column"] != 1:
                continue
            n = len(message["lost"])
            for name, width in (("kinematics", 16), ("intention", 16), ("trial_id", 4)):
                for k in range(n):
                    row = message[name][k * width : (k + 1) * width]
                    columns.setdefault(message["packet_id"] + k, {})[name] = row
    return columns


def captured(server):
    """All that the journal of a capture says of so many packets, but for times and files."""
    begun = {"session": "blind", "keeps_playing": True}
    _, capture = server.request("POST", "/api/captures", begun)
    where = f"/api/captures/{capture['id']}"
    play(server)
    until(lambda: server.get(where)[1]["packets"] >= N_PACKETS, "packets are captured")
    server.request("POST", f"{where}/stop")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blind.plj"
        urllib.request.urlretrieve(f"{server.http}{where}/file?format=journal", path)
        journal = Journal(path)
        records = list(journal.records())
    header = {
        name: value
        for name, value in journal.header.body()[2].items()
        if name not in ("capture_id", "clock", "sha256")
    }
    text = _OWN.sub("", json.dumps(header, separators=(",", ":")))
    sent = [r.body()[1:14] for r in records if isinstance(r, Sent)][:N_PACKETS]
    markers = [(r.text, r.packet_id) for r in records if isinstance(r, Marker)]
    assert {r[0] for r in sent} == set(range(N_PACKETS))
    return [text, sent, [each for each in markers if each[1] < N_PACKETS]]


def everything(recording):
    routes = [
        "/api/trials?session=blind",
        *(f"/api/trials/{k}?session=blind" for k in range(6)),
        *(f"/api/trials/by-target/{k}?session=blind" for k in range(3)),
        "/api/metadata?session=blind",
        "/api/sessions/blind/decoders",
        "/api/sessions/blind/report",
        "/api/sessions/blind/perturbation",
    ]
    with blind_session(recording) as server:
        told = {path: text_of(server, path) for path in routes}
        for query in ("format=msgpack", "format=json&hide=intention", "format=compact&decoded=1"):
            anew(server)
            told[query] = streamed(server, query)[: N_PACKETS + 1]
        status, told["digest"] = server.get("/api/sessions/blind/digest?start=0&stop=600")
        assert status == 200
        anew(server)
        told["view"] = {k: v for k, v in viewed(server).items() if k < N_PACKETS - 50}
        anew(server)
        told["capture"] = captured(server)
        return told


def test_two_recordings_that_differ_in_what_is_hidden_are_told_apart_by_nothing(recordings):
    first, second = (everything(recording) for recording in recordings)
    assert first.keys() == second.keys()
    for name, told in first.items():
        if name.startswith("format="):
            for mine, other in zip(told, second[name], strict=True):
                assert mine["data"] == other["data"], name
        assert told == second[name], name
    hidden = [m["data"] for m in first["format=msgpack"] if m["data"]["trial_id"] is None]
    assert hidden


def test_the_two_recordings_do_differ(recordings):
    said = []
    for recording in recordings:
        with live_server(recording, env={"PHANTOM_LOOP": "false"}) as server:
            server.create("blind", speed=10)
            server.post("/api/control/blind/pause")
            said.append([m["data"]["kinematics"] for m in streamed(server, "format=msgpack")])
    assert said[0] != said[1]


def test_after_a_restart_it_is_as_blind_as_before(recordings, tmp_path):
    env = {"PHANTOM_STATE_DIR": str(tmp_path)}

    def told(server):
        _, trials = server.get("/api/trials?session=blind")
        hidden = {each["trial_id"] for each in trials["trials"] if each["start_time"] is None}
        return hidden, server.get("/api/sessions/blind/report")[0]

    with live_server(recordings[0], env=env) as server:
        create(server)
        assert told(server) == (set(HIDDEN), 409)
        server.terminate()
    with live_server(recordings[0], env=env) as server:
        assert told(server) == (set(HIDDEN), 409)
        server.request("POST", "/api/control/blind/stop")
        server.request("POST", "/api/control/blind/resume")
        assert told(server) == (set(HIDDEN), 200)
        server.terminate()
    with live_server(recordings[0], env=env) as server:
        assert told(server) == (set(HIDDEN), 200)
