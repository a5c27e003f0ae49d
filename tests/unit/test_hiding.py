"""`?hide=`: what is hidden from a client is in no byte that it is sent."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from phantomlink.errors import InvalidParameterError
from phantomlink.outputs.websocket.admission import StreamRequest, admit
from phantomlink.wire.encoder import WireFormat, packet_encoder, packet_form
from phantomlink.wire.packet import HIDEABLE, Intention, Packet, StreamHeader, packet_data, without

HEADER = StreamHeader(3, 25.0)
PACKET = Packet(
    packet_id=7,
    sequence_number=3,
    loop=0,
    spike_counts=np.array([0, 2, 1], np.uint16),
    vx=1.5,
    vy=-2.0,
    x=30.0,
    y=4.0,
    intention=Intention(1, 10.0, 20.0, 25.6, 4),
    trial_id=5,
    trial_time_ms=412.5,
)
OTHER = {
    "kinematics": {
        "vx": 9.0,
        "vy": 8.0,
        "x": None,
        "y": 6.0,
        "intention": replace(PACKET.intention, distance_to_target=3.25),
    },
    "intention": {"intention": Intention()},
    "trial": {"trial_id": None, "trial_time_ms": 2.5},
}


@pytest.mark.parametrize("wire_format", WireFormat)
@pytest.mark.parametrize("hidden", [(name,) for name in HIDEABLE] + [HIDEABLE])
def test_packets_that_differ_in_what_is_hidden_are_the_same_bytes(wire_format, hidden):
    changed = PACKET
    for name in hidden:
        changed = replace(changed, **OTHER[name])
    encoder = packet_encoder(packet_form(wire_format, frozenset(hidden)), HEADER)
    shown = packet_encoder(wire_format, HEADER)
    assert encoder.encode(PACKET).payload == encoder.encode(changed).payload
    assert shown.encode(PACKET).payload != shown.encode(changed).payload


def test_what_is_hidden_is_null_and_nothing_else():
    data = packet_data(without(PACKET, frozenset(HIDEABLE)), HEADER, 1.0)
    assert set(data["kinematics"].values()) == set(data["intention"].values()) == {None}
    assert (data["trial_id"], data["trial_time_ms"]) == (None, None)
    assert (data["packet_id"], data["sequence_number"], data["loop"]) == (7, 3, 0)
    assert data["spikes"]["spike_counts"] == [0, 2, 1]
    only = packet_data(without(PACKET, frozenset({"kinematics"})), HEADER, 1.0)
    assert only["intention"] == {
        "target_id": 1,
        "target_x": 10.0,
        "target_y": 20.0,
        "distance_to_target": None,
        "reach_id": 4,
    }
    assert only["trial_id"] == 5


def test_one_form_for_all_that_hide_the_same():
    hidden = frozenset({"trial", "kinematics"})
    form = packet_form(WireFormat.JSON, hidden)
    assert form is packet_form(WireFormat.JSON, frozenset({"kinematics", "trial"}))
    assert packet_form(WireFormat.JSON, frozenset()) is WireFormat.JSON


def test_what_may_be_hidden():
    asked = admit(StreamRequest("/stream/a", "hide=trial,kinematics&format=json"))
    assert asked.hide == {"trial", "kinematics"}
    for query in ("hide=", "hide=spikes", "hide=kinematics,", "hide=trial&hide=kinematics"):
        with pytest.raises(InvalidParameterError, match="hide: got"):
            admit(StreamRequest("/stream/a", query))
    for name in ("trial_id", "target_id", "reach_id"):
        with pytest.raises(InvalidParameterError, match="takes no filter"):
            admit(StreamRequest("/stream/a", f"hide=kinematics&{name}=1"))
