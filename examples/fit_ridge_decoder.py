"""Fit a linear decoder of velocity to collected packets, and say how well it does.

    pip install numpy
    python fit_ridge_decoder.py training.npz --out decoder.npz

Each unit's counts are smoothed over the bins before (50 ms wide, 80 ms back: motor cortex leads
the hand), then ridge regression. Every fourth trial is held out for the score; how strong the
ridge must be is found within the others. Needs packets of four trials or more.
"""

import argparse

import numpy as np

LAG_MS, WIDTH_MS, WINDOW_MS = 80.0, 50.0, 200.0
STRENGTHS = 10.0 ** np.arange(0, 4.5, 0.5)


def smoothing_weights(bin_size_ms):
    """Weights of a bin's count and of those before it, newest first."""
    back_ms = np.arange(0.0, WINDOW_MS, bin_size_ms)
    weights = np.exp(-0.5 * ((back_ms - LAG_MS) / WIDTH_MS) ** 2)
    return weights / weights.sum()


def smooth(counts, packet_id, weights):
    """Smoothed counts (n, units). Bins that do not follow each other in time are kept apart."""
    smoothed = np.zeros(counts.shape)
    for back, weight in enumerate(weights):
        now = np.arange(back, len(counts))
        now = now[packet_id[now] - packet_id[now - back] == back]
        smoothed[now] += weight * counts[now - back]
    return smoothed


def fit(inputs, outputs, strength):
    """Ridge regression; answers (units, 2) weights and (2,) offsets."""
    mean_in, mean_out = inputs.mean(axis=0), outputs.mean(axis=0)
    centred = inputs - mean_in
    covariance = centred.T @ centred + strength * np.eye(inputs.shape[1])
    weights = np.linalg.solve(covariance, centred.T @ (outputs - mean_out))
    return weights, mean_out - mean_in @ weights


def r_squared(outputs, predicted):
    """Share of the variance that is explained, for vx and vy."""
    left = ((outputs - predicted) ** 2).sum(axis=0)
    return 1 - left / ((outputs - outputs.mean(axis=0)) ** 2).sum(axis=0)


def predict_left_out(inputs, outputs, groups, strength):
    """Each group predicted by a decoder that was fitted to the other groups."""
    predicted = np.empty_like(outputs)
    for group in np.unique(groups):
        out = groups == group
        weights, offsets = fit(inputs[~out], outputs[~out], strength)
        predicted[out] = inputs[out] @ weights + offsets
    return predicted


def main():
    parser = argparse.ArgumentParser(description="Fit a ridge decoder of velocity.")
    parser.add_argument("training", help="made by collect_training_data.py")
    parser.add_argument("--out", default="decoder.npz", help="where to save the decoder")
    args = parser.parse_args()

    with np.load(args.training) as data:
        counts, packet_id, trial_id = data["counts"], data["packet_id"], data["trial_id"]
        velocity = data["kinematics"][:, :2]
        bin_size_ms, total_packets = float(data["bin_size_ms"]), int(data["total_packets"])
    smoothing = smoothing_weights(bin_size_ms)
    inputs = smooth(counts.astype(float), packet_id, smoothing)
    known = ~np.isnan(velocity).any(axis=1)
    inputs, velocity, trial_id = inputs[known], velocity[known], trial_id[known]

    trials = np.unique(trial_id)
    if len(trials) < 4:
        raise SystemExit(f"got packets of {len(trials)} trials, takes 4 or more: collect more")
    held_out_trials = trials[2::4]
    held_out = np.isin(trial_id, held_out_trials)

    # How strong: what does best when each of the other trials is left out in turn.
    inside, outside, groups = inputs[~held_out], velocity[~held_out], trial_id[~held_out]
    scores = [
        r_squared(outside, predict_left_out(inside, outside, groups, strength)).mean()
        for strength in STRENGTHS
    ]
    strength = STRENGTHS[int(np.argmax(scores))]
    weights, offsets = fit(inside, outside, strength)
    r2 = r_squared(velocity[held_out], inputs[held_out] @ weights + offsets)
    print(f"{len(inputs)} packets of {len(trials)} trials, ridge strength {strength:g}")
    print(f"held-out R2 ({len(held_out_trials)} trials): vx {r2[0]:.3f}  vy {r2[1]:.3f}")

    # The score is known: the decoder that is saved may learn from all trials.
    weights, offsets = fit(inputs, velocity, strength)
    np.savez(
        args.out,
        weights=weights,
        offsets=offsets,
        smoothing=smoothing,
        bin_size_ms=bin_size_ms,
        first_unseen_packet=(packet_id.max() + 1) % total_packets,
    )
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
