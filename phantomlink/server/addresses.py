"""What others can type to reach a port: a wildcard address is that of no machine."""

from __future__ import annotations

import ipaddress
import socket


def urls_of(address: str, port: int) -> list[str]:
    """The URLs of a bound socket, the one for this machine first.

    Args:
        address: as the socket tells it; for a wildcard, every address of this machine counts that
            others can use.
        port: of the socket.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if not ip.is_unspecified:
        return [_url(address, port)]
    import psutil  # noqa: PLC0415 - takes 10 ms, and servers that listen to all are few

    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    here = "127.0.0.1" if ip.version == 4 else "::1"
    found = [
        one.address
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family == family and _can_be_typed(one.address)
    ]
    return [_url(each, port) for each in (here, *found)]


def _can_be_typed(address: str) -> bool:
    # Link-local addresses of IPv6 have a zone, which means something on one machine only.
    ip = ipaddress.ip_address(address.partition("%")[0])
    return not ip.is_loopback and not (ip.version == 6 and ip.is_link_local)


def _url(address: str, port: int) -> str:
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
