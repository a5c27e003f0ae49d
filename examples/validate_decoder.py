"""Run a decoder on the live stream, packet by packet, and compare it with the ground truth.

    pip install websockets msgpack numpy
    python validate_decoder.py decoder.npz --packets 800

The decoder is the one that fit_ridge_decoder.py saves. It starts behind the packets that it was
fitted to. Latency is from when a packet left the server's scheduler to when it is decoded here;
it means something where both use the same clock: on one machine.
"""

import argparse
import json
import time
import urllib.request
from collections import deque

import msgpack
import numpy as np
from websockets.sync.client import connect


class Decoder:
    """Velocity from the spike counts of the last bins."""

    def __init__(self, path):
        with np.load(path) as data:
            self.weights, self.offsets = data["weights"], data["offsets"]
            self.smoothing = data["smoothing"]
            self.bin_size_ms = float(data["bin_size_ms"])
            self.first_unseen_packet = int(data["first_unseen_packet"])
        self.recent = deque(maxlen=len(self.smoothing))  # counts, newest first
        self.last_packet_id = None

    def decode(self, packet):
        """(2,) vx and vy, in the recording's units."""
        if self.last_packet_id is not None and packet["packet_id"] != self.last_packet_id + 1:
            self.recent.clear()  # lost packets, a seek, a loop: the past is not this packet's
        self.last_packet_id = packet["packet_id"]
        self.recent.appendleft(np.array(packet["spikes"]["spike_counts"], dtype=float))
        smoothed = self.smoothing[: len(self.recent)] @ np.array(self.recent)
        return smoothed @ self.weights + self.offsets


def call(method, url, body):
    """A REST call: JSON in, JSON out."""
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(url, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def r_squared(true, predicted):
    """Share of the variance that is explained, for vx and vy."""
    left = ((true - predicted) ** 2).sum(axis=0)
    return 1 - left / ((true - true.mean(axis=0)) ** 2).sum(axis=0)


def main():
    parser = argparse.ArgumentParser(description="Compare a decoder with the ground truth, live.")
    parser.add_argument("decoder", help="made by fit_ridge_decoder.py")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--code", default="validation", help="session; created when it is new")
    parser.add_argument("--packets", type=int, default=800, help="how many to decode")
    args = parser.parse_args()

    decoder = Decoder(args.decoder)
    call("POST", f"{args.url}/api/sessions/create", {"custom_code": args.code})
    # A seek before anybody listens holds until somebody does.
    seek_url = f"{args.url}/api/control/{args.code}/seek"
    call("POST", seek_url, {"packet_id": decoder.first_unseen_packet})

    true, predicted, latency_ms, decoding_us = [], [], [], []
    n_packets = 0
    with connect(f"{args.url.replace('http', 'ws', 1)}/stream/binary/{args.code}") as websocket:
        stream = msgpack.unpackb(websocket.recv())["data"]
        if stream["bin_size_ms"] != decoder.bin_size_ms:
            raise SystemExit(
                f"the stream has bins of {stream['bin_size_ms']} ms, "
                f"the decoder is for bins of {decoder.bin_size_ms} ms"
            )
        for raw in websocket:
            message = msgpack.unpackb(raw)
            if message["type"] != "data":
                continue
            packet = message["data"]
            if n_packets == 0:
                print(f"the first packet is {packet['packet_id']}")
            start = time.perf_counter()
            velocity = decoder.decode(packet)
            decoding_us.append((time.perf_counter() - start) * 1e6)
            latency_ms.append((time.time() - packet["timestamp"]) * 1e3)
            vx, vy = packet["kinematics"]["vx"], packet["kinematics"]["vy"]
            if vx is not None and vy is not None:  # between trials there is no ground truth
                true.append((vx, vy))
                predicted.append(velocity)
            n_packets += 1
            if n_packets == args.packets:
                break

    if len(true) < 2:
        raise SystemExit(f"only {len(true)} of {n_packets} packets have a velocity: no score")
    r2 = r_squared(np.array(true), np.array(predicted))
    print(f"decoded {n_packets} packets, {len(true)} of them with a velocity to compare with")
    print(f"R2: vx {r2[0]:.3f}  vy {r2[1]:.3f}")
    p50, p99 = np.percentile(latency_ms, (50, 99))
    print(f"latency to the decoded velocity: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print(f"of which decoding: p50 {np.median(decoding_us):.0f} us")


if __name__ == "__main__":
    main()
