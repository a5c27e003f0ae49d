import json
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from phantomlink.wire.encoder import (
    Frame,
    WireFormat,
    encode_message,
    frame_head,
    frame_message,
    packet_encoder,
)
from phantomlink.wire.packet import Intention, Packet, StreamHeader, distance, packet_data

finite = st.floats(allow_nan=False, allow_infinity=False)
maybe_float = st.none() | finite
maybe_int = st.none() | st.integers(0, 2**31)


@st.composite
def packets(draw):
    counts = draw(st.lists(st.integers(0, 65535), min_size=1, max_size=200))
    return Packet(
        packet_id=draw(st.integers(0, 2**40)),
        sequence_number=draw(st.integers(0, 2**40)),
        loop=draw(st.integers(0, 2**20)),
        spike_counts=np.array(counts, dtype=np.uint16),
        vx=draw(maybe_float), vy=draw(maybe_float), x=draw(maybe_float), y=draw(maybe_float),
        intention=Intention(
            draw(maybe_int), draw(maybe_float), draw(maybe_float), draw(maybe_float),
            draw(maybe_int),
        ),
        trial_id=draw(maybe_int),
        trial_time_ms=draw(maybe_float),
        perturbation_id=draw(st.none() | st.text("0123456789abcdef", min_size=1, max_size=16)),
        observed=draw(st.booleans()),
        decoded=draw(
            st.none()
            | st.dictionaries(st.text("ab-_1", min_size=1), st.tuples(maybe_float, maybe_float))
        ),
    )  # fmt: skip


def payload_of(frame: Frame, head_length: int) -> bytes:
    assert bytes(frame.buffer[head_length:]) == frame.payload
    return frame.payload


@given(packets(), st.integers(0, 4_000_000_000_000_000))
def test_msgpack_frames_are_what_packb_makes_of_the_message(packet, microseconds):
    header = StreamHeader(len(packet.spike_counts), 25.0)
    timestamp = microseconds / 1e6
    frame = packet_encoder(WireFormat.MSGPACK, header).encode(packet)
    frame.stamp(timestamp)
    message = {"type": "data", "data": packet_data(packet, header, timestamp)}
    assert frame.payload == msgpack.packb(message)
    assert bytes(frame.buffer) == frame_message(frame.payload)


@given(packets(), st.integers(0, 4_000_000_000_000_000), st.sampled_from([1, 255, 256, 65535]))
def test_compact_frames_are_what_packb_makes_of_the_message(packet, microseconds, most):
    packet = replace(packet, spike_counts=np.minimum(packet.spike_counts, np.uint16(most)))
    header = StreamHeader(len(packet.spike_counts), 25.0)
    timestamp = microseconds / 1e6
    frame = packet_encoder(WireFormat.COMPACT, header).encode(packet)
    frame.stamp(timestamp)
    data = packet_data(packet, header, timestamp, compact=True)
    assert frame.payload == msgpack.packb({"type": "data", "data": data})
    spikes = data.pop("spikes")
    plain = packet_data(packet, header, timestamp)
    wanted = plain.pop("spikes")
    assert np.frombuffer(spikes["counts"], spikes["dtype"]).tolist() == wanted["spike_counts"]
    assert spikes["bin_size_ms"] == wanted["bin_size_ms"]
    assert spikes["dtype"] == ("<u2" if max(wanted["spike_counts"]) > 255 else "u1")
    assert data == plain


def test_with_many_units_compact_packets_have_two_fifths_of_the_bytes():
    counts = np.arange(1024, dtype=np.uint16) % 7
    packet = Packet(9, 9, 0, counts, 1.5, 2.5, 3.5, 4.5, Intention(0, 3.0, 4.0, 5.0, 2), 5, 1.5)
    plain, compact = (
        len(packet_encoder(form, StreamHeader(1024, 25.0)).encode(packet).payload)
        for form in (WireFormat.MSGPACK, WireFormat.COMPACT)
    )
    assert compact <= 0.4 * plain


def test_counts_in_the_other_byte_order_are_sent_in_the_same():
    header, most = StreamHeader(2, 25.0), [1, 513]
    made = [
        Packet(0, 0, 0, np.array(most, dtype), None, None, None, None, Intention(), None, None)
        for dtype in ("<u2", ">u2")
    ]
    encoder = packet_encoder(WireFormat.COMPACT, header)
    first, second = (encoder.encode(packet).payload for packet in made)
    assert first == second


# From the years before 1970 on: some machines have no clock until they have a network.
@given(packets(), st.integers(-100_000_000_000_000, 4_000_000_000_000_000))
def test_json_frames_say_the_same(packet, microseconds):
    header = StreamHeader(len(packet.spike_counts), 12.5)
    timestamp = microseconds / 1e6
    frame = packet_encoder(WireFormat.JSON, header).encode(packet)
    frame.stamp(timestamp)
    message = json.loads(frame.payload)
    expected = packet_data(packet, header, timestamp)
    assert message["data"].pop("timestamp") == pytest.approx(expected.pop("timestamp"), abs=1e-6)
    assert message == {"type": "data", "data": expected}
    assert bytes(frame.buffer) == frame_message(frame.payload.decode())


def test_golden_bytes():
    packet = Packet(
        packet_id=1234, sequence_number=87, loop=0, spike_counts=np.array([0, 2], np.uint16),
        vx=1.5, vy=None, x=0.25, y=-2.0, intention=Intention(0, 3.0, 4.0, 5.0, 2), trial_id=5,
        trial_time_ms=412.5,
    )  # fmt: skip
    frame = packet_encoder(WireFormat.JSON, StreamHeader(2, 25.0)).encode(packet)
    frame.stamp(1767225600.025)
    assert frame.payload == (
        b'{"type":"data","data":{"packet_id":1234,"sequence_number":87,'
        b'"timestamp":1767225600.025000,'
        b'"spikes":{"channel_ids":[0,1],"spike_counts":[0,2],"bin_size_ms":25.0},'
        b'"kinematics":{"vx":1.5,"vy":null,"x":0.25,"y":-2.0},'
        b'"intention":{"target_id":0,"target_x":3.0,"target_y":4.0,'
        b'"distance_to_target":5.0,"reach_id":2},'
        b'"trial_id":5,"trial_time_ms":412.5,"loop":0}}'
    )
    assert bytes(frame.buffer[:4]) == b"\x81\x7e" + struct.pack(">H", len(frame.payload))


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_frame_heads_at_the_edges_of_their_forms(length, head):
    assert frame_head(length, text=False) == head
    assert frame_head(length, text=True) == b"\x81" + head[1:]


def test_nan_never_reaches_a_json_client():
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_message({"x": float("nan")}, WireFormat.JSON)


def test_messages_in_both_forms():
    message = {"type": "metadata", "data": {"n": [1, None]}}
    assert msgpack.unpackb(encode_message(message, WireFormat.MSGPACK)) == message
    assert json.loads(encode_message(message, WireFormat.JSON)) == message


def test_distance():
    assert distance(0.0, 0.0, 3.0, 4.0) == 5.0
    assert distance(None, 0.0, 3.0, 4.0) is None
    assert distance(0.0, 0.0, 3.0, None) is None
