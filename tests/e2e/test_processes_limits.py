"""`phantomlink serve --processes 2`: what there may be of at once counts in all processes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.test_processes import workers_of
from tests.servers import live_server
from tests.waiting import until

CODES = [f"s{n}" for n in range(6)]
MOST = 3


@pytest.fixture(scope="module")
def server(synthetic_recording, tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    env = {
        "PHANTOM_PROCESSES": "2",
        "PHANTOM_MAX_SESSIONS": "20",
        "PHANTOM_MAX_CAPTURES": str(MOST),
        "PHANTOM_CAPTURE_DIR": str(folder / "captures"),
        "PHANTOM_MODELS_DIR": str(folder / "models"),
    }
    with live_server(synthetic_recording, env=env) as server:
        for code in CODES:
            server.create(code)
        nodes = server.get("/api/nodes")[1]["nodes"]
        assert [node["sessions"] for node in nodes] == [3, 3]
        yield server


def capture(server, code):
    return server.post("/api/captures", {"session": code})


def test_captures_that_run(server):
    with ThreadPoolExecutor(len(CODES)) as pool:
        answers = list(pool.map(lambda code: capture(server, code), CODES))
    assert sorted(status for status, _ in answers) == [201] * MOST + [503] * (len(CODES) - MOST)
    refused = next(answer for status, answer in answers if status == 503)
    assert f"{MOST} captures run, as many as may (PHANTOM_MAX_CAPTURES)" in refused["detail"]
    started = [answer["id"] for status, answer in answers if status == 201]
    for capture_id in started:
        assert server.post(f"/api/captures/{capture_id}/stop")[0] == 200
    # Whoever has them, there is room again.
    again = [capture(server, code) for code in CODES[:MOST]]
    assert [status for status, _ in again] == [201] * MOST
    # What a process had running ends with it.
    workers_of(server)[0].kill()
    running = sum(status == 201 for status, _ in again)
    assert running == MOST
    until(lambda: capture(server, CODES[-1])[0] == 201, "room for another capture")


def test_one_fit_at_a_time(server):
    asked = {"decoder": "kalman", "trials": list(range(6))}
    with ThreadPoolExecutor(len(CODES)) as pool:
        answers = list(
            pool.map(lambda code: server.post(f"/api/sessions/{code}/calibrate", asked), CODES)
        )
    # One at least, and a further one only once the first has ended.
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {202, 429}
    assert 202 in statuses
    models = [answer["model_id"] for status, answer in answers if status == 202]
    for model in models:
        until(lambda model=model: server.get(f"/api/models/{model}")[1]["state"] != "fitting")
    assert server.post(f"/api/sessions/{CODES[0]}/calibrate", asked)[0] == 202
