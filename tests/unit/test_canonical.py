"""The canonical form of a payload: RFC 8785, whichever way the packet came."""

import json
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from phantomlink.wire.canonical import PayloadEncoder, canonical_json, canonical_payload
from phantomlink.wire.encoder import WireFormat, packet_encoder
from phantomlink.wire.packet import StreamHeader
from tests.unit.test_encoder import packets

# Appendix B of RFC 8785: the bits of a double, and how it is written.
NUMBERS = [
    ("0000000000000000", "0"), ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"), ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"), ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"), ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"), ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"), ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"), ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"), ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"), ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"), ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"), ("43143ff3c1cb0959", "1424953923781206.2"),
]  # fmt: skip


@pytest.mark.parametrize(("bits", "written"), NUMBERS)
def test_numbers_are_written_as_the_standard_does(bits, written):
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(value) == written


def test_an_example():
    value = {"b": [3, 2.50, 25.0, None, True, False], "a": {"é": '\n\x1f"\\/€', "B": []}}
    assert canonical_json(value) == (
        '{"a":{"B":[],"é":"\\n\\u001f\\"\\\\/€"},"b":[3,2.5,25,null,true,false]}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, float("nan")]])
def test_what_is_not_json_is_an_error(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_as_they_were(value):
    assert float(json.loads(canonical_json(value))) == value


@given(packets(), st.sampled_from([None, "3f9a1c2b4d5e"]))
def test_a_payload_is_the_same_whichever_form_the_packet_came_in(packet, perturbation_id):
    packet = replace(packet, perturbation_id=perturbation_id)
    header = StreamHeader(len(packet.spike_counts), 25.0)
    payloads = set()
    for wire_format, decode in (
        (WireFormat.MSGPACK, msgpack.unpackb),
        (WireFormat.JSON, json.loads),
    ):
        frame = packet_encoder(wire_format, header).encode(packet)
        frame.stamp(1_700_000_000.0 + len(payloads))
        data = decode(frame.payload)["data"]
        payloads.add(canonical_payload(data | {"sequence_number": len(payloads)}))
    (payload,) = payloads
    assert PayloadEncoder(header).encode(packet) == payload
    said = json.loads(payload)
    assert payload.endswith(b"}\n")
    assert not {"timestamp", "sequence_number"} & set(said)
    assert said["packet_id"] == packet.packet_id
    assert said["spikes"]["spike_counts"] == packet.spike_counts.tolist()
    assert said.get("perturbation_id") == perturbation_id


def test_the_bytes_of_a_payload():
    data = {
        "packet_id": 4, "sequence_number": 9, "timestamp": 1.5,
        "spikes": {"channel_ids": [0, 1], "spike_counts": [2, 0], "bin_size_ms": 25.0},
        "kinematics": {"vx": -0.0, "vy": 0.1, "x": 1e-7, "y": None}, "loop": 1,
    }  # fmt: skip
    assert canonical_payload(data) == (
        b'{"kinematics":{"vx":0,"vy":0.1,"x":1e-7,"y":null},"loop":1,"packet_id":4,'
        b'"spikes":{"bin_size_ms":25,"channel_ids":[0,1],"spike_counts":[2,0]}}\n'
    )
    assert np.frombuffer(canonical_payload({}), "u1").tolist() == [123, 125, 10]
