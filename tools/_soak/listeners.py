"""Process: the well-behaved clients. Each reads its stream and looks at every sequence number.

Talk: hears where; tells `{"ready": true}` when every stream has had a packet; then, for every
line that it hears, tells what has been received so far.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import time

from _bench.frames import CLOSE, PING, PONG, FrameError, masked_frame, packet_fields
from _bench.talk import Message, fail, hear, tell

from .stream import StreamBytes, close_code, stream_request

_READ_BYTES = 1 << 16
_FIRST_PACKET_SECONDS = 60.0
_GAPS_KEPT = 10


class Listener:
    """One stream: what has come of it, and what was missing."""

    def __init__(self, host: str, port: int, code: str) -> None:
        self.code = code
        self.packets = 0
        self.n_gaps = 0
        self.gaps: list[str] = []
        self.closed: str | None = None
        self._next: int | None = None
        self._stream = StreamBytes(code)
        self.socket = socket.create_connection((host, port), timeout=20)
        self.socket.sendall(stream_request(host, port, code))

    def read(self) -> None:
        """Take what has come."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except OSError as error:
            data = b""
            self.closed = f"{self.code}: {error}"
        if not data:
            self.closed = self.closed or f"{self.code}: the server closed the connection"
            return
        for opcode, payload in self._stream.take(data):
            if opcode < CLOSE:
                self._take(packet_fields(payload, 0, len(payload)))
            elif opcode == PING:
                with contextlib.suppress(OSError):
                    self.socket.sendall(masked_frame(PONG, payload))
            elif opcode == CLOSE:
                ended = f"the server closed the stream with {close_code(payload)}"
                self.closed = f"{self.code}: {ended}"

    def _take(self, fields: tuple[int, int, float] | None) -> None:
        if fields is None:
            return
        sequence_number = fields[1]
        self.packets += 1
        if self._next is not None and sequence_number != self._next:
            self.n_gaps += 1
            if len(self.gaps) < _GAPS_KEPT:
                self.gaps.append(f"{self.code}: {sequence_number} where {self._next} was due")
        self._next = sequence_number + 1


def report(listeners: list[Listener]) -> Message:
    """What has been received so far."""
    return {
        "packets": sum(each.packets for each in listeners),
        "fewest": min(each.packets for each in listeners),
        "n_gaps": sum(each.n_gaps for each in listeners),
        "gaps": [gap for each in listeners for gap in each.gaps][:_GAPS_KEPT],
        "closed": [each.closed for each in listeners if each.closed is not None],
    }


def run(config: Message) -> None:
    """Listen until the parent goes."""
    listeners = [Listener(config["host"], config["port"], code) for code in config["codes"]]
    selector = selectors.DefaultSelector()
    for each in listeners:
        selector.register(each.socket, selectors.EVENT_READ, each)
    give_up = time.monotonic() + _FIRST_PACKET_SECONDS
    is_ready = False
    while True:
        for key, _ in selector.select(0.5):
            if key.data is None:
                if not os.read(sys.stdin.fileno(), 4096):
                    return
                tell(report(listeners))
                continue
            key.data.read()
            if key.data.closed is not None:
                selector.unregister(key.data.socket)
                key.data.socket.close()
        if not is_ready:
            if all(each.packets for each in listeners):
                is_ready = True
                for each in listeners:
                    each.packets = 0
                tell({"ready": True})
                selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
            elif time.monotonic() > give_up or any(each.closed for each in listeners):
                fail(f"listeners: not every stream began: {report(listeners)['closed']}")


def main() -> None:
    """Entry of the process."""
    try:
        run(hear())
    except (OSError, FrameError) as error:
        fail(f"listeners: {error}")


if __name__ == "__main__":
    main()
