"""Calibrate trial by trial: list the trials, play each one once, keep what a calibration needs.

    pip install websockets msgpack numpy
    python calibrate_by_trial.py --trials 5 --out calibration.npz

Trials are taken so that the places that are reached take turns. `?trial_id=` makes the server
play only the bins of that trial, from its beginning, over and over.
"""

import argparse
import json
import urllib.request
from itertools import zip_longest

import msgpack
import numpy as np
from websockets.sync.client import connect


def call(method, url):
    """A REST call without a body."""
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def take_turns(trials, n):
    """The first n trials, one for each place that is reached, then the next for each."""
    by_place = {}
    for trial in trials:
        by_place.setdefault(trial["reach_id"], []).append(trial)
    rounds = zip_longest(*by_place.values())
    return [trial for each in rounds for trial in each if trial is not None][:n]


def play_once(stream_url, trial_id):
    """Every packet of a trial, in the order of the recording."""
    packets = {}
    with connect(f"{stream_url}?trial_id={trial_id}") as websocket:
        for raw in websocket:
            message = msgpack.unpackb(raw)
            if message["type"] != "data":
                continue
            packet = message["data"]
            if packet["packet_id"] in packets:
                break  # it has begun again
            packets[packet["packet_id"]] = packet
    return [packets[packet_id] for packet_id in sorted(packets)]


def main():
    parser = argparse.ArgumentParser(description="Calibrate trial by trial.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--code", default="calibration", help="session; created when it is new")
    parser.add_argument("--trials", type=int, default=5, help="how many")
    parser.add_argument("--out", default="calibration.npz", help="where to save the calibration")
    args = parser.parse_args()

    answer = call("GET", f"{args.url}/api/trials")
    trials = take_turns(answer["trials"], args.trials)
    print(f"{len(trials)} of {answer['total_trials']} trials")
    stream_url = f"{args.url.replace('http', 'ws', 1)}/stream/binary/{args.code}"

    counts, of_trial = [], []
    for trial in trials:
        packets = play_once(stream_url, trial["trial_id"])
        spikes = np.array([packet["spikes"]["spike_counts"] for packet in packets])
        speeds = [
            np.hypot(packet["kinematics"]["vx"], packet["kinematics"]["vy"])
            for packet in packets
            if packet["kinematics"]["vx"] is not None and packet["kinematics"]["vy"] is not None
        ]
        counts.append(spikes)
        of_trial += [trial["trial_id"]] * len(packets)
        peak = f"{max(speeds):.0f}" if speeds else "unknown"
        print(
            f"trial {trial['trial_id']}: reach {trial['reach_id']}, {len(packets)} packets, "
            f"{spikes.sum()} spikes, peak speed {peak}"
        )
    call("DELETE", f"{args.url}/api/sessions/{args.code}")

    # What a decoder needs to bring every unit to the same scale.
    every = np.concatenate(counts)
    np.savez(
        args.out,
        counts=every,
        trial_id=np.array(of_trial),
        mean=every.mean(axis=0),
        std=every.std(axis=0),
    )
    silent = int((every.sum(axis=0) == 0).sum())
    print(
        f"saved {args.out}: mean and spread of {every.shape[1]} channels, {silent} of them silent"
    )


if __name__ == "__main__":
    main()
