"""What the client makes of messages: packets with arrays, gaps, predictions, whole laps."""

import msgpack
import numpy as np
import pytest

from phantomlink.client.collecting import Lap, choose_trials
from phantomlink.client.errors import MessageError, StreamChangedError
from phantomlink.client.gaps import Gaps
from phantomlink.client.receiver import Receiver
from tests.client_messages import metadata, packet, receiving


def test_a_packet_has_arrays_and_none_where_there_is_nothing():
    receiver = receiving()
    assert receiver.info.unit_ids == (7, 8, 9)
    got = receiver.feed(packet(5))
    assert got.counts.tolist() == [0, 2, 300]
    assert got.counts.dtype == np.int32
    np.testing.assert_array_equal(got.velocity, [1, np.nan])
    np.testing.assert_array_equal(got.position, [3, 4.5])
    assert np.isnan(got.target).all()
    assert got.trial_id is None
    assert got.data["packet_id"] == 5


def test_a_packet_has_what_decoders_of_the_server_say_of_it():
    receiver = receiving()
    assert receiver.feed(packet(5)).decoded == {}
    said = {"kf": {"vx": 1, "vy": -2.5}, "new": {"vx": None, "vy": None}}
    message = msgpack.unpackb(packet(6))
    message["data"]["decoded"] = said
    decoded = receiver.feed(msgpack.packb(message)).decoded
    assert list(decoded) == ["kf", "new"]
    np.testing.assert_array_equal(decoded["kf"], [1, -2.5])
    np.testing.assert_array_equal(decoded["new"], [np.nan, np.nan])


@pytest.mark.parametrize(("dtype", "raw"), [("u1", bytes([0, 2, 255])), ("<u2", b"\0\0\2\0\xff\0")])
def test_compact_packets_give_the_same_arrays(dtype, raw):
    got = receiving().feed(packet(5, spikes={"counts": raw, "dtype": dtype, "bin_size_ms": 25.0}))
    assert got.counts.tolist() == [0, 2, 255]
    assert got.counts.dtype == np.int32


def test_a_packet_says_whether_it_follows_the_one_before():
    receiver = receiving()
    fed = [packet(5), packet(6), packet(8), packet(0, 9, loop=1), packet(1, 10, loop=1)]
    got = [receiver.feed(raw) for raw in fed]
    assert [each.is_next_bin for each in got] == [False, True, False, False, True]
    assert [each.lost_before for each in got] == [0, 0, 1, 0, 0]
    receiver.connected()
    receiver.feed(metadata())
    assert not receiver.feed(packet(2, 11, loop=1)).is_next_bin


def test_messages_of_other_types_are_passed_over_and_scores_kept():
    receiver = receiving()
    assert receiver.feed(msgpack.packb({"type": "of the future"})) is None
    assert receiver.feed(msgpack.packb({"type": "scored", "data": {"trial_id": 3}})) is None
    assert receiver.last_score == {"trial_id": 3}


def test_what_is_no_stream_is_an_error():
    receiver = Receiver()
    receiver.connected()
    with pytest.raises(MessageError, match="not the metadata"):
        receiver.feed(packet(1))
    with pytest.raises(MessageError, match="lacks something"):
        receiver.feed(msgpack.packb({"type": "metadata", "data": {}}))
    for raw in (b"\xc1", "{", "[]", b"\x01"):
        with pytest.raises(MessageError):
            receiving().feed(raw)
    with pytest.raises(MessageError, match="lacks something"):
        receiving().feed(msgpack.packb({"type": "data", "data": {"packet_id": 1}}))


@pytest.mark.parametrize(
    "lacks",
    [
        {"intention": {"target_id": None}},
        {"kinematics": {"vx": 1.0}},
        {"spikes": {"counts": bytes(8), "dtype": "<u8", "bin_size_ms": 25.0}},
        {"spikes": {"counts": b"\0\0\0", "dtype": "<u2", "bin_size_ms": 25.0}},
    ],
)
def test_what_a_packet_lacks_is_said_when_it_comes(lacks):
    with pytest.raises(MessageError, match="lacks something"):
        receiving().feed(packet(5, **lacks))


def test_another_recording_after_a_reconnection_is_an_error():
    receiver = receiving()
    receiver.feed(metadata(frequency_hz=80.0))  # another speed: still the same
    assert receiver.info.frequency_hz == 80.0
    receiver.connected()
    with pytest.raises(StreamChangedError, match=r"'d' \(3 units.* now 'e' \(2 units"):
        receiver.feed(metadata(dataset="e", unit_ids=(1, 2)))


