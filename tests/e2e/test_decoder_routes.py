"""Decoders by REST: scores of those that answer, models fitted and put on sessions, reports."""

from __future__ import annotations

import csv
import io
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgpack
import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from phantomlink.cli import main
from phantomlink.decoding import load_model
from phantomlink.evaluation.feed import DecoderFeed
from phantomlink.recordings.synthetic import synthesize
from tests.clients import decode, receive
from tests.servers import live_server
from tests.unit.test_scoring_report import NASTY

SPEED = 10
CLOSING_SECONDS = 2.2


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("decoders") / "small.nwb"
    synthesize(path, units=24, trials=12)
    return path


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def server(recording, models_dir):
    with serving(recording, models_dir) as server:
        yield server
        assert "Traceback" not in server.log


@contextmanager
def serving(recording, models_dir, entry="serve", **env):
    env = {"PHANTOM_MODELS_DIR": str(models_dir), **env}
    with live_server(recording, env=env, entry=entry) as server:
        yield server


def create(server, code, **options):
    body = {"custom_code": code, "speed": SPEED} | options
    assert server.request("POST", "/api/sessions/create", body)[0] == 200


def fitted(server, code, **body):
    """The id of a model, once it is ready."""
    status, answer = server.request("POST", f"/api/sessions/{code}/calibrate", body)
    assert status == 202, answer
    state = until(server, answer["model_id"])
    assert state["state"] == "ready", state
    return answer["model_id"]


def until(server, model_id):
    """A model that is no longer being fitted."""
    for _ in range(600):
        _, state = server.get(f"/api/models/{model_id}")
        if state["state"] != "fitting":
            return state
        time.sleep(0.1)
    raise AssertionError("it is still being fitted")


@pytest.fixture(scope="module")
def model(server):
    create(server, "calibration")
    return fitted(server, "calibration", decoder="kalman", trials=[0, 1, 2, 3, 4, 5])


def listen(server, code, n, answer=None):
    """Take n packets, answering each."""
    with connect(f"{server.ws}/stream/binary/{code}") as websocket:
        while n:
            message = decode(websocket.recv(timeout=20))
            if message["type"] == "data":
                n -= 1
                if answer is not None:
                    websocket.send(msgpack.packb(answer(message["data"])))


def still(packet):
    data = {"packet_id": packet["packet_id"], "vx": 1.0, "vy": 0.0, "decoder": "still"}
    return {"type": "prediction", "data": data}


def fetch(server, path):
    """Bytes and headers of an answer."""
    with urllib.request.urlopen(server.http + path, timeout=30) as answer:
        return answer.read(), dict(answer.headers)


def test_a_client_is_on_the_scoreboard(server):
    create(server, "client")
    assert server.get("/api/sessions/client/decoders")[1] == {
        "session_code": "client",
        "decoders": [],
        "messages": {},
    }
    listen(server, "client", 1500, still)
    _, answer = server.get("/api/sessions/client/decoders")
    (state,) = answer["decoders"]
    assert (state["decoder"], state["kind"], state["model"]) == ("still", "client", None)
    assert not state["connected"]
    assert state["speed"] == SPEED
    # Some were on their way when it left.
    assert 1500 == state["answered"] <= state["closed"] < 1600
    assert answer["messages"]["scored"] == 1500
    status, score = server.get("/api/sessions/client/decoders/still/score?window=movement")
    assert status == 200
    whole = score["answered"]["whole"]
    assert whole["velocity"]["r2"]["both"] < 0
    assert whole["velocity"]["lag_bins"] is None
    # A new run has none of it.
    assert server.request("DELETE", "/api/sessions/client/decoders/still/score")[0] == 200
    assert server.get("/api/sessions/client/decoders/still")[1]["closed"] == 0
    assert server.request("DELETE", "/api/sessions/client/decoders/still")[0] == 200
    assert server.get("/api/sessions/client/decoders/still")[0] == 404


def test_a_model_says_what_it_is(server, model, recording, tmp_path):
    _, state = server.get(f"/api/models/{model}")
    assert (state["decoder"], state["units"], state["bin_size_ms"]) == ("kalman", 24, 25.0)
    assert state["training_trials"] == "0-5"
    assert state["validation"]["chance_r2"] < state["validation"]["r2"]
    assert state["provenance"]["seed"] == 0
    assert len(state["provenance"]["sha256"]) == 64
    data, headers = fetch(server, f"/api/models/{model}/file")
    assert headers["content-disposition"] == f'attachment; filename="{model}.npz"'
    (tmp_path / "m.npz").write_bytes(data)
    assert load_model(tmp_path / "m.npz").training_trials == (0, 1, 2, 3, 4, 5)


