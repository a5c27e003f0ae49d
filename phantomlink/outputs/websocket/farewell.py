"""Room for the close frame of a client that is given up: it learns why when it reads again."""

from __future__ import annotations

import socket
from contextlib import suppress

# In the kernel, where trio lets no more than 16 KiB wait and a socket may hold a segment more than
# its buffer; and how long the kernel may keep the end of the stream, after the socket has been
# closed, ms. Where the system does not have such an option, it decides.
_FAREWELL_BYTES = 64 * 1024
_FAREWELL_OPTIONS = (("TCP_NOTSENT_LOWAT", 2**30), ("TCP_USER_TIMEOUT", 20_000))


def make_room(sock: socket.socket, n_bytes: int) -> None:
    """Let the kernel take so many bytes more than its buffer holds, and keep them for a while."""
    with suppress(OSError):
        room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        room += n_bytes + _FAREWELL_BYTES
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        for name, value in _FAREWELL_OPTIONS:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
