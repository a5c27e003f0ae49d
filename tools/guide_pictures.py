"""Draws the pictures of the beginner's guide from the default recording.

    pip install 'phantomlink[plot]'
    python tools/guide_pictures.py [--out docs/images]

The default recording is drawn in this script, the same as `phantomlink serve` makes: no server and
no file are needed. Takes about ten seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from phantomlink.recordings.synthetic import SyntheticRecording, draw_recording

BIN_MS = 25
TRIAL = 4
N_BINS, STRENGTH = 8, 300.0
HAND, SPIKES, DECODED = "black", "tab:blue", "tab:orange"


def counts_of(recording: SyntheticRecording) -> NDArray[np.int64]:
    """(n_bins, n_units) of the whole recording."""
    n_bins = -(-recording.trials[-1].stop_ms // BIN_MS)
    edges = np.arange(n_bins + 1) * BIN_MS / 1000
    return np.array([np.histogram(spikes, edges)[0] for spikes in recording.spikes]).T


def velocity_of(recording: SyntheticRecording, n_bins: int) -> NDArray[np.float64]:
    """(n_bins, 2) mm/s, the mean of each bin; NaN between trials."""
    rows = (recording.kinematics.seconds * 1000 / BIN_MS).astype(int)
    n = np.bincount(rows, minlength=n_bins)[:n_bins]
    sums = [np.bincount(rows, axis, n_bins)[:n_bins] for axis in recording.kinematics.hand_mm_s.T]
    return np.array(sums).T / np.where(n > 0, n, np.nan)[:, None]


def spikes_to_bins(recording: SyntheticRecording) -> Figure:
    """Spikes of some units for half a second, and the counts that they become."""
    onset = recording.trials[TRIAL].move_onset_ms // BIN_MS * BIN_MS / 1000
    start, stop = onset - 0.1, onset + 0.3
    busiest = np.argsort([-np.sum((s >= start) & (s < stop)) for s in recording.spikes])[:8]
    figure = Figure(figsize=(8, 4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
    edges = np.arange(round((stop - start) * 1000 / BIN_MS) + 1) * BIN_MS
    table = []
    for row, unit in enumerate(busiest):
        times = (recording.spikes[unit] - start) * 1000
        times = times[(times >= 0) & (times < edges[-1])]
        above.vlines(times, row + 0.6, row + 1.4, color=SPIKES)
        table.append(np.histogram(times, edges)[0])
    for edge in edges:
        above.axvline(edge, color="lightgrey", linewidth=0.5)
    below.pcolormesh(edges, np.arange(9) + 0.5, table, cmap="Blues", vmax=5)
    for row, counts in enumerate(table):
        for column, count in enumerate(counts):
            below.text(edges[column] + BIN_MS / 2, row + 1, str(count), ha="center", va="center")
    above.set(ylabel="unit", title="Spikes of eight units, and their counts in bins of 25 ms")
    below.set(ylabel="unit", xlabel="ms")
    return figure


def one_trial(recording: SyntheticRecording) -> Figure:
    """The way of the cursor, and the speed of the hand with what happens when."""
    trial, kinematics = recording.trials[TRIAL], recording.kinematics
    rows = slice(*kinematics.first_rows[TRIAL : TRIAL + 2])
    cursor, speed = kinematics.cursor_mm[rows], np.hypot(*kinematics.hand_mm_s[rows].T)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    plane, over_time = figure.subplots(1, 2, width_ratios=(1, 1.7))
    plane.plot(*cursor.T, color=HAND)
    plane.plot(*cursor[0], "o", color=HAND, label="start")
    plane.plot(*trial.maze.reached_mm, "s", markersize=14, color=DECODED, label="target")
    plane.set(xlabel="x, mm", ylabel="y, mm", title="Where the cursor goes", aspect="equal")
    plane.margins(0.25)
    plane.legend()
    over_time.plot(np.arange(len(speed)), speed, color=HAND)
    events = {
        "target on": trial.target_on_ms,
        "go cue": trial.go_cue_ms,
        "movement onset": trial.move_onset_ms,
    }
    for name, at_ms in events.items():
        at = at_ms - trial.start_ms
        over_time.axvline(at, color=DECODED, linestyle="--")
        over_time.text(at, speed.max(), f" {name}", rotation=90, va="top", ha="right")
    over_time.set(xlabel="ms since the trial's start", ylabel="speed, mm/s", title="When")
    return figure


def tuning(recording: SyntheticRecording, counts: NDArray[np.int64]) -> Figure:
    """How often three units fire, by the direction of the reach."""
    onsets = np.array([trial.move_onset_ms // BIN_MS for trial in recording.trials])
    targets = np.array([trial.maze.reached_mm for trial in recording.trials], dtype=float)
    angles = np.degrees(np.arctan2(targets[:, 1], targets[:, 0])) % 360
    near = np.array([counts[onset - 4 : onset + 8].mean(axis=0) for onset in onsets])
    rates = near * 1000 / BIN_MS
    basis = np.column_stack(
        [np.ones(len(angles)), np.cos(np.radians(angles)), np.sin(np.radians(angles))]
    )
    fitted = np.linalg.lstsq(basis, rates)[0]
    depth = np.hypot(fitted[1], fitted[2])
    best = np.degrees(np.arctan2(fitted[2], fitted[1])) % 360
    chosen: list[int] = []
    for unit in np.argsort(-depth):
        if all(abs((best[unit] - best[other] + 180) % 360 - 180) > 70 for other in chosen):
            chosen.append(int(unit))
    figure = Figure(figsize=(9, 3), layout="constrained")
    around = np.arange(360)
    for axes, unit in zip(figure.subplots(1, 3, sharex=True), chosen[:3], strict=True):
        axes.plot(angles, rates[:, unit], "o", color=SPIKES, alpha=0.5)
        curve = fitted[0, unit] + depth[unit] * np.cos(np.radians(around - best[unit]))
        axes.plot(around, curve, color=HAND)
        axes.set(xlabel="direction of the reach, degrees", title=f"unit {unit}", ylim=(0, None))
        axes.set_xticks([0, 90, 180, 270, 360])
    figure.axes[0].set_ylabel("spikes a second")
    return figure


def decoded(recording: SyntheticRecording, counts: NDArray[np.int64]) -> Figure:
    """Velocity of the hand in trials that the decoder was not fitted to, and what it says."""
    velocity = velocity_of(recording, len(counts))
    first_test = recording.trials[len(recording.trials) // 2].start_ms // BIN_MS
    padded = np.vstack([np.zeros((N_BINS - 1, counts.shape[1])), counts])
    rows = np.hstack([padded[N_BINS - 1 - k :][: len(counts)] for k in range(N_BINS)])
    known = np.isfinite(velocity).all(axis=1)
    training = known & (np.arange(len(counts)) < first_test)
    inputs, outputs = rows[training], velocity[training]
    centred = inputs - inputs.mean(axis=0)
    gram = centred.T @ centred + STRENGTH * np.eye(centred.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (outputs - outputs.mean(axis=0)))
    predicted = (rows - inputs.mean(axis=0)) @ weights + outputs.mean(axis=0)
    shown = slice(first_test, first_test + 600)
    figure = Figure(figsize=(9, 4), layout="constrained")
    seconds = np.arange(shown.stop - shown.start) * BIN_MS / 1000
    for column, axes in enumerate(figure.subplots(2, 1, sharex=True)):
        axes.plot(seconds, velocity[shown, column], color=HAND, label="hand")
        axes.plot(seconds, predicted[shown, column], color=DECODED, label="decoded")
        axes.set_ylabel(f"{'xy'[column]} velocity, mm/s")
    figure.axes[0].legend(loc="upper right")
    figure.axes[1].set_xlabel("s")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of the beginner's guide.")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="where to put them")
    out = parser.parse_args().out
    mpl.rcParams.update({"savefig.dpi": 90, "axes.spines.top": False, "axes.spines.right": False})
    recording = draw_recording()
    counts = counts_of(recording)
    pictures: dict[str, Callable[[], Figure]] = {
        "guide-bins.png": lambda: spikes_to_bins(recording),
        "guide-trial.png": lambda: one_trial(recording),
        "guide-tuning.png": lambda: tuning(recording, counts),
        "guide-decoded.png": lambda: decoded(recording, counts),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in pictures.items():
        # Without the version of matplotlib, the same picture is the same file.
        draw().savefig(out / name, metadata={"Software": None})
        print(out / name)


if __name__ == "__main__":
    main()
