"""Collect packets to train a decoder on: those of one target, or of one place that is reached.

    pip install websockets msgpack numpy
    python collect_training_data.py --target-id 0 --packets 1000 --out training.npz

With a filter the server plays only the bins of the trials that match, back to back, 40 a second.
`target_id` is the trial's active target, an index into that trial's own list of targets;
`reach_id` is a place, the same in every trial.
"""

import argparse

import msgpack
import numpy as np
from websockets.sync.client import connect


def main():
    parser = argparse.ArgumentParser(description="Collect packets to train a decoder on.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--code", default="training", help="session; created when it is new")
    parser.add_argument("--packets", type=int, default=1000, help="how many to collect")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--target-id", type=int, help="only trials with this target (default: 0)")
    which.add_argument("--reach-id", type=int, help="only trials that reach for this place")
    parser.add_argument("--out", default="training.npz", help="where to save them")
    args = parser.parse_args()

    wanted = f"reach_id={args.reach_id}"
    if args.reach_id is None:
        wanted = f"target_id={args.target_id or 0}"
    packets = {}
    url = f"{args.url.replace('http', 'ws', 1)}/stream/binary/{args.code}?{wanted}"
    with connect(url) as websocket:
        stream = msgpack.unpackb(websocket.recv())["data"]
        for raw in websocket:
            message = msgpack.unpackb(raw)
            if message["type"] != "data":
                continue
            packet = message["data"]
            if packet["packet_id"] in packets:
                print(f"the recording has only {len(packets)} packets with {wanted}")
                break
            packets[packet["packet_id"]] = packet
            if len(packets) % 200 == 0:
                print(f"{len(packets)} of {args.packets}")
            if len(packets) == args.packets:
                break

    # In the order of the recording. A null (no kinematics in this bin) becomes NaN.
    rows = [packets[packet_id] for packet_id in sorted(packets)]
    kinematics = [[row["kinematics"][name] for name in ("vx", "vy", "x", "y")] for row in rows]
    np.savez_compressed(
        args.out,
        packet_id=np.array([row["packet_id"] for row in rows]),
        trial_id=np.array([row["trial_id"] for row in rows]),
        counts=np.array([row["spikes"]["spike_counts"] for row in rows], dtype=np.uint16),
        kinematics=np.array(kinematics, dtype=float),
        bin_size_ms=stream["bin_size_ms"],
        total_packets=stream["total_packets"],
    )
    n_trials = len({row["trial_id"] for row in rows})
    print(f"saved {len(rows)} packets of {n_trials} trials with {wanted} in {args.out}")


if __name__ == "__main__":
    main()
