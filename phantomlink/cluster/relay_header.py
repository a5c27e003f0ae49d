"""How a node proves to another one that it passes a request on. Pure.

One header, with an HMAC of what it says and of the request's first line. Only then is the client's
address believed that stands in it, and the request is passed on no further.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

NAME = "X-PhantomLink-Relay"
CLIENT, ASK = "client", "ask"
"""What it is for: a client's request, or a question of the node itself. Else, the process that is
asked alone."""
MAX_AGE_SECONDS = 60
_HEADER = re.compile(rb"(\r?\n)(?i:connection)[ \t]*:[^\n]*?(?=\r?\n)")
_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Relayed:
    """What a node says of a request that it passes on.

    Attributes:
        node: its name.
        seconds: Unix time.
        purpose: `CLIENT`, `ASK` or the name of a process.
        peer: address of the client.
    """

    node: str
    seconds: int
    purpose: str
    peer: str


def signed(relayed: Relayed, method: str, target: str, secret: str) -> str:
    """The value of the header."""
    said = f"{relayed.node} {relayed.seconds} {relayed.purpose} {relayed.peer}"
    return f"{said} {_mac(said, method, target, secret)}"


def verified(
    value: str, method: str, target: str, secret: str, now_seconds: float
) -> Relayed | None:
    """What a header says; None where it proves nothing."""
    said, _, mac = value.rpartition(" ")
    expected = _mac(said, method, target, secret)
    parts = said.split(" ")
    if not hmac.compare_digest(mac.encode("latin-1", "replace"), expected.encode()):
        return None
    if len(parts) != 4 or not parts[1].isdecimal():
        return None
    relayed = Relayed(parts[0], int(parts[1]), parts[2], parts[3])
    return relayed if abs(now_seconds - relayed.seconds) <= MAX_AGE_SECONDS else None


def node_in(value: str) -> str:
    """The node that a header names, which need not be true."""
    return value.partition(" ")[0]


def with_header(received: bytes, value: str, *, closes: bool) -> bytes:
    """A request with the header added.

    Args:
        received: its head, and what came behind.
        value: of the header.
        closes: whether the connection ends with the answer: the next request may belong elsewhere.
    """
    end = _HEAD_END.search(received)
    assert end is not None, "the head has been read"
    head, rest = received[: end.start()], received[end.start() :]
    if closes:
        head = _HEADER.sub(b"", head + b"\r\n").rstrip(b"\r\n") + b"\r\nConnection: close"
    return head + f"\r\n{NAME}: {value}".encode("latin-1") + rest


def _mac(said: str, method: str, target: str, secret: str) -> str:
    text = f"{method} {target}\n{said}".encode("latin-1", "replace")
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
