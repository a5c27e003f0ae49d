"""What clients send: small frames are taken out, the rest goes on; messages are parsed."""

from __future__ import annotations

import json
import math
import struct
from itertools import pairwise

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.inputs.messages import MalformedMessageError, parse_message
from phantomlink.inputs.small_frames import SMALL_BYTES, SmallFrameReader

MASK = b"\x01\x7f\x00\xfe"


def frame(payload, first=0x82, mask=MASK):
    """A frame as a client sends it."""
    length = len(payload)
    flag = 0x80 if mask else 0
    if length < 126:
        head = bytes([first, flag | length])
    elif length < 2**16:
        head = bytes([first, flag | 126]) + struct.pack(">H", length)
    else:
        head = bytes([first, flag | 127]) + struct.pack(">Q", length)
    if not mask:
        return head + payload
    return head + mask + bytes(b ^ mask[k % 4] for k, b in enumerate(payload))


def run(chunks, **options):
    """Feed chunks, then the end: messages, and what went on."""
    reader = SmallFrameReader(**options)
    messages, passed = [], b""
    for chunk in (*chunks, b""):
        some, rest = reader.feed(chunk)
        messages += [(message.payload, message.is_text) for message in some]
        passed += rest
    return messages, passed


PING, CLOSE = frame(b"hi", 0x89), frame(struct.pack(">H", 1000), 0x88)
STAYS = {
    "ping": PING,
    "close": CLOSE,
    "larger": frame(bytes(SMALL_BYTES + 1)),
    "much larger": frame(bytes(70_000)),
    "unmasked": frame(b"abc", mask=b""),
    "compressed": frame(b"abc", 0xC2),
    "bad UTF-8": frame(b"\xff\xfe", 0x81),
    "reserved opcode": frame(b"abc", 0x83),
    "fragments": frame(b"a", 0x02) + PING + frame(b"b", 0x00) + frame(b"c", 0x80),
    "a message among fragments": frame(b"a", 0x02) + frame(b"late") + frame(b"c", 0x80),
}


@pytest.mark.parametrize("kind", STAYS)
def test_what_goes_on_goes_on_unchanged(kind):
    assert run([STAYS[kind]]) == ([], STAYS[kind])


def test_small_frames_are_taken_out_in_order():
    texts = frame("häh".encode(), 0x81), frame(b"", 0x82), frame(bytes(SMALL_BYTES))
    messages, passed = run([texts[0] + PING + texts[1] + STAYS["larger"] + texts[2]])
    assert messages == [("häh".encode(), True), (b"", False), (bytes(SMALL_BYTES), False)]
    assert passed == PING + STAYS["larger"]


def test_after_fragments_small_frames_are_taken_out_again():
    messages, passed = run([STAYS["fragments"] + frame(b"next")])
    assert messages == [(b"next", False)]
    assert passed == STAYS["fragments"]


@pytest.mark.parametrize(
    "kind", sorted(set(STAYS) - {"ping", "larger", "much larger", "fragments"})
)
def test_behind_what_breaks_the_protocol_everything_goes_on(kind):
    data = STAYS[kind] + frame(b"late")
    assert run([data]) == ([], data)


@pytest.mark.parametrize(
    "bad", [frame(b"stray", 0x80), frame(bytes(126), 0x89), frame(b"ping", 0x09)]
)
def test_behind_control_and_continuation_frames_that_are_wrong_too(bad):
    data = bad + frame(b"late")
    assert run([data]) == ([], data)


def test_a_text_that_is_split_goes_on():
    whole = frame(b"abcdef", 0x81)
    assert run([whole[:8], whole[8:] + frame(b"next")]) == ([(b"next", False)], whole)


def test_behind_a_close_everything_goes_on():
    behind = frame(b"late") + b"\x82"
    assert run([CLOSE + behind, frame(b"later")]) == ([], CLOSE + behind + frame(b"later"))


def test_a_frame_that_never_comes_whole_goes_on_at_the_end():
    reader = SmallFrameReader()
    whole = frame(b"abcdef")
    assert reader.feed(whole[:9]) == ([], b"")
    assert reader.feed(b"") == ([], whole[:9])


def test_control_frames_go_on_before_a_frame_that_is_split():
    reader = SmallFrameReader()
    whole = frame(b"abcdef")
    assert reader.feed(PING + whole[:3]) == ([], PING)
    messages, passed = reader.feed(whole[3:])
    assert ([message.payload for message in messages], passed) == ([b"abcdef"], b"")


