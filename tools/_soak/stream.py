"""A stream as its client asks for it and as its bytes come. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from _bench.frames import FrameError, parse_frame


def stream_request(host: str, port: int, code: str) -> bytes:
    """The upgrade for the binary stream of a session."""
    return (
        f"GET /stream/binary/{code} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: aml0dGVyIGJlbmNobWFyaw==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class StreamBytes:
    """Takes a connection's bytes as they come, and gives its frames.

    Args:
        code: of the session.
    """

    def __init__(self, code: str) -> None:
        self._code = code
        self._received = bytearray()
        self._upgraded = False

    def take(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Opcode and payload of the frames that are whole now.

        Raises:
            FrameError: the server refused the stream, or does not speak WebSocket.
        """
        self._received += data
        start, end = self._start(), len(self._received)
        while self._upgraded and (frame := parse_frame(self._received, start, end)) is not None:
            opcode, first, start = frame
            yield opcode, bytes(self._received[first:start])
        del self._received[:start]

    def _start(self) -> int:
        if self._upgraded:
            return 0
        at = self._received.find(b"\r\n\r\n")
        if at < 0:
            return 0
        line = bytes(self._received).split(b"\r\n", 1)[0].decode("latin-1")
        if " 101" not in line:
            raise FrameError(f"{self._code}: the server refused the stream: {line}")
        self._upgraded = True
        return at + 4


def close_code(payload: bytes) -> int:
    """Of a close frame's payload; 1005 where it has none."""
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
