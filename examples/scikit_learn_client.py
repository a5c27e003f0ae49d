"""A decoder of scikit-learn that answers over its stream's socket and is told how good it is.

pip install 'phantomlink[client]' scikit-learn
python scikit_learn_client.py
"""

import argparse

import numpy as np
from sklearn.linear_model import Ridge

from phantomlink.client import Session, collect, connect

BINS = 8


def windows(counts):
    """Counts of each bin and of the seven before it, newest first: (n, BINS * units)."""
    padded = np.concatenate((np.zeros((BINS - 1, counts.shape[1])), counts))
    return np.hstack([padded[BINS - 1 - k : len(padded) - k] for k in range(BINS)])


def main():
    parser = argparse.ArgumentParser(description="Decode a session with ridge regression.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--training", type=int, default=20, help="trials that are fitted to")
    parser.add_argument("--trials", type=int, default=3, help="trials that are decoded")
    parser.add_argument("--speed", type=float, default=1.0, help="of the session that is decoded")
    args = parser.parse_args()

    data = collect(args.url, trials=range(args.training), speed=10)
    known = np.isfinite(data.Y[:, :2]).all(axis=1)
    decoder = Ridge(alpha=316).fit(windows(data.X)[known], data.Y[known, :2])
    print(f"fitted to {known.sum()} packets of {args.training} trials")

    with Session.create(url=args.url, speed=args.speed) as session:
        # The trials behind those that it was fitted to.
        session.seek(position_seconds=session.trials()[args.training]["start_time"])
        latest = np.zeros((BINS, data.X.shape[1]))
        told = None
        with connect(session=session, decoder="ridge", scores=True) as stream:
            for packet in stream:
                latest = np.vstack((packet.counts, latest[:-1]))
                vx, vy = decoder.predict(latest.reshape(1, -1))[0]
                stream.predict(packet, vx, vy)
                if stream.last_score is not told:
                    told = stream.last_score
                    score = told["decoders"][0]["trials"]["answered"]
                    if "velocity" in score:
                        r2 = score["velocity"]["r2"]["both"]
                        print(f"trial {told['trial_id']}: R2 so far {r2:.3f}, n {score['n']}")
                    if told["trial_id"] >= args.training + args.trials - 1:
                        return


if __name__ == "__main__":
    main()
