"""What connections do that mean no good, or know no better: a corpus for both entries.

A case is what is sent, how the connection is left, and which answers are right; None among those
is a connection that ends without an answer.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

from tests.e2e.test_front import HOSTILE, POST, masked, upgrade


class Leaving(Enum):
    """How a connection is left."""

    READING = auto()
    """Read until the server closes, or is silent for half a second; then close."""

    AT_ONCE = auto()
    """Close without having read anything."""

    HALF = auto()
    """Say that no more comes, then read to the end."""

    RESET = auto()
    """Read what is there, then reset."""

    UNREAD = auto()
    """Keep the connection for two seconds without reading, then reset."""


@dataclass(frozen=True)
class Case:
    """One connection: chunks with a pause of 10 ms between them."""

    chunks: tuple[bytes, ...]
    statuses: frozenset[int | None] | None = None
    leaving: Leaving = Leaving.READING
    pause_seconds: float = 0.01


REFUSED = frozenset({400, 404, 426, 431, 500, 501, 505, None})
CLIENT_ERROR = frozenset({400, 404, 405, 413, 415, 422, 431, 501, None})


def get(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"{method} {target} HTTP/{version}\r\nHost: x\r\n{lines}\r\n".encode("latin-1")


def post(path: str, body: bytes, content_type: str = "application/json", *headers: str) -> bytes:
    lines = (f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers)
    return get(path, *lines, method="POST") + body


def raw_post(*lines: bytes, body: bytes = b"") -> bytes:
    return POST.replace(b"POST /", b"POST /api/sessions/create") + b"\r\n".join(lines) + body


def long_frame(length: int) -> bytes:
    """The head of a masked binary frame that claims a length, and a few bytes of it."""
    return bytes([0x82, 0xFF]) + struct.pack(">Q", length) + bytes(4) + b"x" * 100


def _upgrades() -> dict[str, Case]:
    answers = {
        "a key that is too short": upgrade(Sec_WebSocket_Key="YWJj"),
        "a key that is no base64": upgrade(Sec_WebSocket_Key="*" * 24),
        "an empty key": upgrade(Sec_WebSocket_Key=""),
        "a key of 100 kB": upgrade(Sec_WebSocket_Key="A" * 100_000),
        "no version": upgrade(without=["Sec-WebSocket-Version"]),
        "a version in words": upgrade(Sec_WebSocket_Version="thirteen"),
        "an upgrade by POST": upgrade().replace(b"GET", b"POST", 1),
        "an upgrade over HTTP/1.0": upgrade().replace(b"HTTP/1.1", b"HTTP/1.0", 1),
        "an upgrade that expects 100": upgrade(Expect="100-continue", Content_Length="5"),
        "an upgrade with a length and chunks": upgrade(
            Content_Length="5", Transfer_Encoding="chunked", body=b"0\r\n\r\n"
        ),
        "two keys": upgrade().replace(
            b"Upgrade:", b"Sec-WebSocket-Key: " + b"A" * 24 + b"\r\nUpgrade:", 1),
        "no Host": upgrade(without=["Host"]),
        "an upgrade to h2c": get("/", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings",
                                 "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
        "an upgrade to h2c with rubbish": get("/", "Upgrade: h2c", "Connection: Upgrade",
                                              "HTTP2-Settings: \xff") + b"\x00" * 64,
        "two upgrades at once": upgrade() + upgrade(),
    }  # fmt: skip
    return {name: Case((data,)) for name, data in answers.items()} | {
        "a sub-protocol in UTF-8": Case(
            (upgrade(Sec_WebSocket_Protocol="phantomlink.v1.json, \xc3\xa9"),)
        ),
        "an extension of rubbish": Case((upgrade(Sec_WebSocket_Extensions="\xff;;,=;=\xfe"),)),
        "an extension of many": Case(
            (upgrade(Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=99"),)
        ),
        "CR LF in a code": Case((upgrade("/stream/a%0d%0aSet-Cookie:x"),), frozenset({400, 422})),
        "CR LF in a code, in the query": Case(
            (get("/api/sessions/create?custom_code=a%0d%0ab", "Content-Length: 0", method="POST"),),
            frozenset({422}),
        ),
        "CR LF in a code, in the body": Case(
            (post("/api/sessions/create", b'{"custom_code": "a\\r\\nSet-Cookie: x"}'),),
            frozenset({422}),
        ),
        "NUL in a code": Case((upgrade("/stream/a%00b"),), frozenset({400, 422})),
        "a code of 60 kB": Case((upgrade("/stream/" + "a" * 60_000),), frozenset({422, 431, 400})),
        "half of an upgrade, then gone": Case((upgrade()[:60],), leaving=Leaving.AT_ONCE),
        "an upgrade, then gone": Case((upgrade(),), leaving=Leaving.AT_ONCE),
        "an upgrade, then reset": Case((upgrade(),), leaving=Leaving.RESET),
        "an upgrade with a byte, then reset": Case((upgrade(body=b"x"),), leaving=Leaving.RESET),
        "an upgrade, then half-closed": Case((upgrade(),), leaving=Leaving.HALF),
        "an upgrade byte by byte": Case(tuple(bytes([b]) for b in upgrade()), pause_seconds=0),
    }


def _frames() -> dict[str, Case]:
    fragments = b"".join([masked(2, b"x" * 60_000, fin=0), *[masked(0, b"x" * 60_000, fin=0)] * 40])
    after = {
        "a fragmented message": masked(1, b"a", fin=0) + masked(0, b"b", fin=0) + masked(0, b"c"),
        "a ping between fragments": masked(1, b"a", fin=0) + masked(9, b"p") + masked(0, b"b"),
        "a message within a message": masked(1, b"a", fin=0) + masked(1, b"b"),
        "every reserved bit": masked(1, b"a", rsv=0x70),
        "the third reserved opcode": masked(0xF, b"a"),
        "a frame of 2 ** 62 bytes": long_frame(2**62),
        "a frame of 2 ** 63 bytes": long_frame(2**63),
        "a frame of 100 MB": long_frame(100_000_000),
        "a message of 2 MB in fragments": fragments,
        "an empty fragmented message": masked(2, fin=0) + masked(0, fin=0) + masked(0),
        "a close of one byte": masked(8, b"\x03"),
        "a close with a reason of bad UTF-8": masked(8, b"\x03\xe8\xff\xff"),
        "two closes": masked(8, b"\x03\xe8") + masked(8, b"\x03\xe8"),
        "data behind a close": masked(8, b"\x03\xe8") + masked(1, b"late") * 100,
        "a pong of nobody's asking": masked(10, b"pong"),
        "a nested MessagePack message": masked(2, b"\x91" * 60_000),
        "a nested JSON message": masked(1, b"[" * 60_000),
        "HTTP behind an upgrade": get("/api/sessions"),
    }
    cases = {name: Case((upgrade(), data)) for name, data in after.items()}
    message = masked(2, b"x" * 100)
    return cases | {
        "20,000 messages that nobody reads": Case(
            (upgrade(), *[message * 1000] * 20), leaving=Leaving.UNREAD
        ),
        "20,000 empty messages": Case((upgrade(), *[(masked(1) + masked(2)) * 1000] * 10)),
        "20,000 pings whose answers nobody reads": Case(
            (upgrade(), *[masked(9, b"p" * 125) * 1000] * 20), leaving=Leaving.UNREAD
        ),
        "a reset in the middle of a frame": Case(
            (upgrade(), masked(2, b"x" * 200)[:50]), leaving=Leaving.RESET
        ),
        "an end in the middle of a frame": Case(
            (upgrade(), masked(2, b"x" * 200)[:50]), leaving=Leaving.HALF
        ),
        "a close, then gone": Case((upgrade(), masked(8, b"\x03\xe8")), leaving=Leaving.AT_ONCE),
        "a frame byte by byte": Case(
            (upgrade(), *(bytes([b]) for b in masked(1, b"slow" * 20))), pause_seconds=0.001
        ),
        "a stream that nobody reads": Case((upgrade(),), leaving=Leaving.UNREAD),
    }


def _smuggling() -> dict[str, Case]:
    hidden = get("/api/sessions/hidden", method="DELETE")
    chunked = b"0\r\n\r\n" + hidden
    heads = {
        "a length and chunks": ((b"Content-Length: 4", b"Transfer-Encoding: chunked"), chunked),
        "chunks and a length": ((b"Transfer-Encoding: chunked", b"Content-Length: 4"), chunked),
        "two lengths that differ": ((b"Content-Length: 0", b"Content-Length: 44"), hidden),
        "two lengths in one line": ((b"Content-Length: 0, 44",), hidden),
        "a length with a sign": ((b"Content-Length: +5",), b"xxxxx"),
        "a negative length": ((b"Content-Length: -1",), b""),
        "a length in hexadecimal": ((b"Content-Length: 0x5",), b"xxxxx"),
        "a length of 40 digits": ((b"Content-Length: " + b"9" * 40,), b"xxxxx"),
        "chunks by another name": ((b"Transfer-Encoding: xchunked",), chunked),
        "chunks twice": ((b"Transfer-Encoding: chunked, chunked",), chunked),
        "chunks, then identity": ((b"Transfer-Encoding: chunked, identity",), chunked),
        "chunks in two headers": (
            (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"), chunked),
        "chunks behind a tab": ((b"Transfer-Encoding:\tchunked\x0b",), chunked),
        "a space before the colon": ((b"Transfer-Encoding : chunked",), chunked),
        "a folded header": ((b"Transfer-Encoding:", b" chunked"), chunked),
        "NUL in a header": ((b"X: a\x00b",), b""),
        "CR in a header": ((b"X: a\rContent-Length: 44",), hidden),
        "a chunk of a negative size": ((b"Transfer-Encoding: chunked",), b"-1\r\nx\r\n"),
        "a chunk of 30 digits": ((b"Transfer-Encoding: chunked",), b"f" * 30 + b"\r\nx"),
        "a chunk with a long extension": (
            (b"Transfer-Encoding: chunked",), b"1;" + b"x" * 200_000 + b"\r\nx\r\n0\r\n\r\n"),
    }  # fmt: skip
    cases = {
        name: Case((raw_post(*lines, b"", b"", body=body),))
        for name, (lines, body) in heads.items()
    }
    return cases | {
        "bare line feeds": Case((b"GET /livez HTTP/1.1\nHost: x\nConnection: close\n\n",)),
        "a header without a colon": Case(
            (b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",), REFUSED),
        "a header that begins the lines": Case(
            (b"GET / HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n",), REFUSED),
        "two Hosts": Case((get("/livez", "Host: y"),)),
        "a request in a body": Case(
            (post("/api/sessions/create", hidden, "text/plain"),), CLIENT_ERROR),
        "a body behind a GET": Case((get("/livez") + hidden,)),
    }  # fmt: skip


def _requests() -> dict[str, Case]:
    create = "/api/sessions/create"
    bodies = {
        "JSON nested 100,000 deep": b"[" * 100_000,
        "JSON objects nested 50,000 deep": b'{"a":' * 50_000,
        "JSON nested and closed": b"[" * 50_000 + b"]" * 50_000,
        "a number of 100,000 digits": b'{"custom_code": ' + b"9" * 100_000 + b"}",
        "a number that is too large": b'{"custom_code": 1e999999}',
        "JSON that is not UTF-8": b'{"custom_code": "\xff\xfe"}',
        "half a surrogate": b'{"custom_code": "\\ud800"}',
        "NaN": b'{"custom_code": NaN}',
    }
    traversal = {
        "dots": "/docs/../../../../etc/passwd",
        "percent-encoded dots": "/docs/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "dots encoded twice": "/docs/%252e%252e/%252e%252e/etc/passwd",
        "backslashes": "/docs/..\\..\\..\\etc\\passwd",
        "two slashes": "//etc/passwd",
        "NUL": "/docs%00/../etc/passwd",
        "an absolute address": "http://127.0.0.1:1/etc/passwd",
        "a file address": "file:///etc/passwd",
    }
    targets = {
        "a target that is not ASCII": "/api/sessions/caf\xe9",
        "a target of percent signs": "/%%%%zz%f",
        "a target without a slash": "api/sessions",
        "a target of a star": "*",
    }
    return (
        {name: Case((post(create, body),), CLIENT_ERROR) for name, body in bodies.items()}
        | {f"traversal by {n}": Case((get(t),), CLIENT_ERROR) for n, t in traversal.items()}
        | {name: Case((get(target),)) for name, target in targets.items()}
        | {
            "nested MessagePack": Case(
                (post(create, b"\x91" * 10_000, "application/msgpack"),), frozenset({415})
            ),
            "a body of 20 MB": Case((post(create, b" " * 20_000_000),), CLIENT_ERROR),
            "a body that does not come": Case(
                (post(create, b"x" * 100)[:-50],), leaving=Leaving.RESET
            ),
            "a body that is said to be packed": Case(
                (post(create, b"\x1f\x8b" * 50, "application/json", "Content-Encoding: gzip"),),
                CLIENT_ERROR,
            ),
            "20,000 headers": Case(
                (get("/livez", *[f"X-{k}: {k}" for k in range(20_000)]),), REFUSED
            ),
            "a first line of 1 MB": Case((get("/" + "a" * 1_000_000),), REFUSED),
            "a method of 10 kB": Case((get("/livez", method="A" * 10_000),)),
            "CONNECT": Case((get("127.0.0.1:1", method="CONNECT"),)),
            "TRACE": Case((get("/livez", method="TRACE"),)),
            "HTTP/3.0": Case((get("/livez", version="3.0"),)),
            "HTTP/0.9": Case((b"GET /livez\r\n\r\n",)),
            "500 requests whose answers nobody reads": Case(
                (get("/api/sessions") * 500,), leaving=Leaving.UNREAD
            ),
            "500 polls whose answers nobody reads": Case(
                (get("/health") * 500,), leaving=Leaving.UNREAD
            ),
            "an answer of some size that nobody reads": Case(
                (get("/openapi.json") * 50,), leaving=Leaving.RESET
            ),
            "100 is expected, and nothing comes": Case(
                (get(create, "Content-Length: 5", "Expect: 100-continue", method="POST"),)
            ),
            "HTTP/2 with rubbish": Case(
                (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x04\x08\xff" + bytes(40),)
            ),
            "HTTP/2 with settings and a reset": Case(
                (
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
                    bytes([0, 0, 4, 3, 0, 0, 0, 0, 99]) + bytes(4),
                )
            ),
            "no request, then reset": Case((), leaving=Leaving.RESET),
            "an upgrade behind a request": Case((get("/livez") + upgrade(body=masked(1, b"x")),)),
            "an upgrade behind another request": Case((get("/api/sessions") + upgrade(body=b"x"),)),
        }
    )  # fmt: skip


def corpus() -> dict[str, Case]:
    """Every case, by name."""
    known = {name: Case(chunks) for name, chunks in HOSTILE.items()}
    return known | _upgrades() | _frames() | _smuggling() | _requests()


def play(address: str, case: Case) -> bytes:
    """Be that connection; what came back before it was left."""
    host, port = address.split(":")
    received = b""
    connection = socket.create_connection((host, int(port)), timeout=10)
    try:
        with suppress(ConnectionError, TimeoutError):
            for chunk in case.chunks:
                # What the server does not take for a second, it does not want.
                connection.settimeout(1.0)
                connection.sendall(chunk)
                time.sleep(case.pause_seconds)
            if case.leaving is Leaving.HALF:
                connection.shutdown(socket.SHUT_WR)
            if case.leaving is Leaving.UNREAD:
                time.sleep(2.0)
        with suppress(ConnectionError, TimeoutError):
            connection.settimeout(0.5)
            reads = case.leaving in {Leaving.READING, Leaving.HALF}
            while reads and len(received) < 20_000:
                data = connection.recv(65536)
                if not data:
                    break
                received += data
    finally:
        if case.leaving in {Leaving.RESET, Leaving.UNREAD}:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    return received


def status_of(answer: bytes) -> int | None:
    """The status of an HTTP/1.1 answer; None for all else."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None
