"""Who is at the policy: what is told of a request before anybody looks at what it asks.

Both servers have the head of a request as pairs of bytes, so one function reads it for both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

UNKNOWN_ADDRESS = "unknown"
"""Of those who came by a Unix socket, and all others of whom the server does not know it."""


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """One request, as far as it matters for letting it in.

    Attributes:
        method: in upper case.
        path: as it was routed by, or still encoded: only compared with plain paths.
        address: whose request it is, see `address_key`.
        authorizations: every `Authorization` header, as sent.
        first_subprotocol: of a WebSocket, as sent; None where none is offered.
        is_preflight: a browser asks whether a page may send what is to follow.
    """

    method: str
    path: str
    address: str
    authorizations: tuple[bytes, ...] = ()
    first_subprotocol: bytes | None = None
    is_preflight: bool = False


def read_request_identity(
    method: str,
    path: str,
    headers: Iterable[tuple[bytes, bytes]],
    peer: str | None,
    *,
    is_websocket: bool = False,
    trust_proxy: bool = False,
) -> RequestIdentity:
    """What the head of a request tells.

    Args:
        method: of the request.
        path: of the request, without the query.
        headers: name, in lower case, and value.
        peer: host of the other end of the connection; None where there is none.
        is_websocket: it opens a WebSocket.
        trust_proxy: whether to believe the last `X-Forwarded-For`: the address from which our
            proxy was called. Those before it are what the client says of itself.
    """
    authorizations: list[bytes] = []
    subprotocol: bytes | None = None
    has_origin = asks_for_method = False
    for name, value in headers:
        if name == b"authorization":
            authorizations.append(value)
        elif name == b"sec-websocket-protocol":
            if is_websocket and subprotocol is None:
                subprotocol = value.partition(b",")[0].strip()
        elif name == b"origin":
            has_origin = True
        elif name == b"access-control-request-method":
            asks_for_method = True
        elif trust_proxy and name == b"x-forwarded-for":
            peer = value.rpartition(b",")[2].strip().decode("latin-1")
    return RequestIdentity(
        method,
        path,
        address_key(peer),
        tuple(authorizations),
        subprotocol,
        is_preflight=method == "OPTIONS" and has_origin and asks_for_method,
    )


@lru_cache(maxsize=1024)
def address_key(peer: str | None) -> str:
    """The name under which an address is counted.

    Of IPv6 that is its /64, of which every customer has at least one to choose addresses from.
    """
    if peer is None or len(peer) > 64:
        return UNKNOWN_ADDRESS
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return str(address)
    return str(ipaddress.IPv6Network((address.packed[:8] + bytes(8), 64)))