def test_the_limit_may_be_lower():
    assert run([frame(bytes(126)) + frame(bytes(125))], max_bytes=125) == (
        [(bytes(125), False)],
        frame(bytes(126)),
    )


SMALL = st.binary(max_size=300).map(lambda payload: (frame(payload), payload))
GOOD = ("ping", "larger", "much larger", "fragments")
OTHERS = st.sampled_from(GOOD).map(lambda kind: (STAYS[kind], None))


@given(st.lists(SMALL | OTHERS, max_size=12), st.lists(st.integers(0, 2000), max_size=12))
def test_however_the_bytes_are_cut(frames, cuts):
    data = b"".join(bytes_ for bytes_, _ in frames)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    chunks = [data[a:b] for a, b in pairwise(edges)]
    messages, passed = run(chunks)
    assert [payload for payload, _ in messages] == [p for _, p in frames if p is not None]
    assert passed == b"".join(bytes_ for bytes_, payload in frames if payload is None)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_are_lost_or_made_up(chunks):
    """Random bytes: what goes on and what was taken out are all that came."""
    reader = SmallFrameReader()
    taken, passed = 0, 0
    for chunk in (*chunks, b""):
        messages, rest = reader.feed(chunk)
        passed += len(rest)
        for message in messages:
            n = len(message.payload)
            taken += n + 6 + (2 if n > 125 else 0)
    # Lengths may be written longer than they need to be.
    assert passed + taken <= sum(map(len, chunks))


def packed(**data):
    return msgpack.packb({"type": "prediction", "data": data})


def test_a_prediction_in_both_forms():
    data = {"packet_id": 5, "loop": 1, "vx": 1.5, "vy": -2, "decoder": "kf", "sent_at": 3.5}
    for payload, is_text in (
        (packed(**data), False),
        (json.dumps({"type": "prediction", "data": data}).encode(), True),
        (json.dumps({"data": data | {"more": []}, "type": "prediction", "x": 1}).encode(), True),
    ):
        message = parse_message(payload, is_text=is_text)
        prediction = message.prediction
        assert (prediction.packet_id, prediction.loop, prediction.sequence_number) == (5, 1, None)
        assert prediction.values[:2] == (1.5, -2.0)
        assert math.isnan(prediction.values[2])
        assert (message.decoder, message.sent_at, message.received_at) == ("kf", 3.5, None)
        assert prediction.is_finite


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_told_apart_from_absent_ones(value):
    data = {"packet_id": 5, "vx": value, "vy": 1.0}
    for payload, is_text in (
        (packed(**data), False),
        (json.dumps({"type": "prediction", "data": data}).encode(), True),
    ):
        assert not parse_message(payload, is_text=is_text).prediction.is_finite


def test_messages_of_other_types_are_ignored():
    for message in ({"type": "hello", "data": 3}, {"type": 4}, {"a": 1}):
        assert parse_message(msgpack.packb(message), is_text=False) is None
        assert parse_message(json.dumps(message).encode(), is_text=True) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        msgpack.packb([1]),
        msgpack.packb("prediction"),
        msgpack.packb({"type": "prediction"}),
        msgpack.packb({"type": "prediction", "data": []}),
        packed(vx=1.0, vy=2.0),
        packed(packet_id="5", vx=1.0, vy=2.0),
        packed(packet_id=5.5, vx=1.0, vy=2.0),
        packed(packet_id=5),
        packed(packet_id=5, vx=None, vy=None, x=None, y=None),
        packed(packet_id=5, vx="1", vy=2.0),
        packed(packet_id=5, vx=1.0, vy=2.0, decoder="a b"),
        packed(packet_id=5, vx=1.0, vy=2.0, decoder=""),
        packed(packet_id=5, vx=1.0, vy=2.0, loop="x"),
        b"\x91" * 100_000,
        msgpack.packb({1: 2}) + b"more",
    ],
)
def test_what_is_malformed_is_told(payload):
    with pytest.raises(MalformedMessageError):
        parse_message(payload, is_text=False)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '"prediction"', "1" * 5000, "nul"])
def test_text_that_is_malformed_is_told(text):
    with pytest.raises(MalformedMessageError):
        parse_message(text.encode(), is_text=True)


def test_half_a_pair_is_not_finite():
    message = parse_message(packed(packet_id=5, vx=1.0, x=1.0, y=1.0), is_text=False)
    assert not message.prediction.is_finite
