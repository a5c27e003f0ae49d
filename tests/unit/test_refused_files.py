"""Files that cannot be played: each is refused in one line that says what is wrong with it."""

from __future__ import annotations

import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.inspection.command import run_inspect
from phantomlink.recordings.locate import locate_recording
from phantomlink.recordings.options import SEARCH
from phantomlink.recordings.recording import open_recording
from phantomlink.settings import Settings
from tests.nwb_files import BEHAVIOR, SeriesSpec, edited, moving, write_nwb

T = np.arange(300) / 100


XY = moving(T)


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


def without(name):
    def make(folder):
        return edited(folder / "f.nwb", lambda file: file.__delitem__(f"units/{name}"))

    make.__name__ = f"without_{name}"
    return make


def with_index(folder, ends):
    def edit(file):
        file["units/spike_times_index"].write_direct(np.uint8(ends))

    return edited(folder / "f.nwb", edit)


def index_outside(folder):
    return edited(
        folder / "f.nwb",
        lambda file: file["units/spike_times_index"].write_direct(np.uint8([2, 9])),
    )


def index_backwards(folder):
    return edited(
        folder / "f.nwb",
        lambda file: file["units/spike_times_index"].write_direct(np.uint8([3, 2])),
    )


def spike_times_of_text(folder):
    def edit(file):
        del file["units/spike_times"]
        file["units/spike_times"] = ["a", "b", "c"]

    return edited(folder / "f.nwb", edit)


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
