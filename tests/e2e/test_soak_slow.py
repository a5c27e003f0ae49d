"""What clients find that did not read for a while: how the server ended them, if it did."""

import socket
import struct
import time

import msgpack
import pytest

from phantomlink.wire.encoder import close_frame, frame_message
from tests.servers import live_server
from tests.unit.test_jitter_receiver import UPGRADED
from tests.unit.test_jitter_receiver import server as sending
from tools.bench.harness import stopped
from tools.bench.harness.stopped import CUT_OFF, REFUSED, STAYED


def packet(timestamp):
    data = {"packet_id": 1, "sequence_number": 1, "timestamp": timestamp}
    return frame_message(msgpack.packb({"type": "data", "data": data}))


OLD = [packet(1_700_000_000.0 + n) for n in range(500)]
TORN = OLD[0][:-1]


def ending_of(*parts, then=None):
    """What a client finds to which a server sends this, and then closes or does something else."""
    with sending(*parts, then=then) as port:
        stream = stopped.StoppedStream("127.0.0.1", port, "/")
        with stream.socket:
            return stream.read_rest()


def stay(connection):
    connection.recv(1)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("parts", "ending"),
    [
        ([UPGRADED, *OLD, close_frame(4408)], 4408),
        ([UPGRADED, close_frame(4408), TORN], 4408),
        ([UPGRADED, *OLD, close_frame(1001)], 1001),
        ([UPGRADED, b"\x88\0"], 1005),
        ([UPGRADED, *OLD], CUT_OFF),
        ([UPGRADED, *OLD, TORN], CUT_OFF),
        ([], CUT_OFF),
        ([b"HTTP/1.1 503 Service Unavailable\r\n\r\n{}"], REFUSED),
    ],
)
def test_how_a_connection_ended(parts, ending):
    assert ending_of(*parts) == ending


def test_a_connection_that_was_reset_was_cut_off():
    assert ending_of(UPGRADED, then=reset) == CUT_OFF


def test_who_finds_what_is_sent_just_now_was_let_stay():
    assert ending_of(UPGRADED, *OLD, packet(time.time() + 60), then=stay) == STAYED


def test_who_finds_nothing_more_was_let_stay(monkeypatch):
    monkeypatch.setattr(stopped, "_REST_SECONDS", 0.2)
    assert ending_of(UPGRADED, *OLD, then=stay) == STAYED


def test_a_real_server_ends_those_that_do_not_read_and_they_find_out(maze_recording):
    """At five times the usual pace the kernel's buffers are full within a second or two."""
    env = {"PHANTOM_CLIENT_BEHIND_SECONDS": "0.5", "PHANTOM_STREAM_FREQUENCY_HZ": "200"}
    with live_server(maze_recording, env=env) as server:
        host, port = server.address.split(":")
        paths = ["/stream/binary/a"]
        clients = stopped.StoppedClients(host, int(port), paths, 3, (4.0, 4.5))
        deadline = time.monotonic() + 60
        while len(found := dict(clients.done()["codes"])) < 1 or sum(found.values()) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        clients.stop()
        done = clients.done()
        codes = dict(done["codes"])
        assert codes[4408] >= 2
        assert server.get("/api/stats/a")[1]["slow_clients"] >= codes[4408]
    assert done["came"] == sum(codes.values())
    assert codes.keys() <= {4408, CUT_OFF, STAYED}
