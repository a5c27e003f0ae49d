"""A Kalman filter that answers over its stream's socket and is told how good it is.

pip install 'phantomlink[client]'
python kalman_client.py

It plays the recording ten times faster than it was recorded, fits itself to three trials of four,
then decodes the others live.
"""

import argparse

import numpy as np

from phantomlink.client import collect, connect

BINS, LAG = 4, 2  # counts are summed over 4 bins; the hand follows them by 2


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


def main():
    parser = argparse.ArgumentParser(description="Decode a session with a Kalman filter.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--speed", type=float, default=1.0, help="of the session that is decoded")
    parser.add_argument("--trials", type=int, default=5, help="stop after so many decoded trials")
    args = parser.parse_args()

    data = collect(args.url, speed=10)
    total = np.cumsum(np.pad(data.X, ((BINS + LAG, 0), (0, 0))), axis=0)
    z = total[BINS:-LAG] - total[: -BINS - LAG]  # of each bin, the counts that tell of it
    used = (data.trial_id >= 0) & (data.trial_id % 4 != 2) & np.isfinite(data.Y).all(axis=1)
    follows = np.append(False, np.diff(data.trial_id) == 0)[used]
    A, H, d, gain = fit(data.Y[used, :2], z[used], follows)
    print(f"fitted to {used.sum()} packets")

    counts, x, told, decoded = np.zeros((BINS + LAG, len(d))), np.zeros(2), None, 0
    with connect(
        args.url, session="kalman", speed=args.speed, decoder="kalman", scores=True
    ) as stream:
        for packet in stream:
            counts = np.vstack((counts[1:], packet.counts))
            x = A @ x
            x = x + gain @ (counts[:BINS].sum(axis=0) - d - H @ x)
            if packet.trial_id is not None and packet.trial_id % 4 == 2:
                stream.predict(packet, *x)
            if stream.last_score is not told:
                told = stream.last_score
                score = told["decoders"][0]["trials"]["answered"]
                if told["trial_id"] % 4 == 2 and "velocity" in score:
                    r2 = score["velocity"]["r2"]["both"]
                    print(f"trial {told['trial_id']}: R2 of velocity so far {r2:.3f}")
                    decoded += 1
                if decoded == args.trials:
                    return


if __name__ == "__main__":
    main()
