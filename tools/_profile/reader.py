"""Process: the clients. Connects, reads and throws away, as cheaply as can be.

Says `ready` when every connection has had a packet, and ends with its standard input.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from collections.abc import Sequence

_BUFFER_BYTES = 1 << 18


def connect(host: str, port: int, path: str | None) -> socket.socket:
    """A connection; with a path, asked to become a WebSocket."""
    connection = socket.create_connection((host, port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if path is not None:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGljayBwcm9maWxlci4uLg==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
    return connection


def read_all(connections: Sequence[socket.socket], handshake: bool) -> None:
    """Read until standard input ends or every connection is closed."""
    by_fd = {connection.fileno(): connection for connection in connections}
    # The answer to the handshake and the first message may come in one read.
    unheard = dict.fromkeys(by_fd, 2 if handshake else 1)
    buffer = bytearray(_BUFFER_BYTES)
    with select.epoll() as epoll:
        epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        for fd in by_fd:
            epoll.register(fd, select.EPOLLIN)
        while by_fd:
            for fd, _ in epoll.poll():
                if fd == sys.stdin.fileno():
                    return
                if not by_fd[fd].recv_into(buffer):
                    epoll.unregister(fd)
                    by_fd.pop(fd).close()
                elif fd in unheard:
                    unheard[fd] -= 1
                    if not unheard[fd]:
                        del unheard[fd]
                        if not unheard:
                            print("ready", flush=True)


def main() -> None:
    """Entry of the process: the one argument is JSON with host, port and paths."""
    config = json.loads(sys.argv[1])
    paths = config["paths"]
    read_all([connect(config["host"], config["port"], path) for path in paths], paths != [None])


if __name__ == "__main__":
    main()
