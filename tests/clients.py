"""Independent WebSocket clients for the tests: the `websockets` package and nothing of ours."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import msgpack
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def decode(message):
    return json.loads(message) if isinstance(message, str) else msgpack.unpackb(message)


@dataclass
class Received:
    """What one client got until it left or was closed."""

    metadata: dict = field(default_factory=dict)
    packets: list = field(default_factory=list)
    times: list = field(default_factory=list)
    raw: list = field(default_factory=list)
    close_code: int | None = None

    @property
    def ids(self):
        return [packet["packet_id"] for packet in self.packets]

    @property
    def sequence(self):
        return [packet["sequence_number"] for packet in self.packets]

    @property
    def gaps(self):
        sequence = self.sequence
        return [b for a, b in pairwise(sequence) if b != a + 1]


def receive(url, n=10**9, *, seconds=60.0, **options):
    """Up to `n` packets, or until the server closes or time is up."""
    got = Received()
    until = time.monotonic() + seconds
    with connect(url, open_timeout=20, close_timeout=1, **options) as websocket:
        try:
            got.metadata = decode(websocket.recv(timeout=20))
            while len(got.packets) < n and (left := until - time.monotonic()) > 0:
                message = websocket.recv(timeout=left)
                got.times.append(time.monotonic())
                got.raw.append(message)
                decoded = decode(message)
                assert decoded["type"] == "data"
                got.packets.append(decoded["data"])
        except TimeoutError:
            pass
        except ConnectionClosed as error:
            got.close_code = error.rcvd.code if error.rcvd else 1006
    return got


@contextmanager
def listening(url, **options):
    """A client in a thread; what it has got is complete after the block."""
    got = Received()
    connected, leaving = threading.Event(), threading.Event()

    def run():
        with connect(url, open_timeout=20, close_timeout=1, **options) as websocket:
            try:
                got.metadata = decode(websocket.recv(timeout=20))
                connected.set()
                while not leaving.is_set():
                    try:
                        message = websocket.recv(timeout=0.05)
                    except TimeoutError:
                        continue
                    got.times.append(time.monotonic())
                    got.raw.append(message)
                    got.packets.append(decode(message)["data"])
            except ConnectionClosed as error:
                got.close_code = error.rcvd.code if error.rcvd else 1006

    thread = threading.Thread(target=run)
    thread.start()
    assert connected.wait(20), "no metadata came"
    try:
        yield got
    finally:
        leaving.set()
        thread.join()
