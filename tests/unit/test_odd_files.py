"""Files that are not as they should be and play, with nulls where something is missing."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.recording import open_recording
from tests.nwb_files import BEHAVIOR, Ragged, SeriesSpec, edited, moving, write_nwb

T = np.arange(300) / 100


XY = moving(T)


def whole(path, rate=40):
    with open_recording(path) as recording:
        bins = recording.at_rate(Fraction(rate))
        return bins.read(0, bins.grid.n_bins)


def test_chunked_and_compressed_spike_times(tmp_path):
    rng = np.random.default_rng(2)
    spikes = [np.sort(rng.uniform(0, 20, n)) for n in (400, 0, 900)]
    storage = {"chunks": (128,), "compression": "gzip", "shuffle": True}
    counts = whole(write_nwb(tmp_path / "f.nwb", spikes=spikes, spike_storage=storage)).counts
    assert counts.sum(axis=0, dtype=int).tolist() == [400, 0, 900]
    expected = np.histogram((spikes[2] * 1e6).astype(int), np.arange(len(counts) + 1) * 25_000)[0]
    assert counts[:, 2].tolist() == expected.tolist()


def test_unsorted_spike_times_and_single_precision(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", spikes=[[3.01, 0.26, 1.51]], spike_dtype=np.float32)
    assert np.flatnonzero(whole(path).counts[:, 0]).tolist() == [10, 60, 120]


def test_small_unsigned_indices_do_not_wrap_around(tmp_path):
    # 300 spikes: a uint16 index whose differences, and whose row arithmetic, overflow in uint8.
    spikes = [[0.01] * 200, [0.03] * 55, [0.06] * 45]
    path = write_nwb(tmp_path / "f.nwb", spikes=spikes)
    with h5py.File(path, "a") as file:
        del file["units/spike_times_index"]
        file["units/spike_times_index"] = np.array([200, 255, 300], dtype=np.uint16)
    assert whole(path).counts.tolist() == [[200, 0, 0], [0, 55, 0], [0, 0, 45]]


def test_unit_ids_are_labels(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", spikes=[[0.1], [], [0.2]], unit_ids=[2874, 1011, 7])
    with open_recording(path) as recording:
        assert recording.unit_ids == (2874, 1011, 7)
        bins = recording.at_rate(Fraction(40))
        assert bins.unit_ids == (2874, 1011, 7)
        assert bins.read(0, bins.grid.n_bins).counts.sum(axis=0).tolist() == [1, 0, 1]


def test_units_elsewhere_and_without_ids(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", units_at="processing/ecephys/sorted")
    with h5py.File(path, "a") as file:
        del file["processing/ecephys/sorted/id"]
    with open_recording(path) as recording:
        assert recording.units.path == "processing/ecephys/sorted"
        assert recording.unit_ids == (0, 1)
        assert any("units are called 0, 1" in line for line in recording.missing)
    assert whole(path).counts.sum() == 3


def test_spike_times_of_no_unit_are_left_out_and_said(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", spikes=[[0.1, 0.2], [0.3]])
    with h5py.File(path, "a") as file:
        file["units/spike_times_index"][...] = [1, 2]
    with open_recording(path) as recording:
        assert recording.n_spikes == 2
        assert any("the last 1 spike times belong to no unit" in m for m in recording.missing)


def test_no_behaviour_and_no_trials_play_with_nothing_in_their_place(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", spikes=[[0.1, 0.2, 1.3]])
    block = whole(path)
    assert block.counts.sum() == 3
    assert np.isnan(block.kinematics).all()
    assert (block.trial_rows == -1).all()
    with open_recording(path) as recording:
        said = "\n".join(recording.missing)
        assert recording.behaviour.position is recording.behaviour.velocity is None
        assert len(recording.trials) == 0
    assert all(f"{what}:" in said for what in ("position", "velocity", "trials"))


def test_no_spikes_but_behaviour_plays(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", spikes=[[], []], series=[SeriesSpec("hand_pos", XY, T)])
    block = whole(path)
    assert block.counts.shape == (120, 2)
    assert block.counts.sum() == 0
    assert np.isfinite(block.kinematics).all()


def test_a_rate_in_place_of_timestamps(tmp_path):
    series = [SeriesSpec("hand_pos", XY, rate=100.0, start=0.5)]
    block = whole(write_nwb(tmp_path / "f.nwb", spikes=[[0.1]], series=series), 20)
    assert np.isnan(block.kinematics[:10]).all()
    np.testing.assert_allclose(block.kinematics[10:, 2:], XY.reshape(-1, 5, 2).mean(axis=1))


def test_three_columns_give_x_and_y(tmp_path):
    series = [SeriesSpec("hand_pos", np.column_stack((XY, T * 1e6)), T)]
    block = whole(write_nwb(tmp_path / "f.nwb", series=series), 10)
    np.testing.assert_allclose(block.kinematics[:, 2:], XY.reshape(-1, 10, 2).mean(axis=1))


def test_whole_numbers_with_a_conversion_to_metres_and_an_offset(tmp_path):
    stored = np.round(XY * 10).astype(np.int16)
    series = [
        SeriesSpec("hand_pos", stored, T, unit="meters", conversion=1e-4, offset=0.5),
    ]
    path = write_nwb(tmp_path / "f.nwb", series=series)
    expected = (stored * 1e-4 + 0.5).reshape(-1, 10, 2).mean(axis=1)
    np.testing.assert_allclose(whole(path, 10).kinematics[:, 2:], expected, rtol=1e-12)
    with open_recording(path) as recording:
        position = recording.behaviour.position
        assert (position.unit, position.conversion, position.offset) == ("meters", 1e-4, 0.5)
        assert recording.behaviour.velocity.unit == "meters/s"


def test_behaviour_slower_than_the_bins(tmp_path):
    times = np.arange(40) / 20
    line = np.column_stack((100 * times, 50 - 10 * times))
    block = whole(write_nwb(tmp_path / "f.nwb", series=[SeriesSpec("hand_pos", line, times)]))
    assert len(block.kinematics) == 79
    assert np.isfinite(block.kinematics).all()
    np.testing.assert_allclose(block.kinematics[:, 0], 100)
    np.testing.assert_allclose(block.kinematics[:, 1], -10)
    centres = np.arange(79) * 0.025 + np.where(np.arange(79) % 2, 0.0125, 0)
    np.testing.assert_allclose(block.kinematics[:, 2], 100 * centres, atol=1e-9)


def test_nan_in_kinematics(tmp_path):
    holes = XY.copy()
    holes[[3, 4], 0] = np.nan
    holes[20:30] = np.nan
    block = whole(write_nwb(tmp_path / "f.nwb", series=[SeriesSpec("hand_pos", holes, T)]), 10)
    np.testing.assert_allclose(block.kinematics[0, 2], np.delete(XY[:10, 0], [3, 4]).mean())
    np.testing.assert_allclose(block.kinematics[0, 3], XY[:10, 1].mean())
    assert np.isnan(block.kinematics[2]).all()
    assert np.isfinite(block.kinematics[3]).all()


def test_rows_that_are_out_of_order_or_at_no_time(tmp_path):
    order = np.random.default_rng(4).permutation(len(T))
    times, values = T[order].copy(), XY[order].copy()
    times[:5] = np.nan
    series = [SeriesSpec("hand_pos", values, times)]
    block = whole(write_nwb(tmp_path / "f.nwb", series=series), 10)
    known = np.setdiff1d(np.arange(len(T)), order[:5])
    expected = [XY[known[known // 10 == i]].mean(axis=0) for i in range(30)]
    np.testing.assert_allclose(block.kinematics[:, 2:], expected)


def test_trials_out_of_order(tmp_path):
    trials = {
        "start_time": [2.0, 0.0, 1.0],
        "stop_time": [2.5, 0.9, 1.5],
        "active_target": [5, 6, 7],
    }
    path = write_nwb(tmp_path / "f.nwb", spikes=[[0.1, 2.9]], trials=trials)
    rows = whole(path, 10).trial_rows
    assert rows.tolist() == [1] * 9 + [-1] + [2] * 5 + [-1] * 5 + [0] * 5 + [-1] * 5
    with open_recording(path) as recording:
        assert [trial.target_id for trial in recording.trials] == [5, 6, 7]


def test_trial_columns_of_every_kind(tmp_path):
    trials = {
        "start_time": [0.0, 1.0],
        "stop_time": [0.9, np.inf],
        "go_cue_time": [0.5, np.nan],
        "success": [True, False],
        "split": ["train", "väl"],
        "rt": np.array([300, 65_535], dtype=np.uint16),
        "target_pos": Ragged([[[1, 2], [3, 4]], []], dtype=np.int64),
        "matrix": np.array([[[1.5, np.nan]], [[2.0, 3.0]]]),
    }

    def edit(file):
        table = file["intervals/trials"]
        table["origin"] = np.array([file["units"].ref, file["units"].ref], dtype=h5py.ref_dtype)
        table["short"] = [1]
        table["pairs"] = np.array([(1, 2.5), (3, np.nan)], dtype=[("n", "i4"), ("v", "f8")])

    path = edited(tmp_path / "f.nwb", edit, trials=trials)
    with open_recording(path) as recording:
        first, second = (trial.columns for trial in recording.trials)
        assert any("short: has 1 rows, the table has 2" in line for line in recording.missing)
    assert first["target_pos"] == [[1, 2], [3, 4]]
    assert second["target_pos"] == []
    assert (second["stop_time"], second["go_cue_time"]) == (None, None)
    assert (first["success"], second["split"], second["rt"]) == (True, "väl", 65_535)
    assert first["matrix"] == [[1.5, None]]
    assert first["origin"] == "<reference>"
    assert second["pairs"] == {"n": 3, "v": None}
    for value in first.values():
        assert type(value) in (bool, int, float, str, list, dict, type(None))


def test_doubly_ragged_columns(tmp_path):
    def edit(file):
        table = file["intervals/trials"]
        table["taps"] = [0.1, 0.2, 0.3, 0.4]
        table["taps_index"] = np.array([1, 3, 4], dtype=np.uint8)
        table["taps_index_index"] = np.array([2, 3], dtype=np.uint8)

    path = edited(
        tmp_path / "f.nwb", edit, trials={"start_time": [0.0, 1.0], "stop_time": [1.0, 2.0]}
    )
    with open_recording(path) as recording:
        assert [t.columns["taps"] for t in recording.trials] == [[[0.1], [0.2, 0.3]], [[0.4]]]


def test_trials_without_times_are_no_trials(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", trials={"start_time": [0.0]})
    with open_recording(path) as recording:
        assert len(recording.trials) == 0
        assert any("no start_time and stop_time" in line for line in recording.missing)


def test_clocks_that_do_not_start_at_zero(tmp_path):
    late = whole(
        write_nwb(tmp_path / "late.nwb", spikes=[[1_700_000_000.51, 1_700_000_001.02]]), 10
    )
    assert np.flatnonzero(late.counts[:, 0]).tolist() == [5, 10]
    negative = whole(write_nwb(tmp_path / "early.nwb", spikes=[[-0.45, 0.15]]), 10)
    assert np.flatnonzero(negative.counts[:, 0]).tolist() == [5, 11]


def test_a_clock_that_cannot_be_is_refused_at_a_rate(tmp_path):
    recording = open_recording(write_nwb(tmp_path / "f.nwb", spikes=[[0.0, 1e15]]))
    with recording, pytest.raises(RecordingError, match="too long for 40 bins per second"):
        recording.at_rate(Fraction(40))


def test_opening_does_not_import_what_takes_long(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", series=[SeriesSpec("hand_pos", XY, T)])
    code = (
        "import sys; from pathlib import Path; from fractions import Fraction\n"
        "from phantomlink.recordings.recording import open_recording\n"
        f"open_recording(Path({str(path)!r})).at_rate(Fraction(40)).read(0, 1)\n"
        "heavy = {'pynwb', 'hdmf', 'pandas', 'scipy', 'rich', 'trio'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_series_of_behaviour_path(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", series=[SeriesSpec("hand_pos", XY, T)])
    with open_recording(path) as recording:
        assert recording.behaviour.used_as(f"{BEHAVIOR}/hand_pos") == "position and velocity"
