"""See what perturbations do to counts, and to a decoder that was trained on clean ones.

    pip install 'phantomlink[plot]'
    python perturbations.py
    python perturbations.py --recording data/mc_maze.nwb --plots .

No server is needed: the recording is played in this script, as fast as it will go. A ridge
decoder of hand velocity is fitted to clean packets around the movements of three trials of four;
the table says what share of the variance of the others it explains (R2) when these come clean,
and when they come through each preset, over several seeds. --plots also draws counts and decoded
velocity into PNG files.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trio

from phantomlink.playback_engine import PlaybackEngine

PRESETS = ("light", "moderate", "intense", "extreme")
AROUND_ONSET_MS = (-250, 450)
LAG_MS, WIDTH_MS, WINDOW_MS = 100.0, 75.0, 300.0
STRENGTH = 30.0


class Played(NamedTuple):
    """All packets of a recording."""

    counts: np.ndarray  # (n, units)
    velocity: np.ndarray  # (n, 2); NaN where there is none
    trials: np.ndarray  # (n,) of each packet; -1 outside trials
    near: np.ndarray  # (n,) whether it is near the movement of its trial
    bin_size_ms: float


async def play(recording, perturbation=None, seed=0):
    """Play a recording as fast as it will go; keep what decoding needs."""
    counts, velocity, trials, near = [], [], [], []
    async with PlaybackEngine(
        recording, perturbation=perturbation, seed=seed, speed=None
    ) as engine:
        onset_ms = [onset_of(trial) for trial in engine.bins.trials]
        async for packet in engine:
            counts.append(packet.spike_counts)
            velocity.append((packet.vx, packet.vy))
            trials.append(-1 if packet.trial_id is None else packet.trial_id)
            near.append(is_near(packet, onset_ms))
        return Played(
            np.array(counts),
            np.array(velocity, dtype=float),
            np.array(trials),
            np.array(near),
            engine.bins.grid.bin_size_ms,
        )


def onset_of(trial):
    """When the movement begins, ms from the start of the trial; None where that is not known."""
    seconds = trial.columns.get("move_onset_time")
    # Rounded as trial_time_ms is: a bin may begin at the very edge of what is chosen.
    return None if seconds is None else round((seconds - trial.start_time) * 1000, 3)


def is_near(packet, onset_ms):
    """Whether the subject is reaching; without onsets in the recording, whether it is a trial."""
    if packet.trial_id is None:
        return False
    onset = onset_ms[packet.trial_id]
    before, after = AROUND_ONSET_MS
    return onset is None or before <= packet.trial_time_ms - onset < after


def smooth(counts, bin_size_ms):
    """Counts smoothed over the bins before: motor cortex leads the hand."""
    back_ms = np.arange(0.0, WINDOW_MS, bin_size_ms)
    weights = np.exp(-0.5 * ((back_ms - LAG_MS) / WIDTH_MS) ** 2)
    smoothed = np.zeros(counts.shape)
    for back, weight in enumerate(weights / weights.sum()):
        smoothed[back:] += weight * counts[: len(counts) - back]
    return smoothed


def fit(inputs, outputs):
    """Ridge regression; answers (units, 2) weights and (2,) offsets."""
    mean_in, mean_out = inputs.mean(axis=0), outputs.mean(axis=0)
    centred = inputs - mean_in
    covariance = centred.T @ centred + STRENGTH * np.eye(inputs.shape[1])
    weights = np.linalg.solve(covariance, centred.T @ (outputs - mean_out))
    return weights, mean_out - mean_in @ weights


def r_squared(true, predicted):
    """Share of the variance of vx and vy together that is explained; below 0: none at all."""
    return 1 - ((true - predicted) ** 2).sum() / ((true - true.mean(axis=0)) ** 2).sum()


def load_pyplot():
    """Only where pictures are wanted; they go into files, with or without a screen."""
    import matplotlib  # noqa: PLC0415

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    return pyplot


def plot_counts(path, counts, bin_size_ms):
    """The same five seconds of the same units, clean and perturbed."""
    pyplot = load_pyplot()
    rows = slice(400, 400 + int(5000 / bin_size_ms))
    figure, axes = pyplot.subplots(
        len(counts), 1, figsize=(8, 6.5), sharex=True, sharey=True, layout="constrained"
    )
    for panel, (name, table) in zip(axes, counts.items(), strict=True):
        seen = panel.imshow(
            table[rows, :48].T,
            aspect="auto",
            interpolation="nearest",
            cmap="magma_r",
            vmin=0,
            vmax=5,
            extent=(0, 5, 48, 0),
        )
        panel.set_ylabel(name)
        panel.set_yticks([])
    axes[-1].set_xlabel("seconds; a row is a unit")
    figure.colorbar(seen, ax=axes, label="spikes in a bin", shrink=0.5)
    save(figure, path)


def plot_decoding(path, scores, true, predicted):
    """R2 by preset, and a stretch of velocity as it was and as it was decoded."""
    pyplot = load_pyplot()
    figure, (bars, trace) = pyplot.subplots(
        1, 2, figsize=(10, 3.5), width_ratios=(1, 1), layout="constrained"
    )
    names = list(scores)
    means = [np.mean(scores[name]) for name in names]
    stds = [np.std(scores[name]) for name in names]
    bars.bar(names, means, yerr=stds, color="tab:blue")
    for place, mean in enumerate(means):
        bars.annotate(f"{mean:.2f}", (place, max(mean, 0) + 0.02), ha="center")
    bars.axhline(0, color="black", linewidth=0.8)
    bars.set_ylim(-1, 1)  # below 0 it matters little how far
    bars.set_ylabel("R2 of velocity, held-out trials")
    trace.plot(true, color="black", label="true")
    for name, velocity in predicted.items():
        trace.plot(velocity, linewidth=1, label=name)
    trace.set_xlabel("packets around movement, trial after trial")
    trace.set_ylabel("vx")
    trace.legend(loc="upper right", fontsize="small")
    save(figure, path)


def save(figure, path):
    figure.savefig(path, dpi=80, pil_kwargs={"optimize": True})
    print(f"saved {path}")


async def run(args):
    clean = await play(args.recording)
    velocity, bin_size_ms = clean.velocity, clean.bin_size_ms
    inputs = smooth(clean.counts, bin_size_ms)
    chosen = clean.near & ~np.isnan(velocity).any(axis=1)
    held_out = chosen & np.isin(clean.trials, np.unique(clean.trials[chosen])[2::4])
    fitted = chosen & ~held_out
    weights, offsets = fit(inputs[fitted], velocity[fitted])

    counts, decoded = {"clean": clean.counts}, {"clean": inputs @ weights + offsets}
    scores = {"clean": [r_squared(velocity[held_out], decoded["clean"][held_out])]}
    for preset in PRESETS:
        scores[preset] = []
        for seed in range(args.seeds):
            perturbed = await play(args.recording, preset, seed)
            predicted = smooth(perturbed.counts, bin_size_ms) @ weights + offsets
            scores[preset].append(r_squared(velocity[held_out], predicted[held_out]))
            counts.setdefault(preset, perturbed.counts)
            decoded.setdefault(preset, predicted)

    print(f"{'':10}{'spikes a bin':>14}{'R2, mean':>12}{'std':>8}   ({args.seeds} seeds)")
    for name, values in scores.items():
        spikes = counts[name].sum(axis=1).mean()
        print(f"{name:10}{spikes:14.1f}{np.mean(values):12.3f}{np.std(values):8.3f}")

    if args.plots is not None:
        args.plots.mkdir(parents=True, exist_ok=True)
        plot_counts(args.plots / "perturbed-counts.png", counts, bin_size_ms)
        rows = np.flatnonzero(held_out)[:140]
        plot_decoding(
            args.plots / "perturbed-decoding.png",
            scores,
            velocity[rows, 0],
            {name: decoded[name][rows, 0] for name in ("clean", "light", "intense")},
        )


def main():
    parser = argparse.ArgumentParser(description="What perturbations do to a decoder.")
    parser.add_argument("--recording", help="an NWB file (default: the synthetic recording)")
    parser.add_argument("--seeds", type=int, default=10, help="of each preset")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="where to save pictures")
    trio.run(run, parser.parse_args())


if __name__ == "__main__":
    main()
