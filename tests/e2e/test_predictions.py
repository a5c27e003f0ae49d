"""Predictions over real sockets, through every entry, and what clients send that is none."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from phantomlink.recordings.synthetic.named import synthesize_named
from tests.clients import decode
from tests.servers import ALL_ENTRIES, live_server
from tests.unit.test_inputs import CLOSE, PING, frame


def prediction(packet, **changes):
    kinematics = packet["kinematics"]
    data = {
        "packet_id": packet["packet_id"],
        "loop": packet["loop"],
        "sequence_number": packet["sequence_number"],
        "vx": kinematics["vx"] or 0.0,
        "vy": kinematics["vy"] or 0.0,
        "decoder": "echo",
    }
    return {"type": "prediction", "data": data | changes}


def answer_until_scored(websocket, encode, send=None, seconds=30):
    """Answer every packet; the first message that says how good that was."""
    send = send or websocket.send
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        message = decode(websocket.recv(timeout=seconds))
        if message["type"] == "data":
            send(encode(prediction(message["data"])))
        elif message["type"] == "scored":
            return message["data"]
    raise AssertionError("no scores came")


def as_expected(scored):
    (decoder,) = scored["decoders"]
    assert decoder["decoder"] == "echo"
    assert decoder["trials"]["answered"]["velocity"]["r2"]["both"] == 1.0
    assert decoder["unknown"] == decoder["duplicate"] == decoder["non_finite"] == 0
    assert decoder["coverage"] > 0.9
    assert 0 < decoder["latency_ms"]["p50"] < 1000
    return decoder


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    synthesize_named(path, seconds=20)
    return path


@pytest.fixture(scope="module")
def named_server(recording):
    with live_server(recording) as server:
        yield server
        assert server.process.poll() is None, server.log
        assert "Traceback" not in server.log


def echo(server, wire):
    """The first scores of a client that echoes, in a session twice as fast as recorded."""
    code = f"echo-{wire}"
    server.request("POST", "/api/sessions/create", {"custom_code": code, "speed": 2})
    encode = msgpack.packb if wire == "msgpack" else json.dumps
    with connect(f"{server.ws}/stream/{code}?scores=1&format={wire}") as websocket:
        return answer_until_scored(websocket, encode)


@pytest.mark.parametrize("entry", ALL_ENTRIES)
def test_a_client_that_echoes_is_perfect(recording, entry):
    with (
        live_server(recording, entry=entry) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        for scored in pool.map(partial(echo, server), ("msgpack", "json")):
            as_expected(scored)


def test_fragments_and_large_messages_are_read_too(named_server):
    """By the library, as all that is no small frame."""
    with connect(f"{named_server.ws}/stream/slow-way?scores=1") as websocket:
        kinds = iter(range(10**6))

        def send(message):
            packed = msgpack.packb(message)
            if next(kinds) % 2:
                websocket.send([packed[:5], packed[5:9], packed[9:]])
            else:
                message["data"]["comment"] = "x" * 2000
                websocket.send(msgpack.packb(message))

        as_expected(answer_until_scored(websocket, lambda message: message, send))


def test_scores_are_not_told_unless_asked_for(named_server):
    with connect(f"{named_server.ws}/stream/silent") as websocket:
        for _ in range(60):
            message = decode(websocket.recv(timeout=10))
            assert message["type"] in ("metadata", "data")
            if message["type"] == "data":
                websocket.send(msgpack.packb(prediction(message["data"])))


def test_what_is_no_prediction_costs_nobody_anything(named_server):
    """A client that sends 1000 malformed messages a second keeps its stream, as others do."""
    with (
        connect(f"{named_server.ws}/stream/beside") as other,
        connect(f"{named_server.ws}/stream/rude?scores=1") as websocket,
    ):
        bad = [b"\xc1", b"", msgpack.packb(5), msgpack.packb({"type": "prediction"}), "nul", "[]"]
        for _ in range(80):
            message = decode(websocket.recv(timeout=10))
            for k in range(25):
                websocket.send(bad[k % len(bad)])
        assert message["type"] == "data"
        sequence = [decode(other.recv(timeout=10)) for _ in range(60)]
        numbers = [m["data"]["sequence_number"] for m in sequence if m["type"] == "data"]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def handshake(server, path):
    """A raw connection behind its upgrade."""
    host, port = server.address.split(":")
    raw = socket.create_connection((host, int(port)), timeout=10)
    raw.sendall(
        (
            f"GET {path} HTTP/1.1\r\nHost: {server.address}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += raw.recv(1)
    assert b" 101 " in head
    return raw


def close_code(raw):
    """Of the close frame that comes within the stream."""
    stream = raw.makefile("rb")
    while True:
        first, second = stream.read(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", stream.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", stream.read(8))
        payload = stream.read(length)
        if first & 0x0F == 0x8:
            return struct.unpack(">H", payload[:2])[0]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (CLOSE, 1000),
        (frame(b"\xff\xfe", 0x81), 1007),
        (frame(b"abc", mask=b""), 1002),
        (frame(b"abc", 0xC2), 1002),
        (frame(b"abc", 0x83), 1002),
        (frame(b"a", 0x02) + frame(b"b", 0x82), 1002),
        (frame(b"a", 0x80), 1002),
        (frame(bytes(70_000)), 1009),
        (frame(b"x" * 126, 0x89), 1002),
    ],
)
def test_close_codes_are_what_they_were(named_server, sent, code):
    good = frame(msgpack.packb(prediction_of_nothing()))
    with handshake(named_server, "/stream/hostile") as raw:
        raw.sendall(good + PING + sent)
        assert close_code(raw) == code


def prediction_of_nothing():
    return {"type": "prediction", "data": {"packet_id": 10**9, "vx": 1.0, "vy": 1.0}}


def test_frames_may_come_byte_by_byte(named_server):
    with handshake(named_server, "/stream/slowly") as raw:
        for byte in frame(msgpack.packb(prediction_of_nothing()))[:60]:
            raw.sendall(bytes([byte]))
            os.sched_yield()
        raw.sendall(frame(msgpack.packb(prediction_of_nothing()))[60:] + CLOSE)
        assert close_code(raw) == 1000


def test_a_connection_that_is_cut_within_a_frame_is_no_error(named_server):
    with handshake(named_server, "/stream/cut") as raw:
        raw.sendall(frame(b"abcdef")[:7])
    with connect(f"{named_server.ws}/stream/after-cut") as websocket:
        assert decode(websocket.recv(timeout=10))["type"] == "metadata"


def test_wrong_values_are_refused_before_the_upgrade(named_server):
    with pytest.raises(Exception, match="422"):
        connect(f"{named_server.ws}/stream/x?scores=yes").__enter__()


def test_a_client_that_leaves_in_the_middle(named_server):
    websocket = connect(f"{named_server.ws}/stream/leaving?scores=1").__enter__()
    for _ in range(10):
        message = decode(websocket.recv(timeout=10))
        if message["type"] == "data":
            websocket.send(msgpack.packb(prediction(message["data"])))
    websocket.socket.close()
    with connect(f"{named_server.ws}/stream/leaving?scores=1") as again:
        scored = answer_until_scored(again, msgpack.packb)
        assert scored["decoders"][0]["decoder"] == "echo"
    with pytest.raises((ConnectionClosed, OSError)):
        websocket.recv(timeout=1)


def test_a_client_that_sees_no_truth_is_scored_all_the_same(named_server):
    url = f"{named_server.ws}/stream/hidden?hide=kinematics,intention,trial&scores=1"
    with connect(url) as websocket, connect(f"{named_server.ws}/stream/hidden") as other:
        first = decode(websocket.recv(timeout=10))["data"]
        assert set(first["kinematics"].values()) == {None}
        decode(other.recv(timeout=10))
        shown = [decode(other.recv(timeout=10))["data"] for _ in range(5)]
        scored = answer_until_scored(websocket, msgpack.packb)
        assert all(packet["kinematics"]["vx"] is not None for packet in shown)
    assert scored["decoders"][0]["trials"]["answered"]["velocity"]["n"] > 20
