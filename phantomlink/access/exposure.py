"""Whether others than this machine can reach an address, and what is said then."""

from __future__ import annotations

import ipaddress

WARNING = (
    "Listening on %s, beyond this machine, and without a token: whoever reaches the port can "
    "listen to, steer and delete every session. Set PHANTOM_API_TOKEN, or listen on 127.0.0.1"
)


def is_exposed(address: str) -> bool:
    """Whether a socket bound to an address can be reached from other machines.

    Args:
        address: as the socket tells it; what is no IP address (a Unix socket) cannot.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return not ip.ipv4_mapped.is_loopback
    return not ip.is_loopback


def may_be_exposed(host: str) -> bool:
    """Whether a server that is told to listen there can be reached from other machines.

    Args:
        host: an address or a name; any name but localhost may be of any address.
    """
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower() != "localhost"
    return is_exposed(host)
