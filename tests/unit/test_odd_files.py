"""Files that are not as they should be: each plays, with nulls, or is refused in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.inspection.command import run_inspect
from phantomlink.recordings.locate import locate_recording
from phantomlink.recordings.options import SEARCH
from phantomlink.recordings.recording import open_recording
from phantomlink.settings import Settings
from tests.nwb_files import BEHAVIOR, Ragged, SeriesSpec, moving, write_nwb

T = np.arange(300) / 100
XY = moving(T)


def whole(path, rate=40):
    with open_recording(path) as recording:
        bins = recording.at_rate(Fraction(rate))
        return bins.read(0, bins.grid.n_bins)


# --- refused --------------------------------------------------------------------------------


def not_there(folder):
    return folder / "nothing.nwb"


def directory(folder):
    return folder


def zarr(folder):
    (folder / "z.nwb").mkdir()
    (folder / "z.nwb" / ".zgroup").write_text("{}")
    return folder / "z.nwb"


def not_hdf5(folder):
    path = folder / "text.nwb"
    path.write_text("spikes,0.1,0.2\n")
    return path


def empty_file(folder):
    path = folder / "empty.nwb"
    path.touch()
    return path


def truncated(folder):
    path = write_nwb(folder / "cut.nwb", series=[SeriesSpec("hand_pos", XY, T)])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    return path


def hdf5_but_not_nwb(folder):
    path = folder / "plain.h5"
    with h5py.File(path, "w") as file:
        file["units/spike_times"] = [0.1]
    return path


def nwb_1(folder):
    path = write_nwb(folder / "old.nwb")
    with h5py.File(path, "a") as file:
        file.attrs["nwb_version"] = "1.0.6"
    return path


def no_units(folder):
    return write_nwb(folder / "f.nwb", spikes=None, series=[SeriesSpec("hand_pos", XY, T)])


def empty_units(folder):
    return write_nwb(folder / "f.nwb", spikes=())


def edited(folder, edit, **kwargs):
    path = write_nwb(folder / "f.nwb", **kwargs)
    with h5py.File(path, "a") as file:
        edit(file)
    return path


def without(name):
    def make(folder):
        return edited(folder, lambda file: file.__delitem__(f"units/{name}"))

    make.__name__ = f"without_{name}"
    return make


def index_outside(folder):
    return edited(
        folder, lambda file: file["units/spike_times_index"].write_direct(np.uint8([2, 9]))
    )


def index_backwards(folder):
    return edited(
        folder, lambda file: file["units/spike_times_index"].write_direct(np.uint8([3, 2]))
    )


def spike_times_of_text(folder):
    def edit(file):
        del file["units/spike_times"]
        file["units/spike_times"] = ["a", "b", "c"]

    return edited(folder, edit)


def nan_spike(folder):
    return write_nwb(folder / "f.nwb", spikes=[[0.1], [0.2, np.nan, np.nan]], unit_ids=[1011, 2874])


def infinite_spike(folder):
    return write_nwb(folder / "f.nwb", spikes=[[np.inf], [0.2]], unit_ids=[1011, 2874])


def nothing_happens(folder):
    return write_nwb(folder / "f.nwb", spikes=[[], []])


def annex_link(folder):
    key = "MD5E-s30154--0.nwb"
    path = folder / "f.nwb"
    path.symlink_to(f"../../.git/annex/objects/aa/bb/{key}/{key}")
    return path


def annex_pointer(folder):
    path = folder / "f.nwb"
    path.write_text("/annex/objects/MD5E-s30154--0.nwb\n")
    return path


def lfs_pointer(folder):
    path = folder / "f.nwb"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    return path


def dangling_link(folder):
    path = folder / "f.nwb"
    path.symlink_to("nowhere.nwb")
    return path


def lindi(folder):
    path = folder / "f.nwb.lindi.json"
    path.write_text('{"refs": {}}')
    return path


def compress(path, name, code):
    """Say of a dataset that it was compressed with a filter."""
    with h5py.File(path, "a") as file:
        stored, attributes = file[name][...], dict(file[name].attrs)
        del file[name]
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk(stored.shape)
        layout.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple(stored.shape)
        kind = h5py.h5t.py_create(stored.dtype)
        dataset = h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, layout))
        dataset.id.write_direct_chunk((0,) * stored.ndim, stored.tobytes())
        dataset.attrs.update(attributes)


REFUSED = [
    (annex_link, r"a link of git-annex whose content is not here; get it: git annex get f.nwb"),
    (annex_pointer, r"a pointer of git-annex, not the content; get it: git annex get f.nwb"),
    (lfs_pointer, r"a pointer of Git LFS, not the content; get it: git lfs pull -I f.nwb"),
    (dangling_link, "is a link to nowhere.nwb, which is not there"),
    (lindi, "references to a recording .LINDI., not the recording; download the NWB file"),
    (not_there, "no such file"),
    (directory, "is a directory"),
    (zarr, "Zarr"),
    (not_hdf5, "not an HDF5 file"),
    (empty_file, "not an HDF5 file"),
    (truncated, r"truncated HDF5 file: \d+ of \d+ bytes are there"),
    (hdf5_but_not_nwb, "HDF5, but not NWB: its root has neither"),
    (nwb_1, "NWB 1.0.6; only NWB 2 is read"),
    (
        no_units,
        r"no units: there is no table at /units .*; it has 1 SpatialSeries; .*counts-series",
    ),
    (empty_units, "table of units is empty"),
    (without("spike_times"), "units: units without spike_times; the table has id"),
    (without("spike_times_index"), "units: units without spike_times_index"),
    (index_outside, r"units/spike_times_index: points outside .* 2 to 9, .* 0 to 3"),
    (index_backwards, "units/spike_times_index: points outside"),
    (spike_times_of_text, "not a list of numbers"),
    (nan_spike, r"unit 2874 has a spike at nan s: a timestamp must be a number \(2 such"),
    (infinite_spike, "unit 1011 has a spike at inf s"),
    (nothing_happens, "2 units, but no spikes, no behaviour and no trials"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_refused_in_one_line_that_names_the_file_and_what_is_wrong(tmp_path, capsys, make, reason):
    path = make(tmp_path)
    with pytest.raises(RecordingError, match=reason) as caught:
        open_recording(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert run_inspect(path, SEARCH, as_json=False) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert line in captured.err


@pytest.fixture
def no_filters(monkeypatch):
    """As where hdf5plugin is not installed."""
    available = h5py.h5z.filter_avail
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code < 32_000 and available(code))
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)


def test_a_filter_that_is_missing_is_named_with_what_to_install(tmp_path, no_filters):
    said = (
        r"is compressed with Blosc \(HDF5 filter 32001\), which is not installed; install it: "
        r"pip install 'phantomlink\[filters\]'"
    )
    path = write_nwb(tmp_path / "spikes.nwb")
    compress(path, "units/spike_times", 32_001)
    with pytest.raises(RecordingError, match=f"spikes.nwb: units/spike_times: {said}"):
        open_recording(path)
    path = write_nwb(tmp_path / "position.nwb", series=[SeriesSpec("hand_pos", XY, T)])
    compress(path, f"{BEHAVIOR}/hand_pos/data", 32_001)
    with open_recording(path) as recording:
        assert recording.n_spikes == 3
        assert recording.behaviour.position is None
        assert any(re.search(f"hand_pos/data: {said}", line) for line in recording.missing)


def test_a_filter_of_hdf5plugin_needs_no_environment_variable(tmp_path):
    code = (
        "import sys; from pathlib import Path; from fractions import Fraction\n"
        "from phantomlink.recordings.recording import open_recording\n"
        "recording = open_recording(Path(sys.argv[1]))\n"
        "bins = recording.at_rate(Fraction(40))\n"
        "print(bins.read(0, bins.grid.n_bins).counts.sum())"
    )
    path = write_nwb(tmp_path / "f.nwb", spikes=[np.arange(5) / 10])
    write = (
        "import sys, h5py, hdf5plugin, numpy\n"
        "file = h5py.File(sys.argv[1], 'a'); name = 'units/spike_times'\n"
        "times = file[name][...]; del file[name]\n"
        "file.create_dataset(name, data=times, chunks=True, **hdf5plugin.Blosc(cname='zstd'))"
    )
    for program, said in ((write, ""), (code, "5\n")):
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, said), done.stderr


@pytest.mark.parametrize(
    "address",
    ["https://api.dandiarchive.org/api/assets/x/download/", "s3://bucket/f.nwb", "https://x.nwb"],
)
def test_an_address_is_shown_as_it_was_given(capsys, address):
    assert run_inspect(address, SEARCH, as_json=False) == 2
    assert f"phantomlink: {address}: is an address; recordings are played from files" in (
        capsys.readouterr().err
    )
    with pytest.raises(RecordingError, match=f"{address}: is an address"):
        locate_recording(Settings(), address)


def test_a_file_that_is_being_written_is_not_called_damaged(tmp_path):
    path = write_nwb(tmp_path / "f.nwb")
    code = (
        "import sys; from pathlib import Path\n"
        "from phantomlink.recordings.inspection.command import run_inspect\n"
        "from phantomlink.recordings.options import SEARCH\n"
        f"sys.exit(run_inspect(Path({str(path)!r}), SEARCH, True))"
    )
    with h5py.File(path, "a"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"phantomlink: {path}: another program has it open for writing")
    assert done.stderr.count("\n") == 1


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = write_nwb(
        tmp_path / "whole.nwb",
        series=[SeriesSpec("hand_pos", XY, T)],
        trials={"start_time": [0.0], "stop_time": [1.0]},
    )
    whole_file = path.read_bytes()
    cut = tmp_path / "cut.nwb"
    for length in [*range(1, 128, 9), *range(128, len(whole_file), 997), len(whole_file) - 1]:
        cut.write_bytes(whole_file[:length])
        with pytest.raises(RecordingError, match=r"not an HDF5 file|truncated|damaged") as caught:
            open_recording(cut)
        assert "\n" not in str(caught.value)


# --- played ---------------------------------------------------------------------------------


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

    path = edited(tmp_path, edit, trials=trials)
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

    path = edited(tmp_path, edit, trials={"start_time": [0.0, 1.0], "stop_time": [1.0, 2.0]})
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
