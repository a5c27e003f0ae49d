"""Takes small data frames out of what a WebSocket client sends, before the WebSocket library.

Theory of operation. Through the library a message costs 130 to 500 us when it wakes the loop: two
more tasks run for it, and each of its layers makes objects. A prediction is 140 bytes. So whole,
unfragmented, masked data frames of at most 1 KiB are taken out where the bytes are first seen.
Everything else goes on to the library, in its order and unchanged, so that all that a client can
do wrong has the close code that it has always had: control frames, fragments and whatever comes
between them, larger frames, unmasked or compressed ones, and text that is not UTF-8. A
binary frame that is split over reads waits for its rest. Behind a frame that breaks the protocol
all goes on. (RFC 6455, 5.2.)
"""

from __future__ import annotations

from typing import NamedTuple

SMALL_BYTES = 1024
"""Of a payload, at most."""

_FIN_TEXT, _FIN_BINARY = 0x81, 0x82
_CONTINUATION, _TEXT, _BINARY, _CLOSE = 0x0, 0x1, 0x2, 0x8
_OPCODES = frozenset({_CONTINUATION, _TEXT, _BINARY, _CLOSE, 0x9, 0xA})
_RESERVED = 0x70
_MOST_CONTROL_BYTES = 125
_MASKED = 0x80
_MASK_BYTES = 4


class SmallMessage(NamedTuple):
    """One message.

    Attributes:
        payload: unmasked; of a text it is UTF-8.
        is_text: whether it is a text.
    """

    payload: bytes
    is_text: bool


class SmallFrameReader:
    """The frames of one connection.

    Args:
        max_bytes: of a payload that is taken out.
    """

    def __init__(self, max_bytes: int = SMALL_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = b""
        self._passing = 0  # bytes of a frame that goes on and has not come whole
        self._is_fragmented = False
        self._is_over = False

    def feed(self, data: bytes) -> tuple[list[SmallMessage], bytes]:
        """More bytes have come.

        Args:
            data: as they were read; nothing for the end of the stream.

        Returns:
            The messages that are complete, and what goes on to the library.
        """
        if self._is_over or not data:
            rest, self._held = self._held + data, b""
            return [], rest
        buffer = self._held + data if self._held else bytes(data)
        messages: list[SmallMessage] = []
        passed: list[bytes] = []
        at = min(self._passing, len(buffer))
        self._passing -= at
        start = 0  # of what goes on and has not been put into `passed`
        while at < len(buffer):
            frame = frame_at(buffer, at)
            if frame is None:
                break
            first, is_masked, header, length = frame
            end = at + header + length
            is_small = first in (_FIN_TEXT, _FIN_BINARY) and is_masked
            if is_small and length <= self._max_bytes and not self._is_fragmented:
                is_whole = end <= len(buffer)
                if not is_whole and first == _FIN_BINARY:
                    break
                # Of a text that is not whole the library says at once whether it is UTF-8 so far.
                message = _message(buffer, first, at + header, end) if is_whole else None
                if message is not None:
                    passed.append(buffer[start:at])
                    messages.append(message)
                    start = at = end
                    continue
                self._is_over = is_whole  # it is no UTF-8, and closes the connection
            self._passing = max(0, end - len(buffer))
            at = min(end, len(buffer))
            if self._note(first, is_masked, length):
                at = len(buffer)
        passed.append(buffer[start:at])
        self._held = buffer[at:]
        return messages, b"".join(passed)

    def _note(self, first: int, is_masked: bool, length: int) -> bool:
        """A frame goes on to the library; whether it is the last: all behind it goes on too.

        That is so for a close, and for whatever breaks the protocol: the library closes then, and
        what comes behind is not to be read.
        """
        is_final, opcode = bool(first & 0x80), first & 0x0F
        is_control = opcode >= _CLOSE
        is_data = opcode in (_TEXT, _BINARY)
        if (
            opcode == _CLOSE
            or first & _RESERVED
            or not is_masked
            or opcode not in _OPCODES
            or (is_control and (not is_final or length > _MOST_CONTROL_BYTES))
            or (is_data and self._is_fragmented)
            or (opcode == _CONTINUATION and not self._is_fragmented)
        ):
            self._is_over = True
        elif not is_control:
            self._is_fragmented = not is_final
        return self._is_over


def frame_at(buffer: bytes | bytearray, at: int) -> tuple[int, bool, int, int] | None:
    """First byte, whether it is masked, length of the header and of the payload.

    None where the header has not come whole.

    Args:
        buffer: what has come.
        at: where in it the frame begins.
    """
    available = len(buffer) - at
    if available < 2:
        return None
    first, second = buffer[at], buffer[at + 1]
    is_masked, length = bool(second & _MASKED), second & 0x7F
    extended = 2 if length == 126 else 8 if length == 127 else 0
    header = 2 + extended + (_MASK_BYTES if is_masked else 0)
    if available < header:
        return None
    if extended:
        length = int.from_bytes(buffer[at + 2 : at + 2 + extended])
    return first, is_masked, header, length


def _message(buffer: bytes, first: int, start: int, end: int) -> SmallMessage | None:
    """The message between two places of the buffer; None for a text that is not UTF-8."""
    length = end - start
    mask = buffer[start - _MASK_BYTES : start] * (length // _MASK_BYTES + 1)
    masked = int.from_bytes(buffer[start:end])
    payload = (masked ^ int.from_bytes(mask[:length])).to_bytes(length)
    is_text = first == _FIN_TEXT
    if is_text and not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            return None
    return SmallMessage(payload, is_text)
