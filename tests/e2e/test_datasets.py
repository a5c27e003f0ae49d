"""Several datasets in one server: chosen per session, opened on use, described, fetched."""

from __future__ import annotations

import itertools
import json
import shutil
import time

import msgpack
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from phantomlink.client import Session
from phantomlink.recordings.synthetic import synthesize_named
from tests.archive import PATH, Archive, running
from tests.nwb_files import write_nwb
from tests.servers import live_server
from tests.waiting import until

CREATE_SYNTHETIC = (
    "/api/sessions/create",
    {"custom_code": "made", "dataset": "synthetic-v1"},
)
UNITS = {"one": 4, "two": 6, "three": 8}


@pytest.fixture(scope="module")
def archive():
    with running(Archive(b"not a recording, but what the archive has")) as archive:
        yield archive


@pytest.fixture(scope="module")
def folder(tmp_path_factory, archive):
    folder = tmp_path_factory.mktemp("datasets")
    for name, units in UNITS.items():
        synthesize_named(folder / f"{name}.nwb", units=units, seconds=20)
    write_nwb(
        folder / "words.nwb",
        spikes=[[0.1, 0.2], [1.5, 1.6, 2.0]],
        trials={
            "start_time": [0.0, 1.0],
            "stop_time": [0.9, 2.1],
            "go_cue_time": [0.15, 1.55],
            "where": ["left", "right"],
        },
    )
    (folder / "broken.nwb").write_text("nothing")
    shutil.copy(folder / "words.nwb", folder / "described.nwb")
    (folder / "described.dataset.toml").write_text('titel = "Words"')
    (folder / "catalog.toml").write_text(
        '[datasets.words]\ntitle = "Words"\ntarget_column = "where"\nlicense = "CC0"\n'
        f'[datasets.far]\nsource = {{ dandiset = "1", version = "2", path = "{PATH}" }}\n'
    )
    return folder


@pytest.fixture(scope="module")
def server(folder, archive, tmp_path_factory):
    env = {
        "PHANTOM_DATA_DIR": str(folder),
        "PHANTOM_CATALOG_FETCH": "listed",
        "PHANTOM_DANDI_API": f"{archive.url}/api",
        "PHANTOM_LSL_ENABLED": "false",
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
    }
    with live_server(folder / "one.nwb", env=env) as server:
        yield server


def first_messages(server, path, n=3):
    with connect(f"{server.ws}{path}") as client:
        messages = [msgpack.unpackb(client.recv(timeout=10)) for _ in range(n)]
    return messages[0]["data"], [message["data"] for message in messages[1:]]


def cards(server):
    status, answer = server.get("/api/datasets")
    assert status == 200
    return {card["phantomlink"]["name"]: card for card in answer["datasets"]}, answer["default"]


def test_the_list_has_files_and_what_could_be_fetched(server):
    listed, default = cards(server)
    assert default == "one"
    assert set(listed) >= {"one", "two", "three", "words", "broken", "far", "mc_maze_small"}
    assert listed["one"]["phantomlink"]["state"] == "open"
    assert listed["far"]["phantomlink"]["state"] == "listed"
    assert listed["mc_maze_small"]["digest"]["dandi:sha2-256"].startswith("dcaf3a52")
    assert (listed["words"]["license"], listed["words"]["phantomlink"]["title"]) == ("CC0", "Words")


def test_each_session_plays_its_own(server):
    for name, units in UNITS.items():
        answer = server.create(f"s-{name}", dataset=name)
        assert answer["dataset"] == name
        metadata, packets = first_messages(server, f"/stream/binary/s-{name}")
        assert (metadata["dataset"], metadata["num_channels"]) == (name, units)
        assert all(len(packet["spikes"]["spike_counts"]) == units for packet in packets)
        assert server.get(f"/api/metadata?session=s-{name}")[1]["dataset"] == name
        assert server.get(f"/api/sessions/s-{name}")[1]["dataset"] == name
    listed, _ = cards(server)
    assert listed["two"]["phantomlink"]["sessions"] == 1
    assert listed["two"]["phantomlink"]["num_channels"] == 6
    status, answer = server.post(
        "/api/sessions/create", {"custom_code": "s-two", "dataset": "three"}
    )
    assert status == 409
    assert "'s-two' plays 'two'" in answer["detail"]


def test_a_stream_chooses_where_it_makes_the_session(server):
    metadata, _ = first_messages(server, "/stream/binary/by-stream?dataset=three")
    assert metadata["dataset"] == "three"
    assert first_messages(server, "/stream/binary/by-stream")[0]["dataset"] == "three"
    for query, status in (
        ("dataset=two", 409),
        ("dataset=nothing", 409),
    ):
        with pytest.raises(InvalidStatus) as caught:
            connect(f"{server.ws}/stream/binary/by-stream?{query}")
        assert caught.value.response.status_code == status
    with pytest.raises(InvalidStatus) as caught:
        connect(f"{server.ws}/stream/binary/other?dataset=nothing")
    assert caught.value.response.status_code == 404
    assert b"there are one, " in caught.value.response.body


