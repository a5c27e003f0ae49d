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