def test_a_model_plays_along_and_its_score_is_the_offline_one(
    server, model, recording, tmp_path, capsys
):
    """Over one loop from the first packet on: the report of a session, and `phantomlink score`."""
    create(server, "along", perturbation="light", seed=5)
    body = {"model": model}
    assert server.request("PUT", "/api/sessions/along/decoders/kf", body)[0] == 200
    _, metadata = server.get("/api/metadata")
    listen(server, "along", metadata["total_packets"])
    time.sleep(CLOSING_SECONDS)
    _, score = server.get("/api/sessions/along/decoders/kf/score")
    path = tmp_path / "m.npz"
    path.write_bytes(fetch(server, f"/api/models/{model}/file")[0])
    command = ["score", str(recording), "--decoder", f"kf={path}", "--json"]
    assert main([*command, "--perturbation", "light", "--seed", "5"]) == 0
    run = json.loads(capsys.readouterr().out)["runs"][0]
    offline = run["decoders"][0]["scores"]["trials"]["answered"]["trials"]
    live = {trial["trial_id"]: trial for trial in score["answered"]["trials"]}
    compared = 0
    for trial in offline:
        if trial["n"] and trial["trial_id"] in live:
            mine = live[trial["trial_id"]]
            if mine["n"] == trial["n"] and mine["loop"] == 0:
                compared += 1
                assert mine["velocity"]["r2"]["both"] == pytest.approx(
                    trial["velocity"]["r2"]["both"], abs=1e-9
                )
    assert compared >= 5
    assert set(live) & set(range(6)) == set()  # trials that it was fitted to are not scored
    assert server.request("DELETE", f"/api/models/{model}")[0] == 409
    assert server.request("DELETE", "/api/sessions/along/decoders/kf")[0] == 200


def counts_in(spikes):
    """Whoever came first may be the one that has compact packets."""
    if "counts" in spikes:
        return np.frombuffer(spikes["counts"], spikes["dtype"])
    return np.array(spikes["spike_counts"])


@pytest.mark.parametrize("entry", ["serve", "hypercorn"])
def test_packets_say_what_a_built_in_decoder_makes_of_them(
    recording, models_dir, model, tmp_path, entry
):
    with serving(recording, models_dir, entry=entry) as server:
        create(server, "shown", blind={"test_trials": [7, 8]})
        body = {"model": model}
        assert server.request("PUT", "/api/sessions/shown/decoders/kf", body)[0] == 200
        (tmp_path / "m.npz").write_bytes(fetch(server, f"/api/models/{model}/file")[0])
        feed = DecoderFeed("kf", load_model(tmp_path / "m.npz").decoder())
        url = f"{server.ws}/stream/shown?decoded=1&hide=kinematics&format="
        with ThreadPoolExecutor(3) as pool:
            forms = ("msgpack", "json", "compact")
            of_forms = list(pool.map(lambda form: receive(url + form, 60), forms))
        for got in of_forms:
            assert got.metadata["data"]["decoded"].keys() == {"kf"}
            assert got.gaps == []
        late, said, n_told, n_compared = {"vx": None, "vy": None}, {}, 0, 0
        for got in of_forms:
            for packet in got.packets:
                assert packet["decoded"].keys() == {"kf"}
                # On a busy machine a packet leaves before the decoder has said anything of it.
                if packet["decoded"]["kf"] != late:
                    mine = (packet["kinematics"]["vx"], packet["decoded"])
                    assert said.setdefault(packet["sequence_number"], mine) == mine
            # Whoever came first has the first packet, from which on the decoder here is told all.
            if got.packets[0]["sequence_number"] == 0:
                n_told += 1
                for packet in got.packets if n_told == 1 else ():
                    counts = counts_in(packet["spikes"])
                    vx, vy, *_ = feed.packet(packet["sequence_number"], packet["packet_id"], counts)
                    if packet["decoded"]["kf"] != late:
                        n_compared += 1
                        assert packet["decoded"]["kf"] == {"vx": vx, "vy": vy}
        assert n_compared > 0
        assert n_told > 0
        with pytest.raises(InvalidStatus, match="422"):
            receive(f"{server.ws}/stream/shown?decoded=1&trial_id=2", 1)


