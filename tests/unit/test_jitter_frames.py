"""The receiver's reading of frames, against msgpack and the server's own encoder."""

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.inputs.messages import parse_message
from phantomlink.inputs.small_frames import SmallFrameReader
from phantomlink.wire.encoder import MsgpackEncoder, frame_message
from phantomlink.wire.packet import NO_INTENTION, Packet, StreamHeader
from tools.bench.harness.frames import (
    PONG,
    FrameError,
    masked_frame,
    packet_fields,
    parse_frame,
    prediction_frame,
)

BINARY = 2
NUMBERS = st.integers(0, 2**32 - 1)


def packet(packet_id: int, sequence_number: int, n_units: int = 142) -> bytes:
    encoder = MsgpackEncoder(StreamHeader(n_units, 25.0))
    counts = np.zeros(n_units, dtype=np.uint16)
    frame = encoder.encode(
        Packet(
            packet_id, sequence_number, 0, counts, None, None, 1.5, 2.5, NO_INTENTION, None, None
        )
    )
    frame.stamp(1767225600.025)
    return frame.payload


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_frame_is_read_once_it_is_whole(length: int) -> None:
    frame = frame_message(bytes(length))
    padded = bytearray(b"xyz" + frame + b"next")
    begin, end = 3, 3 + len(frame)
    assert parse_frame(padded, begin, end) == (BINARY, end - length, end)
    for cut in {begin, begin + 1, begin + 2, begin + 3, end - 1} - {end}:
        assert parse_frame(padded, begin, min(cut, end - 1)) is None


@pytest.mark.parametrize("head", [b"\x02\x00", b"\x80\x80", b"\x82\x85"])
def test_fragments_and_masked_frames_are_refused(head: bytes) -> None:
    with pytest.raises(FrameError, match="whole unmasked"):
        parse_frame(head + bytes(9), 0, len(head) + 9)


def test_a_control_frame_of_a_client_is_masked() -> None:
    frame = masked_frame(PONG, b"hello")
    assert frame[0] == 0x80 | PONG
    assert frame[1] == 0x80 | 5
    assert frame[6:] == b"hello"


@given(NUMBERS, NUMBERS)
def test_fields_are_those_that_msgpack_reads(packet_id: int, sequence_number: int) -> None:
    payload = packet(packet_id, sequence_number)
    around = b"\x00" * 5 + payload + b"\xff" * 5
    assert packet_fields(around, 5, 5 + len(payload)) == (
        packet_id,
        sequence_number,
        1767225600.025,
    )


def test_the_order_of_keys_does_not_matter() -> None:
    data = {"loop": 0, "timestamp": 2.5, "sequence_number": 300, "packet_id": 70000}
    payload = msgpack.packb({"type": "data", "data": data})
    assert packet_fields(payload, 0, len(payload)) == (70000, 300, 2.5)


def test_other_messages_are_no_packets() -> None:
    snapshot = {"packet_id": 3, "sequence_number": 4, "timestamp": 5.0}
    payload = msgpack.packb({"type": "metadata", "data": snapshot})
    assert packet_fields(payload, 0, len(payload)) is None


@pytest.mark.parametrize("missing", ["packet_id", "sequence_number", "timestamp"])
def test_a_packet_that_lacks_a_number_is_an_error(missing: str) -> None:
    data = {"packet_id": 3, "sequence_number": 4, "timestamp": 5.0}
    del data[missing]
    payload = msgpack.packb({"type": "data", "data": data})
    with pytest.raises(FrameError, match=missing):
        packet_fields(payload, 0, len(payload))


@pytest.mark.parametrize("packet_id", [0, 1234, 2**32 - 1])
def test_a_prediction_is_one_to_the_server(packet_id: int) -> None:
    [message], rest = SmallFrameReader().feed(prediction_frame(packet_id))
    assert rest == b""
    said = parse_message(message.payload, is_text=message.is_text)
    assert said is not None
    assert said.prediction.packet_id == packet_id
    assert said.prediction.values[:2] == (12.25, -4.5)
    assert said.decoder == "measured"
