"""Keeps the ports of LSL outlets to the loopback device.

In its machine scope liblsl is not found by searches from elsewhere, but its sockets are bound to
every address and it has no setting for that: who knows the ports could connect. Linux lets a
socket be bound to a device after it has been made.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_EVERYWHERE = frozenset({"0.0.0.0", "::"})
_PORT = re.compile(r"<v[46](?:data|service)_port>([1-9][0-9]*)</")
_SERVICE_PORT = re.compile(r"<v4service_port>([1-9][0-9]*)</")


def ports_of(stream_xml: str) -> frozenset[int]:
    """The TCP and UDP ports of an outlet, from what liblsl says of its stream."""
    return frozenset(int(port) for port in _PORT.findall(stream_xml))


def service_ports_of(stream_xml: str) -> frozenset[int]:
    """The UDP ports at which an outlet is asked what it is, from what liblsl says of its stream."""
    return frozenset(int(port) for port in _SERVICE_PORT.findall(stream_xml))


def keep_to_loopback(ports: frozenset[int]) -> bool:
    """Let the sockets of this process that are bound to these ports hear this machine only.

    Args:
        ports: where every socket of this process is meant.

    Returns:
        Whether that is so now; not every system can.
    """
    option = getattr(socket, "SO_BINDTODEVICE", None)
    if option is None or not _DESCRIPTORS.is_dir():
        return False
    kept = True
    for sock in _sockets():
        with closing(sock):
            host, port = _address(sock)
            if port in ports and host in _EVERYWHERE:
                try:
                    sock.setsockopt(socket.SOL_SOCKET, option, b"lo\0")
                except OSError:  # before Linux 5.7 only for the privileged
                    kept = False
    return kept


def _sockets() -> Iterator[socket.socket]:
    """Every socket of this process, duplicated."""
    for name in os.listdir(_DESCRIPTORS):
        # Others open and close theirs meanwhile.
        with suppress(OSError):
            descriptor = int(name)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                yield _duplicate(descriptor)


def _duplicate(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _address(sock: socket.socket) -> tuple[str, int]:
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return "", 0
    try:
        host, port = sock.getsockname()[:2]
    except OSError:
        return "", 0
    return host, port
