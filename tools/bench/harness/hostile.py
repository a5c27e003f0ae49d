"""A handful of connections that mean no good: a sample of what the tests try in full."""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from .frames import masked_frame

SESSION = "soak-hostile"
_KEY = "Sec-WebSocket-Key: aml0dGVyIGJlbmNobWFyaw=="
_READ_SECONDS = 0.3


def request(target: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request."""
    head = "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", "Host: x", *lines))
    return head.encode("latin-1") + b"\r\n" + body


def upgrade(*lines: str, body: bytes = b"") -> bytes:
    """An upgrade, with something behind it."""
    usual = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", _KEY)
    return request(f"/stream/binary/{SESSION}", *usual, *lines, body=body)


def masked(first: int, payload: bytes = b"") -> bytes:
    """A short frame of a client, its mask zero, with any bits before its opcode."""
    return bytes((first,)) + masked_frame(0, payload)[1:]


def corpus() -> dict[str, bytes]:
    """What is sent, by name."""
    create = "/api/sessions/create"
    chunked = ("Content-Length: 4", "Transfer-Encoding: chunked")
    json = ("Content-Type: application/json",)
    bomb = b"[" * 50_000
    return {
        "a byte behind an upgrade": upgrade(body=b"x"),
        "a frame behind an upgrade": upgrade(body=masked(0x81, b"hello")),
        "an upgrade with a body": upgrade("Content-Length: 5", body=b"hello"),
        "an upgrade in chunks": upgrade("Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "a sub-protocol that is not ASCII": upgrade("Sec-WebSocket-Protocol: caf\xe9"),
        "a Host that is not ASCII": b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        "an unmasked frame": upgrade(body=b"\x81\x01a"),
        "reserved bits": upgrade(body=masked(0xF1, b"a")),
        "a frame of 2 ** 62 bytes": upgrade(body=b"\x82\xff" + struct.pack(">Q", 2**62) + b"x" * 9),
        "an empty message": upgrade(body=masked(0x82)),
        "1000 pings": upgrade(body=masked(0x89, b"p" * 100) * 1000),
        "2000 messages": upgrade(body=masked(0x82, b"m" * 100) * 2000),
        "half an upgrade": upgrade()[:60],
        "a long head": request("/livez", *(f"X-{n}: {'x' * 500}" for n in range(400))),
        "JSON nested deep": request(
            create, *json, f"Content-Length: {len(bomb)}", method="POST", body=bomb
        ),
        "a length and chunks": request(create, *chunked, method="POST", body=b"0\r\n\r\n"),
        "a path that climbs": request("/docs/../../../../etc/passwd"),
        "CR and LF in a code": request(f"{create}?custom_code=a%0d%0ab", method="POST"),
        "HTTP/2 with rubbish": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(50),
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        "nothing": b"",
    }


def play(address: tuple[str, int], data: bytes, *, reset: bool) -> None:
    """Be that connection: send, read a little, and close it or reset it."""
    with socket.create_connection(address, timeout=5) as connection:
        with suppress(OSError):
            connection.settimeout(1.0)
            connection.sendall(data)
            until = time.monotonic() + _READ_SECONDS
            while (left := until - time.monotonic()) > 0:
                connection.settimeout(left)
                if not connection.recv(65536):
                    break
        if reset:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def hostilities(host: str, port: int) -> Iterator[Callable[[], bool]]:
    """The corpus, again and again, closed and reset in turn."""

    def act(data: bytes, *, reset: bool) -> bool:
        with suppress(ConnectionError):
            play((host, port), data, reset=reset)
        return True

    for n in itertools.count():
        for data in corpus().values():
            yield partial(act, data, reset=bool(n % 2))
