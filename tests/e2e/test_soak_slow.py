"""What clients find that did not read for a while: how the server ended them, if it did."""

import socket
import struct
import threading
import time
from contextlib import contextmanager

import msgpack
import pytest

from tests.servers import live_server
from tools.bench.harness import stopped
from tools.bench.harness.stopped import CUT_OFF, REFUSED, STAYED

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frame(opcode, payload):
    return struct.pack(">BBH", 0x80 | opcode, 126, len(payload)) + payload


def packet(timestamp):
    data = {"packet_id": 1, "sequence_number": 1, "timestamp": timestamp}
    return frame(2, msgpack.packb({"type": "data", "data": data}))


def close(code):
    return frame(8, code.to_bytes(2, "big") + b"why")


OLD = [packet(1_700_000_000.0 + n) for n in range(500)]
TORN = OLD[0][:-1]


@contextmanager
def sent(*parts, reset=False, left_open=False):
    """A connection to which a server has sent this, and then, unless told otherwise, closed it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = stopped.StoppedStream(*listener.getsockname(), "/")
        server, _ = listener.accept()
        server.recv(4096)  # unread, it would be a reason to reset the connection

        def send():
            server.sendall(b"".join(parts))
            if reset:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if not left_open:
                server.close()

        sender = threading.Thread(target=send)
        sender.start()
        with client.socket:
            yield client
        sender.join()
        server.close()


@pytest.mark.parametrize(
    ("parts", "ending"),
    [
        ([UPGRADED, *OLD, close(4408)], 4408),
        ([UPGRADED, close(4408), TORN], 4408),
        ([UPGRADED, *OLD, close(1001)], 1001),
        ([UPGRADED, frame(8, b"")], 1005),
        ([UPGRADED, *OLD], CUT_OFF),
        ([UPGRADED, *OLD, TORN], CUT_OFF),
        ([], CUT_OFF),
        ([b"HTTP/1.1 503 Service Unavailable\r\n\r\n{}"], REFUSED),
    ],
)
def test_how_a_connection_ended(parts, ending):
    with sent(*parts) as stream:
        assert stream.read_rest() == ending


def test_a_connection_that_was_reset_was_cut_off():
    with sent(UPGRADED, reset=True) as stream:
        assert stream.read_rest() == CUT_OFF


def test_who_finds_what_is_sent_just_now_was_let_stay():
    with sent(UPGRADED, *OLD, packet(time.time() + 60), left_open=True) as stream:
        assert stream.read_rest() == STAYED


def test_who_finds_nothing_more_was_let_stay(monkeypatch):
    monkeypatch.setattr(stopped, "_REST_SECONDS", 0.2)
    with sent(UPGRADED, *OLD, left_open=True) as stream:
        assert stream.read_rest() == STAYED


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
