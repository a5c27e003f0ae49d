"""WebSocket frames and the three numbers of a packet, read without decoding the rest.

Pure, and cheap enough for the receiving loop: what is not looked for, msgspec skips.
"""

from __future__ import annotations

import struct

import msgspec

BINARY, CLOSE, PING, PONG = 0x2, 0x8, 0x9, 0xA

_FIN = 0x80
_MASKED = 0x80
_DATA_TYPE = b"\xa4type\xa4data"
# Where the type of a message may stand: it is the first or, in other servers, the second key.
_TYPE_WITHIN = 64

Buffer = bytes | bytearray


class FrameError(ValueError):
    """Bytes that are not what a PhantomLink stream is made of."""


class _Numbers(msgspec.Struct, gc=False):
    packet_id: int
    sequence_number: int
    timestamp: float


class _Packet(msgspec.Struct, gc=False):
    data: _Numbers


_decode = msgspec.msgpack.Decoder(_Packet).decode


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


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """A control frame from a client. The mask is zero: nothing here needs hiding from a proxy.

    Args:
        opcode: of it.
        payload: of at most 125 bytes.
    """
    return bytes((_FIN | opcode, _MASKED | len(payload))) + bytes(4) + payload


def prediction_frame(packet_id: int) -> bytes:
    """What a decoder answers to a packet: always the same velocity, and the mask is zero."""
    return _PREDICTION_HEAD + struct.pack(">I", packet_id) + _PREDICTION_TAIL


def _prediction_around() -> tuple[bytes, bytes]:
    """The bytes before and behind the number of the packet, which is packed in four bytes."""
    number = 0xFFFF_FFFF
    data = {
        "packet_id": number,
        "loop": 0,
        "vx": 12.25,
        "vy": -4.5,
        "decoder": "measured",
        "received_at": 1767225600.125,
        "sent_at": 1767225600.25,
    }
    payload = msgspec.msgpack.encode({"type": "prediction", "data": data})
    n = len(payload)
    head = bytes((_FIN | BINARY, _MASKED | n))
    if n > 125:
        head = struct.pack(">BBH", _FIN | BINARY, _MASKED | 126, n)
    before, _, behind = (head + bytes(4) + payload).partition(struct.pack(">I", number))
    return before, behind


_PREDICTION_HEAD, _PREDICTION_TAIL = _prediction_around()


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
    try:
        data = _decode(memoryview(buffer)[start:end]).data
    except msgspec.DecodeError as error:
        raise FrameError(f"expected a packet: {error}") from error
    return data.packet_id, data.sequence_number, data.timestamp
