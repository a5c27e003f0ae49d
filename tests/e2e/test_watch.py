"""`phantomlink watch` as a person runs it: against the live server, and against others."""

import json
import re
import signal
import threading
import time
from contextlib import contextmanager

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from tests import commands
from tests.commands import finish

RATE = "the rate is frequency_hz"
# Fewer than 100 packets, for which the tolerance is wider: 48 ms of a busy machine.
SECONDS = "2.4"


def start(*arguments, env=None):
    return commands.start("watch", *arguments, env=env)


def watch(*arguments, env=None):
    return finish(start(*arguments, env=env))


def watch_json(*arguments, env=None):
    returncode, out, err = watch(*arguments, "--json", env=env)
    assert out.count("\n") == 1, out + err
    return returncode, json.loads(out)


def failed(result):
    """Names of the checks that failed, but for the rate: that is the machine's, not ours here."""
    names = {check["name"] for check in result["checks"] if not check["passed"]}
    assert result["passed"] is not bool(names)
    return names - {RATE}


PAUSED_FORMS = ((), ("--json",), ("--sample",))


@pytest.fixture(scope="module")
def started(maze_server):
    """Watchings that take their time: started together, each finished by its own test."""
    ws = maze_server.ws
    maze_server.post("/api/sessions/create", {"custom_code": "held"})
    maze_server.post("/api/control/held/pause")
    processes = {
        "server": start(maze_server.http, "--seconds", SECONDS, "--json"),
        "filter": start(
            f"{ws}/stream/watched?format=json&trial_id=4", "--seconds", "3.6", "--json"
        ),
        "read": start(f"{ws}/stream/read", "--seconds", SECONDS),
    }
    for form in PAUSED_FORMS:
        processes["paused", *form] = start(f"{ws}/stream/held", "--seconds", "1.2", *form)
    yield processes
    for process in processes.values():
        process.kill()
        process.communicate()


def test_a_stream_of_the_server_passes(started, maze_server):
    returncode, out, _ = finish(started["server"])
    result = json.loads(out)
    assert failed(result) == set()
    assert len(result["checks"]) == 12
    assert returncode == (0 if result["passed"] else 1)
    assert result["metadata"]["dataset"] == "maze"
    assert result["metadata"]["num_channels"] == 142
    assert "spikes" not in result["metadata"]
    figures = result["figures"]
    assert 60 < figures["packets"] < 110
    assert figures["gaps"] == figures["lost"] == 0
    assert 30 < figures["rate_hz"] < 50
    assert figures["first_packet_seconds"] > 0
    assert result["closed"] is None
    _, sessions = maze_server.get("/api/sessions")
    assert result["session_code"] not in sessions["sessions"], "made up, and left behind"


def test_json_and_a_filter_pass(started, maze_server):
    _, out, _ = finish(started["filter"])
    result = json.loads(out)
    assert failed(result) == set()
    details = {check["name"]: check["detail"] for check in result["checks"]}
    assert "only trial_id 4" in details["packet_id follows"]
    assert result["session_code"] == "watched"
    _, sessions = maze_server.get("/api/sessions")
    assert "watched" in sessions["sessions"], "somebody else's"


def test_what_a_person_reads(started):
    _, out, err = finish(started["read"])
    assert err == ""
    assert re.search(r"^stream +ws://.*/stream/read *$", out, re.M)
    assert re.search(r"^dataset +maze \(synthetic\)", out, re.M)
    assert re.search(r"^intervals +mean \d+\.\d+ ms, std", out, re.M)
    assert re.search(r"^pass +no packet was lost +no gap", out, re.M)
    assert re.search(r"^1[12] passed, [01] failed", out, re.M)


def test_a_sample(maze_server):
    returncode, out, _ = watch(f"{maze_server.ws}/stream/sample", "--sample")
    assert returncode == 0
    summary, _, packet = out.partition("\n{")
    assert "142" in summary
    data = json.loads("{" + packet)
    assert data["sequence_number"] == 0
    assert len(data["spikes"]["spike_counts"]) == 142
    returncode, result = watch_json(f"{maze_server.ws}/stream/sample", "--sample")
    assert returncode == 0
    assert set(result) == {"metadata", "packet", "note"}
    assert result["packet"]["packet_id"] < 40


def test_a_bare_code_is_on_this_machine(maze_server):
    port = maze_server.address.partition(":")[2]
    returncode, result = watch_json("bare", "--sample", env={"PHANTOM_PORT": port})
    assert returncode == 0
    # The first packet that it gets: a busy machine lets it join a little later.
    assert result["packet"]["packet_id"] < 40


