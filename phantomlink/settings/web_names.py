"""Origins and hosts, as headers and settings write them. What is not plain is nobody's.

A browser writes these names in one way only: lower case, no escapes, no user, no path. So a text
that another reader might take for another name is refused instead of interpreted.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Programs name the WebSocket's own scheme where a browser names that of its page.
_PAGE_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_NAME, _V6, _PORT = r"(?P<name>[a-z0-9._-]{1,253})", r"(?P<v6>[0-9a-f:.]{2,45})", r"[0-9]{1,5}"
_PLAIN = re.ASCII | re.IGNORECASE
_ORIGIN = re.compile(
    rf"(?P<scheme>https?|wss?)://(?:{_NAME}|\[{_V6}\])(?::(?P<port>{_PORT}))?", _PLAIN
)
# Some clients leave the zone of a link-local address in, which means nothing to others.
_HOST = re.compile(
    rf"(?:{_NAME}|\[{_V6}(?:%[a-z0-9._~-]{{1,30}})?\])(?::(?P<port>{_PORT}))?", _PLAIN
)


class Origin(NamedTuple):
    """The origin of a page, or of a program that says one.

    Attributes:
        scheme: "http" or "https"; a WebSocket's count as these.
        host: a name in lower case, or an IP address without brackets.
        port: always given.
    """

    scheme: str
    host: str
    port: int


def parse_origin(text: str) -> Origin | None:
    """The origin that a text names; None for what is not one of the web."""
    match = _ORIGIN.fullmatch(text)
    host = None if match is None else _host(match)
    if match is None or host is None:
        return None
    scheme = _PAGE_SCHEMES[match["scheme"].lower()]
    return Origin(scheme, host[0], host[1] or _DEFAULT_PORTS[scheme])


def parse_host(text: str) -> tuple[str, int | None] | None:
    """Name or address, and port, of what a `Host` header says; None where that is not plain."""
    match = _HOST.fullmatch(text)
    return None if match is None else _host(match)


def is_ip_address(host: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _host(match: re.Match[str]) -> tuple[str, int | None] | None:
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 1 <= port <= 65535:
        return None
    if match["v6"] is None:
        return match["name"].lower(), port
    try:
        return str(ipaddress.IPv6Address(match["v6"])), port
    except ValueError:
        return None
