"""Packets and messages to bytes.

A packet is encoded before its tick, with room for the timestamp; at the tick only that is
written in. What never changes in a stream (the names, the channel numbers) is encoded once.
The bytes are those that `msgpack.packb` or `json.dumps` makes of `packet_data`: tests compare.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, Protocol, TypeAlias

import msgpack
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from phantomlink.wire.packet import Packet, StreamHeader, decoded_data, packet_data, without

# 10 digits of seconds and 6 decimals: the same width until the year 2286.
# Spaces in front of fewer digits: a machine whose clock begins in 1970 sends JSON, too.
_JSON_TIMESTAMP = "%17.6f"
_JSON_TIMESTAMP_WIDTH = 17
_LITTLE_ENDIAN = np.dtype("<u2")
_BINARY_HEAD, _TEXT_HEAD, _CLOSE_HEAD = 0x82, 0x81, 0x88  # FIN and the opcode (RFC 6455, 5.2)
# The keys of `data` come in this order: two numbers, the timestamp, the spikes, and these.
_AFTER_SPIKES = (
    "kinematics",
    "intention",
    "trial_id",
    "trial_time_ms",
    "loop",
    "observed",
    "perturbation_id",
    "decoded",
)


class WireFormat(Enum):
    """The forms of one message."""

    MSGPACK = "msgpack"
    JSON = "json"
    COMPACT = "compact"
    """MessagePack whose counts are bytes."""

    # Members are singletons: by identity, instead of Enum's hash of the name in Python, which
    # every client of every packet would pay.
    __hash__ = object.__hash__

    @property
    def subprotocol(self) -> str:
        """The WebSocket sub-protocol that asks for this form."""
        return (
            "phantomlink.v2.msgpack"
            if self is WireFormat.COMPACT
            else f"phantomlink.v1.{self.value}"
        )


class HidingForm:
    """A wire format in which a part of every packet is null.

    There is one for each format and what is hidden (`packet_form`), so that frames are found by
    identity, as they are by format.

    Attributes:
        wire_format: of the messages.
        hidden: of `HIDEABLE`.
    """

    __slots__ = ("hidden", "wire_format")

    def __init__(self, wire_format: WireFormat, hidden: frozenset[str]) -> None:
        self.wire_format = wire_format
        self.hidden = hidden


PacketForm: TypeAlias = WireFormat | HidingForm
"""In which form a client has packets: frames of one form are the same for all."""


@cache
def packet_form(wire_format: WireFormat, hidden: frozenset[str]) -> PacketForm:
    """The form of packets of a format, with this hidden."""
    return HidingForm(wire_format, hidden) if hidden else wire_format


class Frame(Struct, eq=False, gc=False):
    """A whole WebSocket frame of one packet, the same for every client.

    Server frames are not masked (RFC 6455, 5.1), so one frame serves every client. After
    `stamp` it never changes and may be held by queues.
    """

    buffer: bytearray
    _payload_at: int
    _stamp_at: int
    _text: bool

    @classmethod
    def of(cls, payload: bytes, stamp_at: int, *, text: bool) -> Frame:
        """The frame of a message.

        Args:
            payload: the message.
            stamp_at: where in it the timestamp goes.
            text: whether it is text.
        """
        head = frame_head(len(payload), text=text)
        payload_at = len(head)
        return cls(bytearray(head + payload), payload_at, payload_at + stamp_at, text)

    def stamp(self, timestamp: float) -> None:
        """Write in when the packet left the scheduler, Unix s."""
        if self._text:
            raw = (_JSON_TIMESTAMP % timestamp).encode()
            self.buffer[self._stamp_at : self._stamp_at + _JSON_TIMESTAMP_WIDTH] = raw
        else:
            struct.pack_into(">d", self.buffer, self._stamp_at, timestamp)

    @property
    def payload(self) -> bytes:
        """The message without the WebSocket frame, for senders that frame by themselves."""
        return bytes(memoryview(self.buffer)[self._payload_at :])


class PacketEncoder(Protocol):
    """Encodes the packets of one stream in one form."""

    def encode(self, packet: Packet) -> Frame:
        """The packet's frame, its timestamp still to be stamped."""
        ...


