"""A TCP proxy that can be cut: what a page meets when the network goes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_BYTES = 64 * 1024


@dataclass
class Proxy:
    """Passes connections on, until it is cut.

    Attributes:
        address: of its own.
        target: whom it passes them on to.
    """

    address: str
    target: tuple[str, int]
    is_cut: bool = False
    _sockets: set[socket.socket] = field(default_factory=set)

    @property
    def http(self) -> str:
        return f"http://{self.address}"

    def cut(self) -> None:
        """Break every connection, and take no new ones."""
        self.is_cut = True
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.is_cut = False

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server:
            self._sockets |= {client, server}
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()
            self._sockets -= {client, server}


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_BYTES):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cuttable(address: str) -> Iterator[Proxy]:
    """A proxy before a server.

    Args:
        address: of the server.
    """
    host, _, port = address.partition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(f"127.0.0.1:{listener.getsockname()[1]}", (host, int(port)))
        thread = threading.Thread(target=proxy.serve, args=(listener,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.cut()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