def test_models_learn_on_as_they_are_told(server, model):
    create(server, "learning")
    rls = fitted(server, "learning", decoder="rls", split={"train": 0.5}, window="movement")
    for name, body in (
        ("again", {"model": model, "recalibrate": {"every": 1, "last": 3}}),
        ("rls", {"model": rls, "recalibrate": "rls"}),
    ):
        assert server.request("PUT", f"/api/sessions/learning/decoders/{name}", body)[0] == 200
    for body, said in (
        ({"model": model, "recalibrate": "rls"}, "takes a model of kind rls"),
        ({"model": rls, "recalibrate": {"every": 1, "last": 3}}, "takes a model of kind kalman"),
        ({"model": model, "recalibrate": {"every": 0, "last": 3}}, "1 to 1000"),
        ({"model": model, "recalibrate": "often"}, "recalibrate: got"),
        ({"modle": model}, "model"),
    ):
        status, problem = server.request("PUT", "/api/sessions/learning/decoders/x", body)
        assert status == 422
        assert said in problem["detail"]
    listen(server, "learning", 1000)
    time.sleep(CLOSING_SECONDS)
    _, answer = server.get("/api/sessions/learning/decoders")
    assert [state["kind"] for state in answer["decoders"]] == ["kalman", "rls"]
    assert all(state["answered"] == state["closed"] > 500 for state in answer["decoders"])


def test_a_report_compares_all_decoders_and_is_safe(server, model):
    create(server, "report")
    server.request("PUT", "/api/sessions/report/decoders/kf", {"model": model})
    listen(server, "report", 3000, still)
    time.sleep(CLOSING_SECONDS)
    text, headers = fetch(server, "/api/sessions/report/report?format=json&seed=3")
    assert headers["content-disposition"] == 'attachment; filename="scores.json"'
    document = json.loads(text)
    run = document["runs"][0]
    assert [decoder["decoder"] for decoder in run["decoders"]] == ["kf", "still"]
    assert run["comparison"]["seed"] == 3
    assert run["comparison"]["pairs"][0]["first"] == "kf"
    assert "latency_ms" not in run["decoders"][0]
    again, _ = fetch(server, "/api/sessions/report/report?format=json&seed=3")
    assert again == text
    page, headers = fetch(server, "/api/sessions/report/report?format=html")
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'; style-src")
    assert b"<script" not in page
    assert b"<svg" in page
    table, _ = fetch(server, "/api/sessions/report/report?format=csv")
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    assert {row["decoder"] for row in rows} == {"kf", "still"}
    timed, _ = fetch(server, "/api/sessions/report/report?timing=1")
    assert "latency_ms" in json.loads(timed)["runs"][0]["decoders"][0]
    assert server.get("/api/sessions/report/report?format=pdf")[0] == 422


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "decoder"),
        ({"decoder": "svm"}, 422, "takes ridge, kalman"),
        ({"decoder": NASTY}, 422, "decoder: got"),
        ({"decoder": "kalman", "trials": [99]}, 422, "the recording has trials 0 to 11"),
        ({"decoder": "kalman", "trials": []}, 422, "trials: got"),
        ({"decoder": "kalman", "split": {"train": 1.5}}, 422, "a share above 0"),
        ({"decoder": "kalman", "trials": [1], "split": {"train": 0.5}}, 422, "got both"),
        ({"decoder": "kalman", "wndow": "trials"}, 422, "window"),
    ],
)
def test_what_cannot_be_fitted_is_an_answer(server, body, status, said):
    create(server, "wrong")
    got, problem = server.request("POST", "/api/sessions/wrong/calibrate", body)
    assert got == status
    assert said in problem["detail"]


