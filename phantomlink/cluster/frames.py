"""Where the frames of a WebSocket begin and end, in bytes that are passed on. Pure."""

from __future__ import annotations

import struct

from phantomlink.inputs.small_frames import frame_at

_HEAD_END = b"\r\n\r\n"
_MOST_HEAD_BYTES = 14
_FINAL, _CLOSE = 0x80, 8
_DATA = frozenset({0, 1, 2})


class FrameTracker:
    """One direction of a connection, from its HTTP head on.

    Attributes:
        n_data: data frames, or parts of them, that have begun.
        has_closed: whether a close frame has come.
    """

    def __init__(self) -> None:
        self.n_data = 0
        self.has_closed = False
        self._is_in_head = True
        self._head = bytearray()
        self._left = 0

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins a frame."""
        return not (self._is_in_head or self._head or self._left)

    def feed(self, data: bytes) -> None:
        """Some bytes have come, whatever they are."""
        at = 0
        if self._is_in_head:
            at = self._skip_head(data)
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            step = _MOST_HEAD_BYTES - len(self._head)
            self._head += data[at : at + step]
            frame = frame_at(self._head, 0)
            if frame is None:
                at += step
                continue
            first, _, n_header, n_payload = frame
            length = n_header + n_payload
            self._count(first & 0x0F)
            # What has been taken for the head and lies behind it is payload.
            taken = min(len(self._head), length)
            at += taken - (len(self._head) - len(data[at : at + step]))
            self._left = length - taken
            self._head.clear()

    def _skip_head(self, data: bytes) -> int:
        known = len(self._head)
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            # An end may be torn.
            del self._head[: -len(_HEAD_END) + 1]
            return len(data)
        self._head.clear()
        self._is_in_head = False
        return end + len(_HEAD_END) - known

    def _count(self, opcode: int) -> None:
        if opcode in _DATA:
            self.n_data += 1
        elif opcode == _CLOSE:
            self.has_closed = True


def close_frame(code: int, reason: str) -> bytes:
    """An unmasked close frame; its reason has `MAX_CLOSE_REASON_BYTES` at most.

    The encoder of packets has one too, but with it comes numpy, which the process that listens
    does without.
    """
    text = reason.encode()
    return struct.pack(">BBH", _FINAL | _CLOSE, 2 + len(text), code) + text