def test_the_default_is_played_when_none_is_named(server):
    assert server.create("usual")["dataset"] == "one"
    assert first_messages(server, "/stream/binary/usual-2")[0]["dataset"] == "one"
    assert server.get("/api/metadata")[1]["dataset"] == "one"


BROWSER = {"Origin": "http://localhost:5173", "User-Agent": "Mozilla/5.0"}


def as_a_dashboard_asks(server):
    """What a client that knows nothing of datasets gets, without what differs at every run."""
    until(lambda: server.get("/api/metadata")[1]["sha256"], "the SHA-256, null at first")
    answers = {
        path: server.get(path)
        for path in ("/api/metadata", "/api/trials", "/api/trials/0", "/api/trials/by-target/0")
    }
    status, created = server.post("/api/sessions/create", {"custom_code": "dashboard"})
    answers["create"] = status, set(created), created["dataset"]
    answers["seek"] = server.post("/api/control/dashboard/seek", {"packet_id": 40})
    with connect(f"{server.ws}/stream/dashboard", additional_headers=BROWSER) as client:
        messages = [json.loads(client.recv(timeout=10)) for _ in range(4)]
    for message in messages:
        message["data"].pop("timestamp", None)
    messages[0]["session"].pop("url")
    answers["messages"] = messages
    for action in ("pause", "resume", "stop"):
        answers[action] = server.post(f"/api/control/dashboard/{action}")
    answers["end"] = server.request("DELETE", "/api/sessions/dashboard")[0]
    return answers


def test_a_client_that_knows_no_datasets_gets_what_a_server_with_one_sends(
    server, folder, tmp_path
):
    shutil.copy2(folder / "one.nwb", tmp_path)
    env = {"PHANTOM_DATA_DIR": str(tmp_path), "PHANTOM_LSL_ENABLED": "false"}
    with live_server(tmp_path / "one.nwb", env=env) as alone:
        expected = as_a_dashboard_asks(alone)
    assert as_a_dashboard_asks(server) == expected
    assert [message["type"] for message in expected["messages"]] == ["metadata", *["data"] * 3]
    assert [m["data"]["packet_id"] for m in expected["messages"][1:]] == [40, 41, 42]


def test_metadata_and_trials_of_a_dataset(server):
    assert server.get("/api/metadata?dataset=words")[1]["num_channels"] == 2
    trials = server.get("/api/trials?dataset=words")[1]
    assert [trial["target_label"] for trial in trials["trials"]] == ["left", "right"]
    assert server.get("/api/trials/1?dataset=words")[1]["target_id"] == 1
    assert server.get("/api/trials/by-target/0?dataset=words")[1]["count"] == 1
    assert server.get("/api/metadata?dataset=one&session=usual")[0] == 422


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("nothing", 404, "no dataset 'nothing'; there are one, "),
        ("../one", 422, "not a path"),
        ("/etc/passwd", 422, "not a path"),
        ("broken", 503, "not an HDF5 file"),
        ("described", 503, "titel: not known; title?"),
        ("far", 409, "phantomlink fetch far"),
    ],
)
def test_what_cannot_be_played_says_why(server, name, status, said):
    got, answer = server.post("/api/sessions/create", {"dataset": name})
    assert (got, said in answer["detail"]) == (status, True), answer
    if got == 503:
        ours = cards(server)[0][name]["phantomlink"]
        assert (ours["state"], ours["reason"]) == ("broken", answer["detail"])
        assert ours["reason"].startswith(name), "where it lies is nobody's business"


def test_a_file_that_appears_changes_and_goes(server, folder):
    assert server.post("/api/sessions/create", {"dataset": "late"})[0] == 404
    shutil.copy(folder / "two.nwb", folder / "late.nwb")
    assert server.post("/api/datasets/rescan")[1]["found"] >= 7
    assert server.get("/api/metadata?dataset=late")[1]["num_channels"] == 6
    synthesize_named(folder / "late.nwb", units=5, seconds=20, overwrite=True)
    assert server.get("/api/metadata?dataset=late")[1]["num_channels"] == 5
    (folder / "late.nwb").unlink()
    status, answer = server.get("/api/metadata?dataset=late")
    assert (status, "no such file" in answer["detail"]) == (503, True)


def test_a_catalogue_of_the_wrong_form_leaves_the_list_as_it_was(server, folder):
    catalogue = folder / "catalog.toml"
    text = catalogue.read_text()
    catalogue.write_text("[datasets")
    try:
        status, answer = server.post("/api/datasets/rescan")
    finally:
        catalogue.write_text(text)
    assert (status, answer["title"]) == (409, "Catalogue cannot be read")
    assert answer["detail"].startswith("catalog.toml: not TOML")
    assert {"words", "far"} <= set(cards(server)[0])
    assert server.post("/api/datasets/rescan")[0] == 200