def test_a_prediction_is_as_the_contract_has_it():
    receiver = receiving("kf-a")
    got = receiver.feed(packet(5, 87, loop=2))
    raw = receiver.prediction(got, np.float32(0.5), 2, None, None, None)
    message = msgpack.unpackb(raw)
    assert message["type"] == "prediction"
    data = message["data"]
    assert data.pop("received_at") <= data.pop("sent_at")
    assert data == {
        **{"packet_id": 5, "loop": 2, "sequence_number": 87},
        **{"vx": 0.5, "vy": 2.0, "decoder": "kf-a"},
    }
    raw = receiver.prediction(got, None, None, 1, 2, "other")
    assert msgpack.unpackb(raw)["data"]["decoder"] == "other"


def test_half_a_prediction_is_refused():
    receiver = receiving()
    got = receiver.feed(packet(5))
    for values in ((1, None, None, None), (None, None, None, 1), (None,) * 4, (1, 2, 3, None)):
        with pytest.raises(ValueError, match="takes vx and vy, or x and y"):
            receiver.prediction(got, *values, None)
    with pytest.raises(ValueError, match="decoder: got 'a b'"):
        receiver.prediction(got, 1, 2, None, None, "a b")
    with pytest.raises(ValueError, match="decoder"):
        Receiver("")


# --- gaps


def counted(*numbers):
    gaps = Gaps()
    lost = [gaps.add(number) for number in numbers]
    return lost, (gaps.n_received, gaps.n_lost, gaps.n_gaps, gaps.n_out_of_order, gaps.n_duplicates)


def test_gaps_are_counted_by_sequence_number():
    assert counted(7, 8, 9) == ([0, 0, 0], (3, 0, 0, 0, 0))
    assert counted(7, 10, 11, 13) == ([0, 2, 0, 1], (4, 3, 2, 0, 0))


def test_a_late_packet_is_not_lost_and_one_that_comes_twice_counts_once():
    assert counted(7, 9, 8, 10) == ([0, 1, 0, 0], (4, 0, 1, 1, 0))
    assert counted(7, 8, 8, 9) == ([0, 0, 0, 0], (4, 0, 0, 0, 1))


def test_a_new_connection_may_begin_a_new_playback():
    gaps = Gaps()
    gaps.add(100)
    gaps.reconnected()
    assert gaps.add(0) == 0
    gaps.reconnected()
    assert gaps.add(3) == 2  # the same playback, which went on without us
    assert (gaps.n_lost, gaps.n_duplicates) == (2, 0)


def test_a_long_absence_takes_no_memory():
    gaps = Gaps()
    gaps.add(0)
    assert gaps.add(10**9) == 10**9 - 1
    assert len(gaps._missing) <= 4096


# --- collecting


def lap_of(*fed):
    """How many packets it took until the lap was complete; None when it was not."""
    receiver, lap = receiving(), Lap()
    for n, (packet_id, number, loop) in enumerate(fed, 1):
        if lap.add(receiver.feed(packet(packet_id, number, loop))):
            return n
    return None


def test_a_lap_is_complete_once_it_has_come_round():
    assert lap_of((5, 0, 0), (6, 1, 0), (7, 2, 0), (5, 3, 1)) == 4
    assert lap_of((6, 0, 0), (7, 1, 0), (5, 2, 1)) == 3


def test_a_bin_that_was_lost_is_waited_for():
    assert lap_of((5, 0, 0), (7, 2, 0), (5, 3, 1)) is None
    assert lap_of((5, 0, 0), (7, 2, 0), (5, 3, 1), (6, 4, 1)) == 4
    # The last one is lost: that the first one comes does not mean that there is no more.
    assert lap_of((5, 0, 0), (6, 1, 0), (5, 3, 1), (6, 4, 1)) is None
    assert lap_of((5, 0, 0), (6, 1, 0), (5, 3, 1), (6, 4, 1), (7, 5, 1), (5, 6, 2)) == 6


TRIALS = [
    {"trial_id": k, "target_id": k % 2, "reach_id": None if k == 3 else k % 3} for k in range(6)
]


def test_trials_are_chosen():
    assert choose_trials(TRIALS, 2, None, None) == [0, 1]
    assert choose_trials(TRIALS, None, 1, None) == [1, 3, 5]
    assert choose_trials(TRIALS, None, None, 0) == [0]
    assert choose_trials(TRIALS, iter((5, 1, 5)), 1, None) == [5, 1]


def test_trials_that_are_not_there_are_refused():
    for trials, target in ((7, None), (0, None), ([6], None), ([], None), ([0], 1), (4, 1)):
        with pytest.raises(ValueError, match=r"trials: got .* the recording has [36]"):
            choose_trials(TRIALS, trials, target, None)
