"""Who is at the policy: what is told of a request before anybody looks at what it asks.

Both servers have the head of a request as pairs of bytes, so one function reads it for both.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

UNKNOWN_ADDRESS = "unknown"
"""Of those who came by a Unix socket, and all others of whom the server does not know it."""

# Blanks, HTTP/1.1, colons and line ends.
_FIRST_LINE_BYTES = 12
_HEADER_BYTES = 4
# As sockets and proxies write them: IPv6 with a zone, in brackets, and either with a port.
_ADDRESS = re.compile(
    r"\[(?P<v6>[0-9A-Fa-f:.]{2,45})(?:%[^\]]{1,20})?\](?::[0-9]{1,5})?"
    r"|(?P<v4>[0-9.]{7,15})(?::[0-9]{1,5})?"
    r"|(?P<bare>[0-9A-Fa-f:.]{2,45})(?:%.{1,20})?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """One request, as far as it matters for letting it in.

    Attributes:
        method: in upper case.
        path: as it was routed by, or still encoded: only compared with plain paths.
        address: whose request it is, see `address_key`.
        query: as sent, without the question mark.
        authorizations: every `Authorization` header, as sent.
        first_subprotocol: of a WebSocket, as sent; None where none is offered.
        hosts: by which names the server was called: the `Host` header, then what a trusted proxy
            says; both must be allowed. None where neither says one.
        origins: every `Origin` header, as sent.
        is_websocket: it opens a WebSocket.
        is_preflight: a browser asks whether a page may send what is to follow.
        head_bytes: of first line and headers.
        is_counted: another process of this server has counted it among those of its address.
    """

    method: str
    path: str
    address: str
    query: str = ""
    authorizations: tuple[bytes, ...] = ()
    first_subprotocol: bytes | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    is_websocket: bool = False
    is_preflight: bool = False
    head_bytes: int = 0
    is_counted: bool = False


def read_request_identity(
    method: str,
    path: str,
    headers: Iterable[tuple[bytes, bytes]],
    peer: str | None,
    *,
    query: str = "",
    is_websocket: bool = False,
    is_counted: bool = False,
    trust_proxy: bool = False,
) -> RequestIdentity:
    """What the head of a request tells.

    Args:
        method: of the request.
        path: of the request, without the query.
        headers: name, in lower case, and value.
        peer: host of the other end of the connection; None where there is none.
        query: of the request.
        is_websocket: it opens a WebSocket.
        is_counted: as in `RequestIdentity`.
        trust_proxy: whether to believe the last `X-Forwarded-For`: the address from which our
            proxy was called. Those before it are what the client says of itself. Likewise the
            first `X-Forwarded-Host`: how the client called the outermost proxy.
    """
    authorizations: list[bytes] = []
    hosts: list[str] = []
    forwarded_hosts: list[str] = []
    origins: list[str] = []
    subprotocol: bytes | None = None
    asks_for_method = False
    head_bytes = len(method) + len(path) + len(query) + _FIRST_LINE_BYTES
    for name, value in headers:
        head_bytes += len(name) + len(value) + _HEADER_BYTES
        if name == b"authorization":
            authorizations.append(value)
        elif name == b"sec-websocket-protocol":
            if is_websocket and subprotocol is None:
                subprotocol = value.partition(b",")[0].strip()
        elif name == b"host":
            hosts.append(value.decode("latin-1"))
        elif name == b"origin":
            origins.append(value.decode("latin-1"))
        elif name == b"access-control-request-method":
            asks_for_method = True
        elif trust_proxy and name == b"x-forwarded-for":
            peer = value.rpartition(b",")[2].strip().decode("latin-1")
        elif trust_proxy and name == b"x-forwarded-host":
            forwarded_hosts.append(value.partition(b",")[0].strip().decode("latin-1"))
    return RequestIdentity(
        method,
        path,
        address_key(peer),
        query,
        tuple(authorizations),
        subprotocol,
        (*hosts, *forwarded_hosts[:1]),
        tuple(origins),
        is_websocket=is_websocket,
        is_preflight=method == "OPTIONS" and bool(origins) and asks_for_method,
        head_bytes=head_bytes,
        is_counted=is_counted,
    )


@lru_cache(maxsize=1024)
def address_key(peer: str | None) -> str:
    """The name under which an address is counted.

    Of IPv6 that is its /64, of which every customer has at least one to choose addresses from.
    """
    match = None if peer is None else _ADDRESS.fullmatch(peer)
    if match is None:
        return UNKNOWN_ADDRESS
    try:
        address = ipaddress.ip_address(match["v6"] or match["v4"] or match["bare"])
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return str(address)
    return str(ipaddress.IPv6Network((address.packed[:8] + bytes(8), 64)))