def test_overview_units_and_psth(server):
    status, found = server.get("/api/datasets/words/overview?columns=4")
    assert status == 200
    assert sum(found["spikes"]) == 5
    assert len(found["edges_seconds"]) == 5
    assert [trial["trial_id"] for trial in found["trials"]] == [0, 1]
    units = server.get("/api/datasets/words/units")[1]["units"]
    assert [unit["n_spikes"] for unit in units] == [2, 3]
    path = "/api/datasets/words/units/1/psth?align=go_cue_time&before=0.1&after=0.1&bin_ms=50"
    found = server.get(f"{path}&group_by=target_label")[1]
    groups = {group["value"]: group for group in found["groups"]}
    assert groups["right"]["rate_hz"] == [0.0, 20.0, 0.0, 20.0]
    assert groups["left"]["n_trials"] == 1
    for wrong, said in (
        ("/api/datasets/words/units/7/psth", "no unit has it"),
        ("/api/datasets/words/units/1/psth?align=x", "not a column of the trials"),
        ("/api/datasets/words/units/1/psth?group_by=reach_id", "and a value in 'reach_id'"),
        ("/api/datasets/words/overview?columns=0", "takes 1 to 10000"),
    ):
        status, answer = server.get(wrong)
        assert (status, said in answer["detail"]) == (422, True), answer
    assert server.get("/api/datasets/far/overview")[0] == 409
    assert server.get("/api/datasets/broken/units")[0] == 503


def test_the_synthetic_recording_is_made_when_it_is_first_asked_for(server):
    listed, _ = cards(server)
    assert listed["synthetic-v1"]["phantomlink"]["state"] == "available"
    ended_by = time.monotonic() + 220
    while (created := server.post(*CREATE_SYNTHETIC))[0] != 200:
        assert (created[0], "is being opened" in created[1]["detail"]) == (503, True)
        assert time.monotonic() < ended_by
    metadata, packets = first_messages(server, "/stream/binary/made")
    assert (metadata["dataset"], metadata["num_channels"]) == ("synthetic-v1", 142)
    assert [packet["packet_id"] for packet in packets] == [0, 1]
    assert cards(server)[0]["synthetic-v1"]["phantomlink"]["is_synthetic"] is True


def test_a_card_as_croissant(server):
    status, found = server.get("/api/datasets/words?format=croissant")
    assert (status, found["name"], found["@type"]) == (200, "words", "sc:Dataset")


def test_a_dataset_is_fetched_when_it_is_allowed(server, archive):
    assert server.post("/api/datasets/one/fetch")[0] == 409
    assert server.post("/api/datasets/nothing/fetch")[0] == 404
    status, answer = server.post("/api/datasets/far/fetch")
    assert (status, answer["state"]) == (202, "fetching")
    for _ in range(200):
        card = server.get("/api/datasets/far")[1]
        if card["phantomlink"]["state"] != "fetching" and card["contentSize"] is not None:
            break
        time.sleep(0.05)
    assert card["phantomlink"]["state"] == "available"
    assert card["contentSize"] == len(archive.content)


def test_fetching_is_off_unless_it_is_allowed(folder):
    with live_server(folder / "one.nwb", env={"PHANTOM_DATA_DIR": str(folder)}) as other:
        status, answer = other.post("/api/datasets/mc_rtt/fetch")
        assert status == 403
        assert "PHANTOM_CATALOG_FETCH=listed" in answer["detail"]


def test_what_nobody_plays_is_let_go_when_room_is_needed(tmp_path):
    for number in range(5):
        synthesize_named(tmp_path / f"d{number}.nwb", units=20, seconds=100)
    env = {
        "PHANTOM_DATA_DIR": str(tmp_path),
        # Several processes share it.
        "PHANTOM_PROCESSES": "1",
        "PHANTOM_RECORDINGS_MEMORY_MB": "6",
        "PHANTOM_LSL_ENABLED": "false",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    with live_server(tmp_path / "d0.nwb", env=env) as server:
        for name in itertools.islice(itertools.cycle([f"d{n}" for n in range(1, 5)]), 8):
            assert server.get(f"/api/metadata?dataset={name}")[1]["dataset"] == name
        listed, _ = cards(server)
        states = [listed[f"d{n}"]["phantomlink"]["state"] for n in range(5)]
        assert states[0] == "open"
        assert 1 <= states[1:].count("open") < 4
        assert "is let go" in server.log
        refused = 0
        for number in range(1, 5):
            status, answer = server.post(
                "/api/sessions/create", {"custom_code": f"s{number}", "dataset": f"d{number}"}
            )
            if status == 503:
                refused += 1
                assert "of 6 MB (PHANTOM_RECORDINGS_MEMORY_MB)" in answer["detail"]
        assert 1 <= refused < 4
        json.dumps(listed)


def test_the_client_has_the_trials_of_its_session_s_dataset(server):
    with Session.create(url=server.http, dataset="words") as session:
        assert [trial["stop_time"] for trial in session.trials()] == [0.9, 2.1]