def test_one_fit_at_a_time_and_a_fit_that_fails_says_why(server, model):
    create(server, "busy")
    _, first = server.request("POST", "/api/sessions/busy/calibrate", {"decoder": "ridge"})
    status, problem = server.request("POST", "/api/sessions/busy/calibrate", {"decoder": "rls"})
    assert (status, problem["title"]) == (429, "Too many requests")
    assert server.request("DELETE", f"/api/models/{first['model_id']}")[0] == 409
    assert until(server, first["model_id"])["state"] == "ready"
    body = {"decoder": "kalman", "trials": [4]}
    _, answer = server.request("POST", "/api/sessions/busy/calibrate", body)
    state = until(server, answer["model_id"])
    assert (state["state"], state["reason"]) == (
        "failed",
        "got 1 trials to fit to, takes 2 or more",
    )
    body = {"model": answer["model_id"]}
    status, problem = server.request("PUT", "/api/sessions/busy/decoders/x", body)
    assert status == 422
    assert "is failed" in problem["detail"]
    assert server.request("DELETE", f"/api/models/{answer['model_id']}")[0] == 200
    assert server.get(f"/api/models/{answer['model_id']}")[0] == 404


def test_a_model_of_other_bins_is_refused(server, model):
    create(server, "other-bins", bin_size_ms=10)
    status, problem = server.request(
        "PUT", "/api/sessions/other-bins/decoders/kf", {"model": model}
    )
    assert status == 422
    assert "bins of 25 ms; the session has bins of 10 ms" in problem["detail"]


def test_models_are_kept_over_a_restart_and_pickles_are_passed_over(
    server, model, recording, models_dir
):
    (models_dir / "bad.npz").write_bytes(b"\x80\x04cbuiltins\nprint\n(Vexecuted\ntR.")
    with serving(recording, models_dir) as again:
        _, answer = again.get("/api/models")
        ids = [each["model_id"] for each in answer["models"]]
        assert model in ids
        assert "bad" not in ids
        assert "A model is passed over" in again.log
    (models_dir / "bad.npz").unlink()


def test_beyond_this_machine_nobody_without_a_token_may_fit(recording, tmp_path):
    with serving(recording, tmp_path, PHANTOM_HOST="0.0.0.0") as server:
        create(server, "open")
        status, problem = server.request(
            "POST", "/api/sessions/open/calibrate", {"decoder": "kalman"}
        )
        assert status == 403
        assert "PHANTOM_API_TOKEN" in problem["detail"]


def test_a_blind_session_hides_the_truth_of_its_test_trials(server):
    blind = {"test_trials": [1, 3]}
    create(server, "blind", blind=blind)
    status, problem = server.request(
        "POST", "/api/sessions/create", {"custom_code": "blind", "blind": {"test_trials": [2]}}
    )
    assert (status, problem["title"]) == (409, "Session exists with other options")
    _, trials = server.get("/api/trials")
    hidden = [t for t in trials["trials"] if t["trial_id"] in blind["test_trials"]]
    seen, in_test = set(), 0
    with connect(f"{server.ws}/stream/binary/blind?scores=1") as websocket:
        while len(seen) < 500:
            message = decode(websocket.recv(timeout=20))
            assert message["type"] != "scored"
            if message["type"] != "data":
                continue
            packet = message["data"]
            seen.add(packet["packet_id"])
            at = packet["packet_id"] * 0.025
            if any(t["start_time"] + 0.001 < at < t["stop_time"] - 0.026 for t in hidden):
                in_test += 1
                assert packet["trial_id"] is None
                assert set(packet["kinematics"].values()) == {None}
                assert set(packet["intention"].values()) == {None}
            websocket.send(msgpack.packb(still(packet)))
        for path in ("decoders", "decoders/still", "decoders/still/score", "report"):
            status, problem = server.get(f"/api/sessions/blind/{path}")
            assert (status, problem["title"]) == (409, "Blind session")
        body = {"decoder": "kalman", "trials": [0, 1]}
        status, problem = server.request("POST", "/api/sessions/blind/calibrate", body)
        assert status == 422
        assert "test trials" in problem["detail"]
    assert in_test > 50
    assert server.request("POST", "/api/control/blind/stop")[0] == 200
    _, score = server.get("/api/sessions/blind/decoders/still/score")
    assert {1, 3} <= {trial["trial_id"] for trial in score["answered"]["trials"]}
    document = json.loads(fetch(server, "/api/sessions/blind/report")[0])
    assert document["about"]["blind_test_trials"] == "1,3"
    assert document["about"]["truth_within_reach"].startswith("not in this session")
    status, problem = server.request(
        "POST", "/api/sessions/create", {"blind": {"test_trials": [99]}}
    )
    assert status == 422
