"""Viewers of sessions that a node plays which does not own them, and what nodes tell of it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from tests.clients import decode

VIEWERS = 4
"""So many of them make a mirror."""
# A busy machine keeps clients from reading and answering for long.
MIRROR_ENV = {
    "PHANTOM_MIRROR_CLIENTS": str(VIEWERS),
    "PHANTOM_CLIENT_BEHIND_SECONDS": "120",
    "PHANTOM_PING_INTERVAL_SECONDS": "600",
}


class Viewer:
    """A client that comes back to the same node whenever it is cut off."""

    def __init__(self, url):
        self.url = url
        self.owners = []
        self.packets = []
        self.closes = []
        self.messages = []
        self.leaves = threading.Event()
        self.socket = None

    def run(self):
        while not self.leaves.is_set():
            try:
                with connect(self.url, open_timeout=20, close_timeout=1) as self.socket:
                    self._receive(self.socket)
            except (OSError, InvalidHandshake, TimeoutError, EOFError):
                time.sleep(0.05)

    def _receive(self, socket):
        while not self.leaves.is_set():
            try:
                message = decode(socket.recv(timeout=0.1))
            except TimeoutError:
                continue
            except ConnectionClosed as error:
                said = error.rcvd
                self.closes.append((said.code, said.reason) if said else (1006, ""))
                return
            if message["type"] == "metadata":
                self.owners.append(message["session"]["url"])
            else:
                self.packets.append((self.owners[-1], message["data"]))

    def since(self, n):
        return [packet for _, packet in self.packets[n:]]


@contextmanager
def viewers(*urls):
    found = [Viewer(url) for url in urls]
    threads = [threading.Thread(target=each.run) for each in found]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        for each in found:
            each.leaves.set()
        for thread in threads:
            thread.join()


def are_mirrored(found, server, code="s"):
    return all(each.owners and each.owners[-1] == f"{server.ws}/stream/{code}" for each in found)


def plays(server):
    """How many sessions of its own each process has, and how many it mirrors."""
    nodes = server.get("/api/nodes")[1]["nodes"]
    return {each["name"]: (each["sessions"], each["mirrors"]) for each in nodes}
