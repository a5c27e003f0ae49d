"""How records lie in a file: each with its length and checksum, in segments. Pure.

A file is a row of segments. One that is being written is plain: `PLJ1`, then records of a length
(u32), a CRC-32 (u32, of the body) and a body, little-endian. A finished one is compressed: `PLJZ`,
a length (u64), and so many bytes of zlib of the records. Only the last one may be plain.

Reading stops at the first thing that is damaged: what was written before it is whole, and nothing
behind it can be trusted, not even where a record begins.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgpack

PLAIN, COMPRESSED = b"PLJ1", b"PLJZ"
SEGMENT_LENGTH = struct.Struct("<Q")
MAX_RECORD_BYTES = 16 * 2**20
"""A longer one is damage, not an allocation."""

_HEAD = struct.Struct("<II")
_READ_BYTES = 1 << 20


class DamagedError(ValueError):
    """What follows here cannot be read; the text says why."""


def frame(body: list[Any]) -> bytes:
    """A record as it lies in a file."""
    packed: bytes = msgpack.packb(body)
    return _HEAD.pack(len(packed), zlib.crc32(packed)) + packed


def read_bodies(file: BinaryIO) -> Iterator[list[Any]]:
    """The bodies of all records of a file, from where it is.

    Raises:
        DamagedError: behind the last whole record comes something that is none.
    """
    while magic := file.read(len(PLAIN)):
        if magic == COMPRESSED:
            yield from _bodies(_inflated(file))
        elif magic == PLAIN:
            yield from _bodies(iter(lambda: file.read(_READ_BYTES), b""))
        else:
            raise DamagedError(f"a segment begins with {magic!r}")


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    raw = file.read(SEGMENT_LENGTH.size)
    if len(raw) < SEGMENT_LENGTH.size:
        raise DamagedError("a segment has no length")
    (left,) = SEGMENT_LENGTH.unpack(raw)
    inflate = zlib.decompressobj()
    try:
        while left:
            data = file.read(min(left, _READ_BYTES))
            if not data:
                raise DamagedError("a segment is cut off")
            left -= len(data)
            while data:
                yield inflate.decompress(data, _READ_BYTES)
                data = inflate.unconsumed_tail
        yield inflate.flush()
    except zlib.error as error:
        raise DamagedError(f"a segment cannot be decompressed: {error}") from error
    if not inflate.eof:
        raise DamagedError("a segment ends in its middle")


def _bodies(chunks: Iterator[bytes]) -> Iterator[list[Any]]:
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        at = 0
        while len(buffer) - at >= _HEAD.size:
            length, crc = _HEAD.unpack_from(buffer, at)
            if length > MAX_RECORD_BYTES:
                raise DamagedError(f"a record of {length} bytes")
            end = at + _HEAD.size + length
            if end > len(buffer):
                break
            packed = bytes(buffer[at + _HEAD.size : end])
            if zlib.crc32(packed) != crc:
                raise DamagedError("a record whose checksum is another")
            yield _unpacked(packed)
            at = end
        del buffer[:at]
    if buffer:
        raise DamagedError("a record is cut off")


def _unpacked(packed: bytes) -> list[Any]:
    try:
        body = msgpack.unpackb(packed)
    except (ValueError, msgpack.UnpackException) as error:
        raise DamagedError(f"a record that is not MessagePack: {error}") from error
    if not isinstance(body, list) or not body or not isinstance(body[0], str):
        raise DamagedError("a record without a kind")
    return body
