"""Clients that stop reading, hiccup or fall silent, beside one that keeps up, on both entries."""

import json
import socket
import time
from contextlib import closing, contextmanager, suppress

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Close, Opcode
from websockets.uri import parse_uri

from phantomlink.recordings.synthetic import synthesize_named
from tests.clients import listening
from tests.servers import ENTRIES, live_server
from tests.waiting import until

RATE = 500
# Of a machine that others use, too.
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    path = tmp_path_factory.mktemp("slow") / "named.nwb"
    synthesize_named(path, units=40, seconds=10.0)
    return path


@pytest.fixture(scope="module", params=ENTRIES)
def server(request, named):
    env = {
        "PHANTOM_STREAM_FREQUENCY_HZ": str(RATE),
        "PHANTOM_MAX_CONNECTIONS": "20",
        "PHANTOM_CLIENT_BEHIND_SECONDS": "2",
    }
    with live_server(named, entry=request.param, env=env) as server:
        server.entry = request.param
        yield server


@contextmanager
def reading_when_told(server, path):
    """Frames of a connection that takes what is asked for, little beyond that, and says nothing."""
    host, port = server.address.split(":")
    protocol = ClientProtocol(parse_uri(server.ws + path), max_size=None)
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.settimeout(PATIENCE_SECONDS)
        client.connect((host, int(port)))
        protocol.send_request(protocol.connect())
        client.sendall(b"".join(protocol.data_to_send()))
        frames = frames_of(client, protocol)
        assert next(frames).status_code == 101
        yield frames


def frames_of(client, protocol):
    """The answer to the upgrade, then frames; what the protocol would say to them is not sent."""
    while data := client.recv(4096):
        protocol.receive_data(data)
        yield from protocol.events_received()


def close_code(frames):
    """Read to the end: the code of the close frame, None when there is none."""
    with suppress(ConnectionError):
        for frame in frames:
            if frame.opcode is Opcode.CLOSE:
                return Close.parse(frame.data).code


def stats(server, code):
    return server.get(f"/api/stats/{code}")[1]


def stats_when_behind(server, code):
    """The stats of a session one of whose clients is behind; None while none is."""
    found = stats(server, code)
    return found if found["slow_clients_now"] else None


@pytest.mark.parametrize("stays_away_seconds", [0, 5])
def test_one_that_stops_is_closed_and_nobody_else_loses_anything(server, stays_away_seconds):
    code = f"stopped-{stays_away_seconds}"
    with (
        listening(f"{server.ws}/stream/{code}") as other,
        reading_when_told(server, f"/stream/{code}") as stopped,
    ):
        before = until(lambda: stats_when_behind(server, code), seconds=PATIENCE_SECONDS)
        assert before["slow_clients_now"][0]["behind_seconds"] is not None
        assert before["active_connections"] == 2
        until(lambda: stats(server, code)["slow_clients_closed"] == 1, seconds=PATIENCE_SECONDS)
        after = stats(server, code)
        assert after["active_connections"] == 1
        assert after["slow_clients"] == 1
        assert not any(each["dropped_packets"] for each in after["slow_clients_now"])
        assert after["dropped_packets"] > 0
        time.sleep(stays_away_seconds)
        # hypercorn's connection has been cut off by then: ASGI has no way to leave it a word.
        is_told = server.entry == "serve" or not stays_away_seconds
        assert close_code(stopped) == (4408 if is_told else None)
        n = len(other.packets)
        until(lambda: len(other.packets) > n + 100, seconds=PATIENCE_SECONDS)
    assert other.close_code is None
    assert not other.gaps
    timing = server.get(f"/api/sessions/{code}/timing")[1]
    assert timing["slow_clients_closed"] == 1
    assert timing["dropped_packets"] == after["dropped_packets"]
    if server.entry == "serve":
        until(lambda: "is closed: too slow: behind for 2 s" in server.log, "the line in the log")


def numbers_until(frames, last):
    """The sequence numbers of all that comes, up to this one."""
    numbers = []
    while not numbers or numbers[-1] < last:
        frame = next(frames)
        assert frame.opcode in {Opcode.TEXT, Opcode.PING}
        if frame.opcode is Opcode.TEXT and (message := json.loads(frame.data))["type"] == "data":
            numbers.append(message["data"]["sequence_number"])
    return numbers


@pytest.mark.parametrize("entry", ENTRIES)
def test_one_that_hiccups_is_not_closed_and_loses_nothing(named, entry):
    """As long as a busy machine makes them: the limits are far, and what they do is told above."""
    env = {
        "PHANTOM_STREAM_FREQUENCY_HZ": str(RATE),
        "PHANTOM_CLIENT_BEHIND_SECONDS": "600",
        "PHANTOM_CLIENT_QUEUE_PACKETS": "100000",
        "PHANTOM_CLIENT_QUEUE_BYTES": str(2**28),
    }
    with (
        live_server(named, entry=entry, env=env) as server,
        reading_when_told(server, "/stream/hiccup?format=json") as client,
    ):
        numbers = []
        for _ in range(4):
            sent = stats(server, "hiccup")["packets_sent"]
            if entry == "serve":
                until(lambda: stats_when_behind(server, "hiccup"), seconds=PATIENCE_SECONDS)
            # Behind hypercorn the kernel, whose buffer is not bounded there, takes all of it.
            until(lambda: stats(server, "hiccup")["packets_sent"] > sent + RATE // 2)  # noqa: B023
            # What has come together, and a while beyond.
            numbers += numbers_until(client, stats(server, "hiccup")["packets_sent"] + RATE // 2)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert stats(server, "hiccup")["slow_clients"] == 0


def test_one_that_answers_no_ping_is_closed_though_nothing_is_sent(named):
    env = {"PHANTOM_PING_INTERVAL_SECONDS": "0.5", "PHANTOM_PING_TIMEOUT_SECONDS": "5"}
    with live_server(named, env=env) as server:
        with (
            listening(f"{server.ws}/stream/quiet") as other,
            reading_when_told(server, "/stream/quiet") as silent,
        ):
            assert stats(server, "quiet")["active_connections"] == 2
            server.post("/api/control/quiet/pause")
            until(
                lambda: stats(server, "quiet")["active_connections"] == 1, seconds=PATIENCE_SECONDS
            )
            assert close_code(silent) == 4408
            assert stats(server, "quiet")["slow_clients_closed"] == 1
        assert other.close_code is None
        assert "no answer to a ping within 5 s" in server.log


def test_memory_of_clients_that_take_nothing_is_bounded_in_bytes(named):
    """As many bytes as may wait hold a tenth of the packets that may."""
    env = {
        "PHANTOM_STREAM_FREQUENCY_HZ": "1000",
        "PHANTOM_CLIENT_QUEUE_PACKETS": "50000",
        "PHANTOM_CLIENT_QUEUE_BYTES": str(2**20),
        "PHANTOM_CLIENT_BEHIND_SECONDS": "600",
    }
    with (
        live_server(named, env=env) as server,
        reading_when_told(server, "/stream/greedy?format=json") as client,
    ):
        until(lambda: stats(server, "greedy")["dropped_packets"] > 100, seconds=PATIENCE_SECONDS)
        for _ in range(5):
            (waiting,) = stats(server, "greedy")["slow_clients_now"]
            assert 2**20 - 20_000 < waiting["queued_bytes"] <= 2**20
            assert waiting["dropped_packets"] > 100
        # Never in the middle of a frame, and the newest are there.
        assert all(next(client).opcode in {Opcode.TEXT, Opcode.PING} for _ in range(1000))
