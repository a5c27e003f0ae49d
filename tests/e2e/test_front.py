"""The one port: whatever one connection sends, it alone ends."""

import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from phantomlink.recordings.synthetic import synthesize_named
from tests.clients import listening, receive
from tests.servers import live_server
from tests.waiting import until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    synthesize_named(path, units=4, seconds=5.0)
    with live_server(path, env={"PHANTOM_MAX_CONNECTIONS": "100"}) as server:
        yield server


def raw_connection(server):
    host, port = server.address.split(":")
    return closing(socket.create_connection((host, int(port)), timeout=10))


def upgrade(path="/stream/hostile", *, without=(), body=b"", **more):
    headers = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = [f"{k}: {v}\r\n" for k, v in headers.items() if k not in without]
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1") + body


def masked(opcode, payload=b"", *, fin=0x80, rsv=0, mask=True):
    first = fin | rsv | opcode
    length = len(payload)
    head = bytes([first, (0x80 if mask else 0) | (length if length < 126 else 126)])
    if length >= 126:
        head += struct.pack(">H", length)
    return head + (bytes(4) if mask else b"") + payload


def answer_to(server, *chunks, read=True, patience_seconds=60):
    """What comes back until the server closes, or is silent for longer than its patience."""
    with raw_connection(server) as connection:
        data = b""
        try:
            for chunk in chunks:
                connection.sendall(chunk)
                time.sleep(0.01)
            connection.settimeout(patience_seconds)
            while read and len(data) < 8_000:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                data += chunk
        except (TimeoutError, ConnectionError):
            pass
        return data


POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
HOSTILE = {
    "nothing": (),
    "one byte": (b"G",),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",),
    "a byte behind the upgrade": (upgrade(body=b"x"),),
    "a byte after the upgrade": (upgrade(), b"x"),
    "a frame in the packet of the upgrade": (upgrade(body=masked(1, b"hi")),),
    "a close in the packet of the upgrade": (upgrade(body=masked(8, b"\x03\xe8")),),
    "an upgrade with a body": (upgrade(Content_Length="4", body=b"body"),),
    "a chunked upgrade": (upgrade(Transfer_Encoding="chunked", body=b"0\r\n\r\n"),),
    "a Host that is not ASCII": (upgrade(Host="b\xfccher"),),
    "an Origin that is not ASCII": (upgrade(Origin="http://b\xfccher"),),
    "a sub-protocol that is not ASCII": (upgrade(Sec_WebSocket_Protocol="caf\xe9"),),
    "a path that is not ASCII": (upgrade("/stream/caf\xe9"),),
    "no key": (upgrade(without=["Sec-WebSocket-Key"]),),
    "a bad version": (upgrade(Sec_WebSocket_Version="99"),),
    "an upgrade of another path": (upgrade("/health"), b"x"),
    "an upgrade of another path with a frame": (upgrade("/nowhere", body=masked(1, b"x")),),
    "an unmasked frame": (upgrade(), masked(1, b"hi", mask=False)),
    "a reserved bit": (upgrade(), masked(1, b"hi", rsv=0x40)),
    "a reserved opcode": (upgrade(), masked(3, b"hi")),
    "a fragmented ping": (upgrade(), masked(9, b"hi", fin=0)),
    "a long ping": (upgrade(), masked(9, b"x" * 126)),
    "a continuation of nothing": (upgrade(), masked(0, b"hi")),
    "text that is not UTF-8": (upgrade(), masked(1, b"\xff\xfe")),
    "a bad close code": (upgrade(), masked(8, b"\x03\xed")),
    "empty messages": (upgrade(), masked(1) + masked(2)),
    "a flood of pings": (upgrade(), masked(9, b"ping") * 5000),
    "a flood of messages": (upgrade(), masked(2, b"x" * 100) * 5000),
    "a header of 1 MB": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1_000_000,),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",),
    "length and chunks": (
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "a bad chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",),
    "path traversal": (b"GET /docs/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",),
    "CR LF in a code": (upgrade("/stream/a%0d%0aSet-Cookie:x"),),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),),
}  # fmt: skip
UNANSWERED = {"nothing", "one byte"}  # the server waits for more


def test_hostile_connections_end_alone(server):
    with listening(f"{server.ws}/stream/victim") as victim:
        with ThreadPoolExecutor(8) as pool:
            calls = {
                name: pool.submit(
                    answer_to, server, *chunks, patience_seconds=0.5 if name in UNANSWERED else 60
                )
                for name, chunks in HOSTILE.items()
            }
            answers = {name: call.result() for name, call in calls.items()}
        for name, chunks in HOSTILE.items():
            answer_to(server, *chunks, read=False)
            assert server.process.poll() is None, name
        time.sleep(0.2)
    assert not victim.gaps
    assert victim.close_code is None
    # The session may be one that a first try of this test has made.
    assert victim.ids == [(victim.ids[0] + k) % 200 for k in range(len(victim.ids))]
    statuses = {
        name: int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None
        for name, answer in answers.items()
    }
    accepted = {name for name, status in statuses.items() if status == 101}
    assert accepted >= {
        "empty messages",
        "a flood of pings",
        "a frame in the packet of the upgrade",
    }
    for name in ("not HTTP", "an upgrade with a body", "a chunked upgrade", "two lengths",
                 "a Host that is not ASCII", "a sub-protocol that is not ASCII",
                 "a path that is not ASCII", "no key"):  # fmt: skip
        assert statuses[name] == 400, name
    assert statuses["a bad version"] == 426
    assert statuses["a header of 1 MB"] in {431, None}  # None: cut off before it could be read
    assert statuses["CR LF in a code"] == 422
    assert statuses["path traversal"] in {400, 404}
    assert b"root:" not in answers["path traversal"]
    assert "Traceback" not in server.log, server.log


@pytest.mark.parametrize(
    ("name", "code"),
    [("an unmasked frame", 1002), ("a reserved bit", 1002), ("a reserved opcode", 1002),
     ("a fragmented ping", 1002), ("text that is not UTF-8", 1007)],
)  # fmt: skip
@pytest.mark.parametrize("packets", ["in packets of their own", "in the packet of the upgrade"])
def test_a_protocol_error_is_answered_with_its_close_code(server, name, code, packets):
    chunks = HOSTILE[name]
    if packets == "in the packet of the upgrade":
        chunks = (b"".join(chunks),)
    assert answer_to(server, *chunks).endswith(struct.pack(">BBH", 0x88, 2, code))


def test_a_connection_that_only_opens_is_closed_after_a_while_and_others_go_on(server):
    with raw_connection(server) as silent:
        assert receive(f"{server.ws}/stream/other", 5).sequence == [0, 1, 2, 3, 4]
        silent.settimeout(60)
        assert silent.recv(1) == b""


def test_the_head_may_come_in_pieces(server):
    request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    pieces = [request[k : k + 9] for k in range(0, len(request), 9)]
    answer = answer_to(server, *pieces)
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["status"] == "healthy"


def test_an_upgrade_on_a_connection_that_served_rest_before_works_too(server):
    with raw_connection(server) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.settimeout(60)
        answer = b""
        while not answer.endswith(b'{"status":"alive"}'):
            answer += connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        connection.sendall(upgrade("/stream/second"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 101")


def test_a_client_that_vanishes_in_the_middle_leaves_nothing_behind(server):
    for _ in range(5):
        with raw_connection(server) as connection:
            connection.sendall(upgrade("/stream/vanish"))
            connection.recv(100)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: server.get("/api/stats/vanish")[1]["active_connections"] == 0)
    assert "Traceback" not in server.log, server.log