class MsgpackEncoder:
    """Packets as MessagePack."""

    def __init__(self, header: StreamHeader) -> None:
        pack = msgpack.Packer().pack
        self._pack: Callable[[Any], bytes] = pack
        # A map of 2 (type, data), then a map of 9: packet_id, sequence_number, timestamp, spikes,
        # kinematics and those after; at most 15 keys, so the length is in the map's first byte.
        self._head = (
            b"\x82" + pack("type") + pack("data") + pack("data") + b"\x89" + pack("packet_id")
        )
        self._sequence_key = pack("sequence_number")
        self._timestamp_key = pack("timestamp") + b"\xcb"
        # Up to here from the timestamp on: 8 bytes that are stamped, then what never changes.
        self._until_counts = (
            bytes(8)
            + pack("spikes")
            + b"\x83"
            + pack("channel_ids")
            + pack(header.channel_ids)
            + pack("spike_counts")
        )
        self._counts_head = msgpack.Packer().pack_array_header(header.n_channels)
        self._after_counts = (
            pack("bin_size_ms") + pack(header.bin_size_ms) + pack("kinematics") + b"\x84"
        )
        self._vx, self._vy, self._x, self._y = (pack(name) for name in ("vx", "vy", "x", "y"))
        self._intention = pack("intention") + b"\x85"
        self._target_id, self._reach_id = pack("target_id"), pack("reach_id")
        self._target_x, self._target_y = pack("target_x"), pack("target_y")
        self._distance = pack("distance_to_target")
        self._trial_id, self._trial_time = pack("trial_id"), pack("trial_time_ms")
        self._loop = pack("loop")
        # With up to three members more at the end: not observed, the perturbation's, decoded.
        self._heads = tuple(self._head.replace(b"\x89", bytes((0x89 + n,))) for n in range(4))
        self._not_observed = pack("observed") + pack(False)
        self._perturbation_id = pack("perturbation_id")
        self._decoded = pack("decoded")

    def encode(self, packet: Packet) -> Frame:
        """The packet's frame, its timestamp still to be stamped."""
        # Written out, without dicts in between: this is half of what building a packet costs.
        pack = self._pack
        intention = packet.intention
        perturbed = packet.perturbation_id is not None
        decoded = packet.decoded
        before = b"".join(
            (
                self._heads[perturbed + (not packet.observed) + (decoded is not None)],
                pack(packet.packet_id),
                self._sequence_key,
                pack(packet.sequence_number),
                self._timestamp_key,
            )
        )
        payload = b"".join(
            (
                before,
                self._until_counts,
                self._counts_head,
                self._pack_counts(packet.spike_counts),
                self._after_counts,
                self._vx,
                pack(packet.vx),
                self._vy,
                pack(packet.vy),
                self._x,
                pack(packet.x),
                self._y,
                pack(packet.y),
                self._intention,
                self._target_id,
                pack(intention.target_id),
                self._target_x,
                pack(intention.target_x),
                self._target_y,
                pack(intention.target_y),
                self._distance,
                pack(intention.distance_to_target),
                self._reach_id,
                pack(intention.reach_id),
                self._trial_id,
                pack(packet.trial_id),
                self._trial_time,
                pack(packet.trial_time_ms),
                self._loop,
                pack(packet.loop),
            )
        )
        if not packet.observed:
            payload += self._not_observed
        if perturbed:
            payload += self._perturbation_id + pack(packet.perturbation_id)
        if decoded is not None:
            payload += self._decoded + pack(decoded_data(decoded))
        return Frame.of(payload, len(before), text=False)

    def _pack_counts(self, counts: NDArray[np.uint16]) -> bytes:
        """The members of the array of counts."""
        if counts.dtype == _LITTLE_ENDIAN:
            # Integers below 128 are their own byte in MessagePack. Looked at as bytes: numpy's
            # `max` and `astype` took a third of the time of all that is encoded here.
            raw = counts.tobytes()
            low, high = raw[::2], raw[1::2]
            if low.isascii() and not high.strip(b"\0"):
                return low
        return self._pack(counts.tolist())[len(self._counts_head) :]


