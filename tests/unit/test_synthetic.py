"""The synthetic recording is like MC_Maze_Small, says what it is, and is there whole or not."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phantomlink.errors import InvalidParameterError, RecordingError
from phantomlink.source.aside import written_aside
from phantomlink.source.synthetic import (
    NamedLayout,
    SyntheticRecording,
    draw_recording,
    run_synth,
    synthesize,
    synthesize_named,
)

TRIAL_COLUMNS = [
    *("start_time", "stop_time", "trial_type", "trial_version", "maze_id", "success"),
    *("target_on_time", "go_cue_time", "move_onset_time", "rt", "delay"),
    *("num_targets", "target_pos", "num_barriers", "barrier_pos", "active_target", "split"),
]


@pytest.fixture(scope="module")
def drawn() -> SyntheticRecording:
    return draw_recording()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "default.nwb"
    synthesize(path)
    return path


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


def test_the_same_seed_gives_the_same_data_in_the_file(tmp_path: Path) -> None:
    contents = []
    for name in ("a.nwb", "b.nwb"):
        synthesize(tmp_path / name, units=4, trials=3, seed=9)
        found: dict[str, bytes] = {}

        def take(path: str, item: h5py.Group | h5py.Dataset, into: dict[str, bytes]) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind != "O":
                into[path] = np.asarray(item[()]).tobytes()

        with h5py.File(tmp_path / name) as file:
            file.visititems(lambda path, item, into=found: take(path, item, into))
        contents.append(found)
    assert contents[0] == contents[1]
    assert len(contents[0]) > 30


@given(seconds=st.floats(0.1, 60))
@settings(max_examples=20, deadline=None)
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


# --- the file


def test_the_file_has_the_layout_of_the_real_one(file: Path) -> None:
    with h5py.File(file) as nwb:
        trials, units = nwb["intervals/trials"], nwb["units"]
        assert list(trials.attrs["colnames"]) == TRIAL_COLUMNS
        assert list(units.attrs["colnames"]) == [
            "heldout",
            "spike_times",
            "obs_intervals",
            "electrodes",
        ]
        assert units["obs_intervals"].shape == (14200, 2)
        types = {
            "units/id": "int64",
            "units/heldout": "bool",
            "units/spike_times": "float64",
            "units/spike_times_index": "uint32",
            "units/obs_intervals_index": "uint16",
            "units/electrodes_index": "uint8",
            "intervals/trials/target_pos": "int64",
            "intervals/trials/target_pos_index": "uint8",
            "intervals/trials/barrier_pos_index": "uint16",
            "intervals/trials/success": "bool",
            "intervals/trials/rt": "int64",
            "intervals/trials/start_time": "float64",
            "processing/behavior/hand_vel/data": "float64",
        }
        for path, dtype in types.items():
            assert nwb[path].dtype == dtype, path
            assert nwb[path].chunks is None, path
        assert trials["target_pos"].shape == (168, 2)
        assert trials["barrier_pos"].shape == (612, 4)
        behaviour = nwb["processing/behavior"]
        assert sorted(behaviour) == ["cursor_pos", "eye_pos", "hand_pos", "hand_vel"]
        for name, series in behaviour.items():
            assert series.attrs["comments"] == "columns=[x,y]"
            assert series.attrs["neurodata_type"] == (
                "TimeSeries" if name == "hand_vel" else "SpatialSeries"
            )
            assert series["data"].attrs["unit"] == ("mm/s" if name == "hand_vel" else "mm")
            # Not a link: each series has its own.
            assert series.get("timestamps", getlink=True).__class__ is h5py.HardLink
            assert series["timestamps"].parent.name == series.name
        electrodes = nwb["general/extracellular_ephys/electrodes"]
        assert electrodes["id"][...].tolist() == list(range(1, 193))
        assert np.all(np.isnan(electrodes["x"][...]))


def test_the_file_holds_what_was_drawn(file: Path, drawn: SyntheticRecording) -> None:
    with h5py.File(file) as nwb:
        ends = nwb["units/spike_times_index"][...].astype(np.int64)
        spikes = np.split(nwb["units/spike_times"][...], ends[:-1])
        for mine, written in zip(drawn.spikes, spikes, strict=True):
            assert np.array_equal(mine, written)
        trials = nwb["intervals/trials"]
        go, onset = trials["go_cue_time"][...], trials["move_onset_time"][...]
        assert np.array_equal(trials["rt"][...], np.round(1000 * (onset - go)))
        assert np.array_equal(
            trials["delay"][...], np.round(1000 * (go - trials["target_on_time"][...]))
        )
        windows = nwb["units/obs_intervals"][...].reshape(142, 100, 2)
        assert np.array_equal(windows[7, :, 0], trials["start_time"][...])
        assert np.array_equal(windows[141, :, 1], trials["stop_time"][...])


def test_the_file_says_that_it_is_synthetic(file: Path) -> None:
    with h5py.File(file) as nwb:

        def text(path: str) -> str:
            return str(nwb[path].asstr()[()])

        assert "synthetic" in text("identifier")
        assert "SYNTHETIC" in text("session_description")
        assert "not a recording of an animal" in text("general/notes")
        assert "synthetic" in nwb["general/keywords"].asstr()[...]
        assert text("general/subject/subject_id") == "Synthetic"
        assert "Jenkins" not in text("session_description") + text("identifier")


@pytest.mark.parametrize("make", [synthesize_named, None])
def test_the_file_is_valid_nwb_without_critical_findings(
    make: Callable[[Path], object] | None, file: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        # Their own deprecations, on import and while inspecting.
        warnings.simplefilter("ignore")
        import pynwb  # noqa: PLC0415
        from nwbinspector import Importance, inspect_nwbfile  # noqa: PLC0415

        if make is not None:
            file = tmp_path / "named.nwb"
            make(file)
        assert pynwb.validate(path=str(file)) == []
        findings = list(inspect_nwbfile(nwbfile_path=str(file)))
    bad = [m for m in findings if m.importance in (Importance.CRITICAL, Importance.ERROR)]
    assert bad == [], bad
    assert findings  # It did look.


def test_importing_it_does_not_import_pynwb() -> None:
    code = "import sys, phantomlink.source.synthetic; print('pynwb' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "False"


# --- whole or not at all


def test_a_file_that_is_there_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.nwb"
    path.write_bytes(b"precious")
    with pytest.raises(RecordingError, match=r"mine\.nwb: exists already"):
        synthesize(path, units=1, trials=1)
    assert path.read_bytes() == b"precious"
    synthesize(path, units=1, trials=1, overwrite=True)
    assert h5py.is_hdf5(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mine.nwb"

    def somebody_else(done: int, total: int) -> None:
        path.write_bytes(b"precious")

    with pytest.raises(RecordingError, match="exists already"):
        synthesize(path, units=1, trials=1, progress=somebody_else)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "x.nwb", units=1, trials=1, progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files is the nearest thing to a full disk that a test can have.
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    code = (
        "import sys, pathlib; from phantomlink.source.synthetic import run_synth;"
        "sys.exit(run_synth(pathlib.Path(sys.argv[1]), units=2, trials=2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.nwb")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=limit,
    )
    assert done.returncode == 2
    assert "x.nwb: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_part_left_by_a_killed_process_is_removed_when_old(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".x.nwb.1-1.part", tmp_path / ".x.nwb.2-2.part"
    for part in (old, fresh):
        part.touch()
    os.utime(old, (1, 1))
    with written_aside(tmp_path / "x.nwb", overwrite=False) as part:
        part.write_bytes(b"whole")
    assert sorted(tmp_path.iterdir()) == [fresh, tmp_path / "x.nwb"]


def test_the_command_makes_folders_and_says_what_it_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a" / "b.nwb"
    assert run_synth(path, 2, 1, 0, None, False) == 0
    assert path.exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path}: synthetic recording, 2 units, ")
    assert run_synth(path, 2, 1, 0, None, False) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("exists already; give another name, or allow overwriting")
    assert run_synth(tmp_path / "c.nwb", 0, None, 0, None, False) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "phantomlink synth: units: got 0, allowed is 1 to 1728"


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    synthesize(
        tmp_path / "x.nwb",
        units=3,
        trials=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert len({total for _, total in seen}) == 1
    assert seen[-1][0] == seen[-1][1]


# --- data that name themselves


@given(n_units=st.integers(6, 12), n_bins=st.integers(1, 8**5), data=st.data())
def test_counts_name_their_bin(n_units: int, n_bins: int, data: st.DataObject) -> None:
    layout = NamedLayout(n_units, n_bins, Fraction(40), digits=6)
    bins = np.array(data.draw(st.lists(st.integers(0, n_bins - 1), min_size=1, max_size=5)))
    assert [layout.bin_of(row) for row in layout.counts(bins)] == bins.tolist()


def test_wrong_counts_name_no_bin() -> None:
    layout = NamedLayout(6, 100, Fraction(40), digits=3)
    counts = layout.counts(np.array([42]))[0]
    counts[5] += 1
    with pytest.raises(ValueError, match="no bin"):
        layout.bin_of(counts)
    with pytest.raises(ValueError, match="no bin"):
        layout.bin_of(layout.counts(np.array([100]))[0])


@pytest.mark.parametrize("rate_hz", [40, 100, Fraction(1000, 33)])
def test_the_named_file_holds_what_its_layout_says(
    rate_hz: float | Fraction, tmp_path: Path
) -> None:
    layout = synthesize_named(tmp_path / "n.nwb", units=6, seconds=5, rate_hz=rate_hz)
    bins = np.arange(layout.n_bins)
    rate = float(rate_hz)
    assert layout.n_bins == int(5 * Fraction(rate_hz))
    with h5py.File(tmp_path / "n.nwb") as nwb:
        ends = nwb["units/spike_times_index"][...].astype(np.int64)
        counts = np.zeros((layout.n_bins, 6), dtype=np.int64)
        for unit, seconds in enumerate(np.split(nwb["units/spike_times"][...], ends[:-1])):
            counts[:, unit] = np.bincount((seconds * rate).astype(int), minlength=layout.n_bins)
        position = nwb["processing/behavior/cursor_pos"]
        rows = (position["timestamps"][...] * rate).astype(int)
        assert np.array_equal(position["data"][:, 0], rows)
        assert np.array_equal(position["data"][:, 1], -rows)
        assert np.array_equal(nwb["processing/behavior/hand_vel/data"][:, 0], 2 * rows)
        assert sorted(set(rows.tolist())) == bins.tolist()
        starts = nwb["intervals/trials/start_time"][...] * rate
        stops = nwb["intervals/trials/stop_time"][...] * rate
    assert np.array_equal(counts, layout.counts(bins))
    assert np.allclose(np.stack([starts, stops], axis=1), layout.trial_bins)
    # A stop on the last edge would be an event in one more bin.
    assert stops.max() < layout.n_bins - 0.5


def test_too_few_units_for_the_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="800 bins need 4 or more"):
        synthesize_named(tmp_path / "n.nwb", units=3)
    with pytest.raises(ValueError, match="not even one bin"):
        synthesize_named(tmp_path / "n.nwb", seconds=0.01)