@pytest.mark.parametrize("form", PAUSED_FORMS)
def test_a_paused_session_is_said_to_be_paused(started, form):
    returncode, out, err = finish(started["paused", *form])
    assert returncode == 1
    said = " ".join((out + err).split())
    assert re.search(r"no packet for the last [\d.]+ s: the session is paused", said)
    assert "/api/control/held/resume" in said


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/stream/a?trial_id=9999", 404, "trial_id=9999"),
        ("/stream/a?trial_id=four", 422, "'four'"),
        ("/stream/not a code", 422, "code"),
        ("/nothing/stream/a", 404, ""),
    ],
)
def test_a_refusal_is_one_line_with_the_server_s_reason(maze_server, path, status, said):
    url = (maze_server.ws + path).replace(" ", "%20")
    returncode, out, err = watch(url)
    assert (returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert f"refused with status {status}" in err
    assert said in err
    returncode, result = watch_json(url)
    assert (returncode, result["passed"], result["status"]) == (2, False, status)


def test_no_server():
    returncode, out, err = watch("http://127.0.0.1:9")
    assert (returncode, out) == (2, "")
    assert re.fullmatch(r"phantomlink: cannot connect to ws://127.0.0.1:9/.*refused; .*\n", err)
    assert "phantomlink serve" in err


@pytest.mark.parametrize(
    "arguments", [("two words",), ("ftp://h",), ("a", "--seconds", "0"), ("a", "--seconds", "nan")]
)
def test_wrong_arguments(arguments):
    returncode, out, err = watch(*arguments)
    assert (returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert "takes" in err


def test_an_interrupt_shows_what_was_seen(maze_server):
    process = start(f"{maze_server.ws}/stream/interrupted", "--seconds", "600")
    _wait_for_listener(maze_server, "interrupted")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, out, err = finish(process)
    assert err == ""
    assert "interrupted: this is what was seen until then" in out
    assert re.search(r"^pass +sequence_number is \+1 every time", out, re.M)


@pytest.mark.parametrize(
    ("method", "path", "code", "passes"),
    [
        ("DELETE", "/api/sessions/{}", 4410, False),
        ("POST", "/api/control/{}/stop", 1000, True),
    ],
)
def test_the_end_of_a_session_is_seen(maze_server, method, path, code, passes):
    session = f"ending-{code}"
    process = start(f"{maze_server.ws}/stream/{session}", "--seconds", "600", "--json")
    _wait_for_listener(maze_server, session)
    time.sleep(0.5)
    maze_server.request(method, path.format(session))
    _, out, _ = finish(process)
    result = json.loads(out)
    assert result["closed"]["code"] == code
    assert failed(result) == (set() if passes else {"it ends as it should"})


def _wait_for_listener(server, code):
    for _ in range(400):
        status, session = server.get(f"/api/sessions/{code}")
        if status == 200 and session["active_connections"]:
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens to {code}")


@contextmanager
def other_server(packets, metadata, *, close_code=None):
    """A server that has nothing of ours; it sends what it is given, 40 a second."""

    def handle(websocket):
        try:
            if metadata is not None:
                websocket.send(msgpack.packb(metadata))
            due = time.monotonic()
            for packet in packets:
                websocket.send(packet if isinstance(packet, str) else msgpack.packb(packet))
                due += 0.025
                time.sleep(max(0, due - time.monotonic()))
            if close_code is not None:
                websocket.close(close_code)
            else:
                websocket.recv()
        except ConnectionClosed:
            return

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/stream/other"
        finally:
            server.shutdown()
            thread.join()


def _packet(sequence_number, **changes):
    data = {
        "packet_id": sequence_number % 500,
        "sequence_number": sequence_number,
        "timestamp": 1767225600 + sequence_number / 40,
        "spikes": {"channel_ids": [0, 1], "spike_counts": [0, 3], "bin_size_ms": 25},
        "kinematics": {"vx": None, "vy": None, "x": None, "y": None},
        "intention": dict.fromkeys(
            ("target_id", "target_x", "target_y", "distance_to_target", "reach_id")
        ),
        "trial_id": None,
        "trial_time_ms": None,
        "loop": sequence_number // 500,
    }
    return {"type": "data", "data": data | changes}


def _metadata():
    data = {
        "dataset": "other",
        "total_packets": 500,
        "frequency_hz": 40.0,
        "num_channels": 2,
        "channel_count": 2,
        "duration_seconds": 12.5,
        "num_trials": 0,
        "bin_size_ms": 25,
        "channel_ids": [0, 1],
    }
    return {
        "type": "metadata",
        "data": data | _packet(0)["data"],
        "session": {"code": "other", "url": "ws://elsewhere/stream/other"},
    }


def test_another_server_that_keeps_the_contract_passes():
    packets = [_packet(i) for i in range(470, 515)]
    with other_server(packets, _metadata(), close_code=1000) as url:
        _, result = watch_json(url)
    assert failed(result) == set()
    assert result["figures"]["packets"] == 45
    assert result["closed"]["code"] == 1000
    details = {check["name"]: check["detail"] for check in result["checks"]}
    assert details["loop counts the wraps"] == "1 seen"


def test_another_server_that_breaks_it_fails():
    packets = [_packet(i) for i in range(45)]
    del packets[38:40]
    packets[10] = _packet(10, timestamp=1.0)
    packets[20] = _packet(20, trial_id=3)
    packets[30] = "{"
    with other_server(packets, None, close_code=4408) as url:
        returncode, result = watch_json(url)
    assert returncode == 1
    assert failed(result) == {
        "the first message is metadata",
        "the metadata is complete",
        "every packet has the contract's shape",
        "sequence_number is +1 every time",
        "timestamps increase",
        "no packet was lost",
        "it ends as it should",
    }
    assert result["figures"]["lost"] == 2
    assert result["note"] is None


def test_a_server_that_falls_silent_fails():
    with other_server([_packet(i) for i in range(20)], _metadata()) as url:
        returncode, result = watch_json(url, "--seconds", "1.8")
    assert returncode == 1
    assert failed(result) == {"packets keep coming"}
    assert re.match(
        r"no more packets for the last 1\.\d s: http://.* does not say why", result["note"]
    )