class CompactEncoder(MsgpackEncoder):
    """Packets as MessagePack whose counts are bytes, one or two a unit."""

    def __init__(self, header: StreamHeader) -> None:
        super().__init__(header)
        pack = self._pack
        self._until_counts = bytes(8) + pack("spikes") + b"\x83" + pack("counts")
        self._counts_head = b""
        self._byte_head, self._word_head = (
            packed[: len(packed) - n]
            for n in (header.n_channels, 2 * header.n_channels)
            for packed in (pack(bytes(n)),)
        )
        self._byte_dtype, self._word_dtype = (pack("dtype") + pack(d) for d in ("u1", "<u2"))

    def _pack_counts(self, counts: NDArray[np.uint16]) -> bytes:
        """The counts, and the member that says how wide they are."""
        raw = counts.astype(_LITTLE_ENDIAN, copy=False).tobytes()
        if raw[1::2].strip(b"\0"):
            return self._word_head + raw + self._word_dtype
        return self._byte_head + raw[::2] + self._byte_dtype


class JsonEncoder:
    """Packets as JSON text."""

    def __init__(self, header: StreamHeader) -> None:
        self._header = header
        self._before_counts = (
            ',"spikes":{"channel_ids":' + _json(header.channel_ids) + ',"spike_counts":'
        )
        self._after_counts = ',"bin_size_ms":' + _json(header.bin_size_ms) + "},"

    def encode(self, packet: Packet) -> Frame:
        """The packet's frame, its timestamp still to be stamped."""
        data = packet_data(packet, self._header, 0.0)
        before = (
            f'{{"type":"data","data":{{"packet_id":{data["packet_id"]},'
            f'"sequence_number":{data["sequence_number"]},"timestamp":'
        )
        text = "".join(
            (
                before,
                "0" * _JSON_TIMESTAMP_WIDTH,
                self._before_counts,
                _json(data["spikes"]["spike_counts"]),
                self._after_counts,
                _json({key: data[key] for key in _AFTER_SPIKES if key in data})[1:],
                "}",
            )
        )
        return Frame.of(text.encode(), len(before), text=True)


_ENCODERS: dict[WireFormat, Callable[[StreamHeader], PacketEncoder]] = {
    WireFormat.MSGPACK: MsgpackEncoder,
    WireFormat.JSON: JsonEncoder,
    WireFormat.COMPACT: CompactEncoder,
}


class HidingEncoder:
    """Packets in another form, with a part of them null."""

    def __init__(self, form: HidingForm, header: StreamHeader) -> None:
        self._encoder = _ENCODERS[form.wire_format](header)
        self._hidden = form.hidden

    def encode(self, packet: Packet) -> Frame:
        """The packet's frame, its timestamp still to be stamped."""
        return self._encoder.encode(without(packet, self._hidden))


def packet_encoder(form: PacketForm, header: StreamHeader) -> PacketEncoder:
    """The encoder of a stream's packets in one form."""
    if isinstance(form, HidingForm):
        return HidingEncoder(form, header)
    return _ENCODERS[form](header)


def encode_message(message: dict[str, Any], wire_format: WireFormat) -> bytes | str:
    """A message that is not a packet: bytes for a binary message, str for a text one."""
    if wire_format is WireFormat.JSON:
        return _json(message)
    packed: bytes = msgpack.packb(message)
    return packed


def frame_message(message: bytes | str) -> bytes:
    """A whole unmasked WebSocket frame around one message."""
    if isinstance(message, str):
        payload = message.encode()
        return frame_head(len(payload), text=True) + payload
    return frame_head(len(message), text=False) + message


def close_frame(code: int) -> bytes:
    """An unmasked close frame without a text."""
    return struct.pack(">BBH", _CLOSE_HEAD, 2, code)


def frame_head(length: int, *, text: bool) -> bytes:
    """Head of an unmasked, unfragmented WebSocket frame (RFC 6455, 5.2)."""
    first = _TEXT_HEAD if text else _BINARY_HEAD
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return struct.pack(">BBH", first, 126, length)
    return struct.pack(">BBQ", first, 127, length)


def _json(value: Any) -> str:
    # NaN is not JSON: a value that should have been None must not reach a client.
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
