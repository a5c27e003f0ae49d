"""Messages of a stream as a server sends them, made by hand."""

import msgpack

from phantomlink.client.receiver import Receiver


def metadata(dataset="d", unit_ids=(7, 8, 9), **more):
    data = {
        "dataset": dataset,
        "unit_ids": list(unit_ids),
        "channel_ids": list(range(len(unit_ids))),
        "frequency_hz": 40.0,
        "bin_size_ms": 25.0,
        "total_packets": 100,
        "duration_seconds": 2.5,
        "num_trials": 2,
    }
    session = {"code": "a", "url": "ws://lab/stream/a"}
    return msgpack.packb({"type": "metadata", "data": data | more, "session": session})


def packet(packet_id, sequence_number=None, loop=0, **more):
    nothing = dict.fromkeys(("target_id", "target_x", "target_y", "reach_id"))
    data = {
        "packet_id": packet_id,
        "sequence_number": packet_id if sequence_number is None else sequence_number,
        "timestamp": 1.0,
        "spikes": {"channel_ids": [0, 1, 2], "spike_counts": [0, 2, 300]},
        "kinematics": {"vx": 1, "vy": None, "x": 3, "y": 4.5},
        "intention": nothing,
        "trial_id": None,
        "trial_time_ms": None,
        "loop": loop,
    }
    return msgpack.packb({"type": "data", "data": data | more})


def receiving(decoder=None, **first):
    receiver = Receiver(decoder)
    receiver.connected()
    assert receiver.feed(metadata(**first)) is None
    return receiver
