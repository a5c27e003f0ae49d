"""WebSocket frames and the three numbers of a packet, read without decoding the rest.

Pure, and cheap enough for the receiving loop: a packet costs a few searches for the bytes of a
MessagePack key. The order of the keys does not matter.
"""

from __future__ import annotations

import struct

import msgpack

BINARY, CLOSE, PING, PONG = 0x2, 0x8, 0x9, 0xA

_FIN = 0x80
_MASKED = 0x80
_DATA_TYPE = b"\xa4type\xa4data"
_PACKET_ID = b"\xa9packet_id"
_SEQUENCE_NUMBER = b"\xafsequence_number"
_TIMESTAMP = b"\xa9timestamp"
_FLOAT64 = 0xCB
# MessagePack's unsigned integers: first byte -> how many bytes follow it.
_UINT_WIDTHS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_MOST = 2**32 - 1
# Where the type of a message may stand: it is the first or, in other servers, the second key.
_TYPE_WITHIN = 64

Buffer = bytes | bytearray


class FrameError(ValueError):
    """Bytes that are not what a PhantomLink stream is made of."""


def upgrade_request(host: str, port: int, path: str) -> bytes:
    """What a client asks that wants a WebSocket (RFC 6455, 4.1)."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: aml0dGVyIGJlbmNobWFyaw==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def after_answer(buffer: Buffer, end: int) -> int:
    """Where the first frame begins behind the answer to an upgrade; 0: it is not whole yet.

    Raises:
        FrameError: the server refused.
    """
    at = buffer.find(b"\r\n\r\n", 0, end)
    if at < 0:
        return 0
    status = bytes(buffer[: buffer.find(b"\r\n")]).decode("latin-1")
    if " 101" not in status:
        body = bytes(buffer[at + 4 : end]).decode("utf-8", "replace")
        raise FrameError(f"the server refused the stream: {status} {body}")
    return at + 4


def frame_head(length: int) -> bytes:
    """Head of an unmasked, unfragmented binary frame (RFC 6455, 5.2)."""
    first = _FIN | BINARY
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return struct.pack(">BBH", first, 126, length)
    return struct.pack(">BBQ", first, 127, length)


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """A short frame from a client. The mask is zero: nothing here needs hiding from a proxy.

    Raises:
        FrameError: the payload has more than the 125 bytes of a control frame.
    """
    if len(payload) > 125:
        raise FrameError(f"a control frame carries up to 125 bytes, got {len(payload)}")
    return bytes((_FIN | opcode, _MASKED | len(payload))) + bytes(4) + payload


def parse_frame(buffer: Buffer, start: int, end: int) -> tuple[int, int, int] | None:
    """Opcode, first byte and end of the payload of the frame at `start`; None: not whole yet.

    Raises:
        FrameError: a fragment, or a masked frame: no server of packets sends either.
    """
    if end - start < 2:
        return None
    first, length = buffer[start], buffer[start + 1]
    if not first & _FIN or length & _MASKED:
        raise FrameError(f"expected whole unmasked frames, got head {first:02x} {length:02x}")
    at = start + 2
    if length == 126:
        if end - at < 2:
            return None
        length, at = (buffer[at] << 8) | buffer[at + 1], at + 2
    elif length == 127:
        if end - at < 8:
            return None
        length, at = int.from_bytes(buffer[at : at + 8], "big"), at + 8
    if end - at < length:
        return None
    return first & 0x0F, at, at + length


def packet_fields(buffer: Buffer, start: int, end: int) -> tuple[int, int, float] | None:
    """`packet_id`, `sequence_number` and `timestamp` (s); None for a message of another type.

    Raises:
        FrameError: a packet without one of them.
    """
    if buffer.find(_DATA_TYPE, start, min(start + _TYPE_WITHIN, end)) < 0:
        return None
    at = _value_at(buffer, _TIMESTAMP, start, end)
    if buffer[at] != _FLOAT64:
        raise FrameError(f"expected a timestamp as float64, got type {buffer[at]:02x}")
    timestamp: float = struct.unpack_from(">d", buffer, at + 1)[0]
    return (
        _uint(buffer, _value_at(buffer, _PACKET_ID, start, end)),
        _uint(buffer, _value_at(buffer, _SEQUENCE_NUMBER, start, end)),
        timestamp,
    )


def close_code(payload: Buffer) -> int:
    """Of a close frame's payload; 1005 where it has none."""
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005


class PacketTemplate:
    """A packet's whole frame in which the three numbers can be written over.

    Args:
        payload: a packet's message, MessagePack.

    Raises:
        FrameError: it is no packet.
    """

    def __init__(self, payload: bytes) -> None:
        message = msgpack.unpackb(payload)
        if message.get("type") != "data":
            raise FrameError("expected a packet, got a message of another type")
        # Both integers take 5 bytes from now on, so that any number fits.
        most = {"packet_id": _MOST, "sequence_number": _MOST, "timestamp": 0.0}
        payload = msgpack.packb({**message, "data": message["data"] | most})
        self.frame = bytearray(frame_head(len(payload)) + payload)
        self._packet_id_at, self._sequence_at, self._timestamp_at = (
            _value_at(self.frame, key, 0, len(self.frame)) + 1
            for key in (_PACKET_ID, _SEQUENCE_NUMBER, _TIMESTAMP)
        )

    def number(self, packet_id: int, sequence_number: int) -> None:
        """Write in which packet it is."""
        struct.pack_into(">I", self.frame, self._packet_id_at, packet_id)
        struct.pack_into(">I", self.frame, self._sequence_at, sequence_number)

    def stamp(self, timestamp: float) -> None:
        """Write in when it leaves, s."""
        struct.pack_into(">d", self.frame, self._timestamp_at, timestamp)


def _value_at(buffer: Buffer, key: bytes, start: int, end: int) -> int:
    at = buffer.find(key, start, end)
    if at < 0 or at + len(key) >= end:
        raise FrameError(f"expected a packet with {key[1:].decode()}, found none")
    return at + len(key)


def _uint(buffer: Buffer, at: int) -> int:
    first = buffer[at]
    if first < 0x80:
        return first
    width = _UINT_WIDTHS.get(first)
    if width is None:
        raise FrameError(f"expected an unsigned integer, got type {first:02x}")
    return int.from_bytes(buffer[at + 1 : at + 1 + width], "big")
