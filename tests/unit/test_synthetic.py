"""The synthetic recording is like MC_Maze_Small."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phantomlink.errors import InvalidParameterError, RecordingError
from phantomlink.recordings.synthetic import (
    SyntheticRecording,
    draw_recording,
    synthesize,
)


@pytest.fixture(scope="module")
def drawn() -> SyntheticRecording:
    return draw_recording()


def trial_slices(recording: SyntheticRecording) -> list[slice]:
    rows = recording.kinematics.first_rows
    return [slice(a, b) for a, b in pairwise(rows)]


def around_onset(recording: SyntheticRecording, width_ms: int = 25) -> NDArray[np.int64]:
    """(units, trials, bins) counts from 250 ms before to 450 ms after movement onset."""
    edges = np.arange(-250, 451, width_ms) / 1000
    onsets = [trial.move_onset_ms / 1000 for trial in recording.trials]
    return np.array(
        [
            [np.diff(np.searchsorted(seconds, onset + edges)) for onset in onsets]
            for seconds in recording.spikes
        ]
    )


# --- the task


def test_trials_lie_on_the_grid_of_the_real_file(drawn: SyntheticRecording) -> None:
    starts = np.array([trial.start_ms for trial in drawn.trials])
    stops = np.array([trial.stop_ms for trial in drawn.trials])
    durations = stops - starts
    assert np.all(durations % 5 == 1)
    assert durations.min() >= 2050
    assert durations.max() <= 3550
    assert durations.mean() == pytest.approx(2877, abs=0.1)
    # Next start = ceil((stop + 0.010) * 10) / 10.
    assert np.array_equal(starts[1:], np.ceil((stops[:-1] + 10) / 100) * 100)
    gaps = starts[1:] - stops[:-1]
    assert gaps.min() >= 10
    assert gaps.max() <= 109
    assert stops[-1] / 1000 == pytest.approx(293.7, abs=1.0)


def test_what_happens_in_a_trial_takes_as_long_as_in_the_real_file(
    drawn: SyntheticRecording,
) -> None:
    for trial in drawn.trials:
        assert 670 <= trial.target_on_ms - trial.start_ms <= 970
        assert 32 <= trial.go_cue_ms - trial.target_on_ms <= 931
        assert 272 <= trial.move_onset_ms - trial.go_cue_ms <= 953
        assert trial.stop_ms - trial.move_onset_ms >= 680


@pytest.mark.parametrize("seed", [0, 5])
def test_versions_targets_and_barriers_are_shared_out_as_in_the_real_file(seed: int) -> None:
    trials = draw_recording(units=1, seed=seed).trials
    assert np.bincount([trial.version for trial in trials]).tolist() == [32, 34, 34]
    assert np.bincount([trial.active_target for trial in trials]).tolist() == [77, 11, 12]
    assert sum(len(trial.targets_mm) for trial in trials) == 168
    assert sum(len(trial.barriers_mm) for trial in trials) == 612
    assert sorted({trial.split for trial in trials}) == ["train", "val"]
    for trial in trials:
        assert len(trial.targets_mm) == (3 if trial.version == 2 else 1)
        assert len(trial.barriers_mm) == (9 if trial.version else 0)
        assert tuple(trial.targets_mm[trial.active_target]) == trial.maze.reached_mm


def test_nine_places_are_reached_each_in_three_versions(drawn: SyntheticRecording) -> None:
    places = {trial.maze.reached_mm for trial in drawn.trials}
    assert len(places) == 9
    quadrants = sorted((x > 0, y > 0) for x, y in places)
    assert [quadrants.count((right, up)) for right in (False, True) for up in (False, True)] == [
        3,
        2,
        2,
        2,
    ]
    assert len({(trial.maze.maze_id, trial.version) for trial in drawn.trials}) == 27


# --- kinematics


def test_rows_are_1_khz_inside_trials_and_nowhere_else(drawn: SyntheticRecording) -> None:
    expected = np.concatenate([np.arange(t.start_ms, t.stop_ms) for t in drawn.trials]) / 1000
    assert np.array_equal(drawn.kinematics.seconds, expected)
    assert len(expected) == pytest.approx(287_705, abs=150)


def test_hand_velocity_is_the_gradient_within_each_trial(drawn: SyntheticRecording) -> None:
    kinematics = drawn.kinematics
    for span in trial_slices(drawn):
        expected = np.gradient(kinematics.hand_mm[span], 0.001, axis=0)
        assert np.array_equal(kinematics.hand_mm_s[span], expected)


def test_the_cursor_is_seen_every_5_ms_in_tenths_of_a_millimetre(
    drawn: SyntheticRecording,
) -> None:
    for span in trial_slices(drawn):
        cursor = drawn.kinematics.cursor_mm[span]
        seen = cursor[::5] * 10
        assert np.abs(seen - np.round(seen)).max() < 1e-9
        # A smooth curve in between, not steps or straight lines.
        bends = np.abs(np.diff(cursor, n=2, axis=0))
        assert np.mean(bends > 1e-6) > 0.3
        assert np.abs(np.diff(cursor, axis=0)).max() < 1.3


def test_the_hand_is_35_mm_below_the_cursor(drawn: SyntheticRecording) -> None:
    away = drawn.kinematics.hand_mm - drawn.kinematics.cursor_mm
    assert np.abs(away - (0, -35)).max() < 1.0


def test_ranges_are_those_of_the_real_file(drawn: SyntheticRecording) -> None:
    for positions in (drawn.kinematics.cursor_mm, drawn.kinematics.hand_mm):
        assert np.abs(positions[:, 0]).max() <= 145
        assert positions[:, 1].min() >= -150
        assert positions[:, 1].max() <= 105
    assert np.abs(drawn.kinematics.eye_mm).max() <= 350
    tenths = drawn.kinematics.eye_mm * 10
    assert np.abs(tenths - np.round(tenths)).max() < 1e-9


def test_reaches_are_as_fast_and_as_long_as_real_ones(drawn: SyntheticRecording) -> None:
    speed = np.hypot(*drawn.kinematics.hand_mm_s.T)
    assert 2 < np.median(speed) < 5
    far_peaks, lengths = [], []
    for trial, span in zip(drawn.trials, trial_slices(drawn), strict=True):
        onset = trial.move_onset_ms - trial.start_ms
        peak = speed[span].max()
        if np.hypot(*trial.maze.reached_mm) > 130:
            far_peaks.append(peak)
        moving = np.flatnonzero(speed[span][onset - 150 :] > 0.05 * peak) - 150
        assert moving[0] == pytest.approx(0, abs=12)
        lengths.append(moving[-1] - moving[0])
        assert speed[span].argmax() - onset == pytest.approx(150, abs=90)
        # The hand is where it should be when the trial ends.
        end = drawn.kinematics.cursor_mm[span][-1]
        assert np.hypot(*(end - trial.maze.reached_mm)) < 12
    assert np.median(far_peaks) == pytest.approx(930, abs=60)
    assert max(far_peaks) < 1150
    assert np.median(lengths) == pytest.approx(350, abs=50)


# --- spikes


def test_spikes_are_inside_trials_on_the_30_khz_clock(drawn: SyntheticRecording) -> None:
    starts = np.array([trial.start_ms for trial in drawn.trials]) / 1000
    stops = np.array([trial.stop_ms for trial in drawn.trials]) / 1000
    for seconds in drawn.spikes:
        rows = np.searchsorted(starts, seconds, side="right") - 1
        assert np.all(seconds < stops[rows])
        assert np.all(np.diff(seconds) > 0.0016)
        assert np.array_equal(seconds, np.round(np.round(seconds * 30000) / 30000, 6))


@pytest.mark.parametrize("seed", [0, 1])
def test_rates_and_counts_are_those_of_the_genuine_file(seed: int) -> None:
    recording = draw_recording(seed=seed)
    inside = len(recording.kinematics.seconds) / 1000
    rate = sum(map(len, recording.spikes)) / len(recording.population) / inside
    assert rate == pytest.approx(3.22, abs=0.2)
    counts = around_onset(recording)
    near = np.percentile(counts.mean(axis=(1, 2)) / 0.025, [5, 25, 50, 75, 95])
    assert near == pytest.approx([0.23, 1.29, 3.27, 6.36, 11.9], rel=0.15, abs=0.1)
    share = np.bincount(counts.ravel(), minlength=6)[:6] / counts.size
    assert share[:3] == pytest.approx([0.901, 0.0895, 0.0089], rel=0.05)
    assert share[3] == pytest.approx(0.0007, rel=0.3)
    assert share[4] == pytest.approx(0.00005, abs=0.00005)
    fano = np.median(counts.var(axis=(1, 2)) / counts.mean(axis=(1, 2)))
    assert fano == pytest.approx(1.0, abs=0.05)


def test_the_population_bursts_before_it_moves(drawn: SyntheticRecording) -> None:
    population_hz = around_onset(drawn).mean(axis=(0, 1)) / 0.025
    assert population_hz[0] == pytest.approx(3.45, abs=0.25)
    assert population_hz[4:8].mean() == pytest.approx(5.35, abs=0.25)
    assert population_hz[-1] == pytest.approx(3.7, abs=0.25)


def test_units_are_those_of_two_arrays(drawn: SyntheticRecording) -> None:
    units = drawn.population
    assert np.bincount(units.areas).tolist() == [72, 70]
    assert units.heldout.sum() == 35
    assert np.all(np.diff(units.ids) > 0)
    array, channel = units.ids // 1000, units.ids % 1000 // 10
    assert np.array_equal(array, units.areas + 1)
    # The real file points at rows of the first array for all units; this one does not.
    assert np.array_equal(units.electrodes, channel - 1 + 96 * units.areas)


def smoothed_and_lagged(
    recording: SyntheticRecording, window_ms: tuple[int, int] | None
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """50 ms-smoothed rates in 5 ms bins and hand velocity 80 ms later, one array a trial."""
    kernel = np.exp(-0.5 * (np.arange(-30, 31) / 10) ** 2)
    lag = 80 // 5
    rates, velocities = [], []
    for trial, span in zip(recording.trials, trial_slices(recording), strict=True):
        n = trial.duration_ms // 5
        edges = (trial.start_ms + 5 * np.arange(n + 1)) / 1000
        counts = [np.diff(np.searchsorted(seconds, edges)) for seconds in recording.spikes]
        smooth = np.array([np.convolve(row, kernel / kernel.sum(), "same") for row in counts]).T
        velocity = recording.kinematics.hand_mm_s[span][: 5 * n].reshape(n, 5, 2).mean(axis=1)
        keep = slice(0, n - lag)
        if window_ms is not None:
            onset = (trial.move_onset_ms - trial.start_ms) // 5 - lag
            keep = slice(onset + window_ms[0] // 5, onset + window_ms[1] // 5)
        rates.append(smooth[: n - lag][keep])
        velocities.append(velocity[lag:][keep])
    return rates, velocities


@pytest.mark.parametrize("window_ms", [None, (-250, 450)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_ridge_decoder_does_as_well_as_on_the_real_recording(
    seed: int, window_ms: tuple[int, int] | None
) -> None:
    recording = draw_recording(seed=seed)
    rates, velocities = smoothed_and_lagged(recording, window_ms)

    def joined(split: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = [k for k, trial in enumerate(recording.trials) if trial.split == split]
        return (
            np.concatenate([rates[k] for k in rows]),
            np.concatenate([velocities[k] for k in rows]),
        )

    x, y = joined("train")
    x_held_out, y_held_out = joined("val")
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    gram = (x - mean_x).T @ (x - mean_x) + 3 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, (x - mean_x).T @ (y - mean_y))
    residual = y_held_out - mean_y - (x_held_out - mean_x) @ weights
    r2 = 1 - np.sum(residual**2) / np.sum((y_held_out - y_held_out.mean(axis=0)) ** 2)
    assert 0.5 < r2 < 0.8


# --- one seed, one recording


def test_the_same_seed_gives_the_same_recording() -> None:
    first, again = (draw_recording(units=5, trials=8, seed=3) for _ in range(2))
    for a, b in zip(first.spikes, again.spikes, strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(first.kinematics.eye_mm, again.kinematics.eye_mm)
    other = draw_recording(units=5, trials=8, seed=4)
    assert not np.array_equal(first.spikes[0], other.spikes[0])
    assert first.trials[0].stop_ms != other.trials[0].stop_ms


def test_trials_and_behaviour_do_not_depend_on_the_number_of_units() -> None:
    few, more = (draw_recording(units=units, trials=6, seed=2) for units in (1, 7))
    assert np.array_equal(few.kinematics.hand_mm, more.kinematics.hand_mm)


def test_the_same_arguments_make_the_same_file(tmp_path: Path) -> None:
    """In processes of their own, whose sets and dictionaries are in other orders."""
    digests = []
    for hash_seed, seed in (("1", 9), ("2", 9), ("3", 10)):
        path = tmp_path / f"{hash_seed}.nwb"
        arguments = [str(path), "--units", "4", "--trials", "3", "--seed", str(seed)]
        subprocess.run(
            [sys.executable, "-m", "phantomlink", "synth", *arguments],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            timeout=60,
        )
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_no_folder_is_made_for_a_misspelt_path(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no folder"):
        synthesize(tmp_path / "typo" / "x.nwb", units=1, trials=1)
    assert list(tmp_path.iterdir()) == []


@given(seconds=st.floats(0.1, 60))
@settings(max_examples=20)
def test_a_duration_is_reached_by_the_last_trial(seconds: float) -> None:
    trials = draw_recording(units=1, duration_seconds=seconds).trials
    assert trials[-1].stop_ms >= 1000 * seconds
    assert trials[-1].start_ms < 1000 * seconds + 1500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units: got 0, allowed is 1 to 1728"),
        ({"units": 1729}, "units: got 1729"),
        ({"trials": 0}, "trials: got 0, allowed is 1 to 2000"),
        ({"seed": -1}, "seed: got -1"),
        ({"trials": 3, "duration_seconds": 3.0}, "give one of them, not both"),
        ({"duration_seconds": 0.0}, "duration: got 0.0 s"),
        ({"duration_seconds": float("nan")}, "duration: got nan s"),
        ({"duration_seconds": 1e9}, "up to 5754 s"),
    ],
)
def test_arguments_outside_their_range_are_refused(
    arguments: dict[str, float], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        synthesize(tmp_path / "x.nwb", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("units", "trials"), [(1, 1), (3, 2), (1728, 1)])
def test_the_smallest_and_the_widest_can_be_made(units: int, trials: int, tmp_path: Path) -> None:
    synthesize(tmp_path / "x.nwb", units=units, trials=trials)
    with h5py.File(tmp_path / "x.nwb") as file:
        assert len(set(file["units/id"][...].tolist())) == units
        assert file["intervals/trials/id"].shape == (trials,)
