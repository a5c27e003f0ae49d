"""A Kalman filter that answers over its stream's socket and is told how good it is.

    pip install websockets msgpack numpy
    python kalman_client.py

It plays the recording ten times faster than it was recorded, fits itself to three trials of four,
then decodes the others live.
"""

import argparse
import json
import urllib.request

import msgpack
import numpy as np
from websockets.sync.client import connect

BINS, LAG = 4, 2  # counts are summed over 4 bins; the hand follows them by 2


def create(url, code, speed):
    body = json.dumps({"custom_code": code, "speed": speed, "lsl": False}).encode()
    request = urllib.request.Request(
        f"{url}/api/sessions/create", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["stream_url"]


def summed(counts):
    """Counts of the bins that tell of the last one's velocity."""
    return np.sum(counts[-LAG - BINS : -LAG or None], axis=0)


def fit(velocity, z, follows):
    """Least squares: x = A x before + noise W, z = H x + d + noise Q; then the steady gain."""
    now = np.flatnonzero(follows)
    A = np.linalg.lstsq(velocity[now - 1], velocity[now], rcond=None)[0].T
    W = np.cov((velocity[now] - velocity[now - 1] @ A.T).T)
    fitted = np.linalg.lstsq(np.column_stack((velocity, np.ones(len(z)))), z, rcond=None)[0]
    H, d = fitted[:2].T, fitted[2]
    Q = np.cov((z - velocity @ H.T - d).T) + 1e-6 * np.eye(len(d))
    HQ = np.linalg.solve(Q, H).T
    P = W
    for _ in range(1000):
        P = np.linalg.inv(np.linalg.inv(A @ P @ A.T + W) + HQ @ H)
    return A, H, d, P @ HQ


def collect(stream_url):
    """The recording once: counts, velocities and trials by bin."""
    with connect(f"{stream_url}?format=msgpack") as websocket:
        n = msgpack.unpackb(websocket.recv())["data"]["total_packets"]
        played = []
        while not played or played[-1]["loop"] == 0:
            message = msgpack.unpackb(websocket.recv())
            if message["type"] == "data":
                played.append(message["data"])
    counts = np.zeros((n, len(played[0]["spikes"]["spike_counts"])))
    velocity, trials = np.full((n, 2), np.nan), np.full(n, -1)
    for packet in played[:-1]:
        k, kinematics = packet["packet_id"], packet["kinematics"]
        counts[k] = packet["spikes"]["spike_counts"]
        if packet["trial_id"] is not None and kinematics["vx"] is not None:
            velocity[k], trials[k] = (kinematics["vx"], kinematics["vy"]), packet["trial_id"]
    return counts, velocity, trials


def main():
    parser = argparse.ArgumentParser(description="Decode a session with a Kalman filter.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--speed", type=float, default=1.0, help="of the session that is decoded")
    parser.add_argument("--trials", type=int, default=5, help="stop after so many decoded trials")
    args = parser.parse_args()

    all_counts, velocity, trials = collect(create(args.url, "kalman-training", 10))
    z = np.array([summed(all_counts[: k + 1]) for k in range(len(all_counts))])
    used = (trials >= 0) & (trials % 4 != 2)
    follows = np.append(False, trials[1:] == trials[:-1])[used]
    A, H, d, gain = fit(velocity[used], z[used], follows)
    print(f"fitted to {used.sum()} packets")

    counts, x, decoded = [], np.zeros(2), 0
    stream_url = create(args.url, "kalman", args.speed)
    with connect(f"{stream_url}?format=msgpack&scores=1") as websocket:
        for raw in websocket:
            message = msgpack.unpackb(raw)
            if message["type"] == "scored":
                score = message["data"]["decoders"][0]
                r2 = score["trials"]["answered"].get("velocity", {}).get("r2", {}).get("both")
                if message["data"]["trial_id"] % 4 == 2 and r2 is not None:
                    decoded += 1
                    print(f"trial {message['data']['trial_id']}: R2 of velocity so far {r2:.3f}")
                if decoded == args.trials:
                    return
            if message["type"] != "data":
                continue
            packet = message["data"]
            counts = [*counts, packet["spikes"]["spike_counts"]][-BINS - LAG :]
            if len(counts) < BINS + LAG:
                continue
            x = A @ x
            x = x + gain @ (summed(counts) - d - H @ x)
            if packet["trial_id"] is not None and packet["trial_id"] % 4 == 2:
                prediction = {
                    "packet_id": packet["packet_id"],
                    "loop": packet["loop"],
                    "vx": float(x[0]),
                    "vy": float(x[1]),
                    "decoder": "kalman",
                }
                websocket.send(msgpack.packb({"type": "prediction", "data": prediction}))


if __name__ == "__main__":
    main()
