"""A recording says nothing but itself: links, virtual sources and raw storage stay unread."""

from __future__ import annotations

import os
from fractions import Fraction

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.inspection.findings import inspect_recording
from phantomlink.recordings.inspection.text import render
from phantomlink.recordings.options import SEARCH, SeriesOptions
from phantomlink.recordings.recording import open_recording
from tests.nwb_files import BEHAVIOR, SeriesSpec, moving, write_nwb

T = np.arange(300) / 100
XY = moving(T)
SECRET = 7777.25
SECRET_TEXT = "the secret of another file"
FOLDER = SeriesOptions(external_links="folder")


def secret_file(path):
    """What must not be shown: a series and a trial column of another file."""
    with h5py.File(path, "w") as file:
        file["rows"] = np.full((300, 2), SECRET)
        file["column"] = [SECRET_TEXT] * 2
        file["times"] = T
        series = file.create_group("series")
        series.attrs["neurodata_type"] = "SpatialSeries"
        series["data"] = np.full((300, 2), SECRET)
        series["data"].attrs["unit"] = "mm"
        series["timestamps"] = T
    return path


def recording(folder, edit):
    path = write_nwb(
        folder / "f.nwb",
        spikes=[[0.1, 1.2, 2.9]],
        series=[SeriesSpec("cursor_pos", XY, T)],
        trials={"start_time": [0.0, 1.0], "stop_time": [0.5, 2.0]},
    )
    with h5py.File(path, "a") as file:
        edit(file)
    return path


def everything_said(path, options=SEARCH):
    """All that any answer could be made of."""
    with open_recording(path, options=options) as opened:
        bins = opened.at_rate(Fraction(40))
        block = bins.read(0, bins.grid.n_bins)
        said = [repr(opened.info), repr(opened.missing), repr(opened.behaviour)]
        said += [repr(trial.as_json()) for trial in opened.trials]
        assert block.counts.sum() == 3
        return block, " ".join(said), opened


def link_to_a_series(secret):
    def edit(file):
        del file[f"{BEHAVIOR}/cursor_pos"]
        file[f"{BEHAVIOR}/cursor_pos"] = h5py.ExternalLink(str(secret), "/series")

    return edit


def link_to_data(secret):
    def edit(file):
        unit = file[f"{BEHAVIOR}/cursor_pos/data"].attrs["unit"]
        del file[f"{BEHAVIOR}/cursor_pos/data"]
        file[f"{BEHAVIOR}/cursor_pos/data"] = h5py.ExternalLink(str(secret), "/rows")
        assert unit

    return edit


def link_to_a_column(secret):
    def edit(file):
        file["intervals/trials/note"] = h5py.ExternalLink(str(secret), "/column")

    return edit


def link_behind_a_soft_link(secret):
    def edit(file):
        file["scratch/there"] = h5py.ExternalLink(str(secret), "/")
        file["intervals/trials/note"] = h5py.SoftLink("/scratch/there/column")

    return edit


def link_to_all_of_it(secret):
    def edit(file):
        file["analysis"] = h5py.ExternalLink(str(secret), "/")

    return edit


def virtual_data(secret):
    def edit(file):
        layout = h5py.VirtualLayout((300, 2), "f8")
        layout[...] = h5py.VirtualSource(str(secret), "rows", (300, 2))
        del file[f"{BEHAVIOR}/cursor_pos/data"]
        data = file[f"{BEHAVIOR}/cursor_pos"].create_virtual_dataset("data", layout)
        data.attrs["unit"] = "mm"

    return edit


def virtual_behind_virtual(secret):
    def edit(file):
        virtual_data(secret)(file)
        file.move(f"{BEHAVIOR}/cursor_pos/data", "scratch_rows")
        layout = h5py.VirtualLayout((300, 2), "f8")
        layout[...] = h5py.VirtualSource(".", "scratch_rows", (300, 2))
        data = file[f"{BEHAVIOR}/cursor_pos"].create_virtual_dataset("data", layout)
        data.attrs["unit"] = "mm"

    return edit


def raw_column(secret):
    def edit(file):
        file["intervals/trials"].create_dataset(
            "note", (2,), "S13", external=[(str(secret), 0, 26)]
        )

    return edit


def raw_behind_virtual(secret):
    def edit(file):
        file.create_dataset("raw", (2,), "f8", external=[(str(secret), 0, 16)])
        layout = h5py.VirtualLayout((2,), "f8")
        layout[...] = h5py.VirtualSource(".", "raw", (2,))
        file["intervals/trials"].create_virtual_dataset("note", layout)

    return edit


def raw_identifier(secret):
    def edit(file):
        del file["session_description"]
        file.create_dataset("session_description", (1,), "S26", external=[(str(secret), 0, 26)])

    return edit


WAYS = [
    link_to_a_series,
    link_to_data,
    link_to_a_column,
    link_behind_a_soft_link,
    link_to_all_of_it,
    virtual_data,
    virtual_behind_virtual,
    raw_column,
    raw_behind_virtual,
    raw_identifier,
]
RAW = {raw_column, raw_behind_virtual, raw_identifier}


@pytest.mark.parametrize("follow", [False, True], ids=["off", "folder"])
@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
def test_the_bytes_of_a_file_elsewhere_appear_nowhere(tmp_path, monkeypatch, way, follow):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    if way in RAW:
        secret = tmp_path / "elsewhere/secret.txt"
        secret.write_text(SECRET_TEXT)
    else:
        secret = secret_file(tmp_path / "elsewhere/secret.h5")
    path = recording(tmp_path / "here", way(secret))
    monkeypatch.chdir(tmp_path / "elsewhere")
    block, said, opened = everything_said(path, FOLDER if follow else SEARCH)
    assert SECRET not in block.kinematics
    assert str(SECRET) not in said
    assert "the secret" not in said
    assert opened.linked_paths == ()
    place = {"link_to_all_of_it": "analysis"}.get(way.__name__)
    assert any(
        (place or "cursor_pos") in each or "note" in each or "session_description" in each
        for each in opened.missing
    )


@pytest.mark.parametrize(
    "name", ["../secret.h5", "link.h5", "/{secret}"], ids=["dots", "symlink", "absolute"]
)
def test_no_way_leads_out_of_the_folder(tmp_path, name):
    secret = secret_file(tmp_path / "secret.h5")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link.h5").symlink_to(secret)
    target = name.format(secret=str(secret).lstrip("/"))
    path = recording(tmp_path / "here", link_to_a_series(target))
    block, _, opened = everything_said(path, FOLDER)
    assert np.isnan(block.kinematics).all()
    (line,) = [each for each in opened.missing if "outside" in each]
    assert "cursor_pos" in line
    assert opened.linked_paths == ()


@pytest.mark.parametrize("way", [link_to_a_series, link_to_data, virtual_data])
def test_files_of_its_folder_are_read_when_it_is_allowed(tmp_path, monkeypatch, way):
    """Whatever the working directory has under the same name."""
    other = secret_file(tmp_path / "raw.h5")
    (tmp_path / "cwd").mkdir()
    with h5py.File(secret_file(tmp_path / "cwd/raw.h5"), "a") as file:
        file["rows"][...] = -1
    monkeypatch.chdir(tmp_path / "cwd")
    path = recording(tmp_path, way("raw.h5"))
    block, _, opened = everything_said(path)
    assert np.isnan(block.kinematics).all()
    assert any("--external-links folder" in each for each in opened.missing)
    block, _, opened = everything_said(path, FOLDER)
    assert opened.linked_paths == (other.resolve(),)
    assert any("is in another file, raw.h5" in each for each in opened.missing)
    if way is not link_to_data:
        assert (block.kinematics[:, 2:] == SECRET).all()
    found = inspect_recording(path, FOLDER)
    assert found.as_json()["files"] == [str(other.resolve())]
    assert "raw.h5" in render(found, 100)


def test_a_prefix_in_the_environment_is_not_followed(tmp_path, monkeypatch):
    secret_file(tmp_path / "raw.h5")
    (tmp_path / "elsewhere").mkdir()
    with h5py.File(secret_file(tmp_path / "elsewhere/raw.h5"), "a") as file:
        file["rows"][...] = -1
    path = recording(tmp_path, virtual_data("raw.h5"))
    monkeypatch.setenv("HDF5_VDS_PREFIX", str(tmp_path / "elsewhere"))
    block, _, opened = everything_said(path, FOLDER)
    assert np.isnan(block.kinematics).all()
    assert any("unset HDF5_VDS_PREFIX" in each for each in opened.missing)


def test_only_one_level_is_followed(tmp_path):
    secret_file(tmp_path / "far.h5")
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["series"] = h5py.ExternalLink("far.h5", "/series")
    path = recording(tmp_path, link_to_a_series("raw.h5"))
    block, _, opened = everything_said(path, FOLDER)
    assert np.isnan(block.kinematics).all()
    assert any("from a linked file to another, far.h5" in each for each in opened.missing)


def test_a_linked_file_that_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "raw.h5")
    path = recording(tmp_path, link_to_a_series("raw.h5"))
    _, _, opened = everything_said(path, FOLDER)
    assert any("is a FIFO, not a regular file" in each for each in opened.missing)


def test_a_linked_file_that_is_written_to_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("phantomlink.recordings.nwb.behaviour.MEMORY_VALUES", 0)
    other = secret_file(tmp_path / "raw.h5")
    path = recording(tmp_path, link_to_a_series("raw.h5"))
    with open_recording(path, options=FOLDER) as opened:
        bins = opened.at_rate(Fraction(40))
        assert (bins.read(0, 10).kinematics[:, 2:] == SECRET).all()
        with other.open("r+b") as file:
            file.truncate(other.stat().st_size // 2)
        with pytest.raises(RecordingError, match=r"raw.h5, which it links to: the file was cut"):
            bins.read(10, 20)


@pytest.mark.parametrize("place", ["units", "units/spike_times"])
def test_spikes_of_another_file_refuse_the_recording_with_the_way_to_allow_it(tmp_path, place):
    other = write_nwb(tmp_path / "other.nwb", spikes=[[0.5]])
    path = write_nwb(tmp_path / "f.nwb", spikes=[[0.1]])
    with h5py.File(path, "a") as file:
        del file[place]
        file[place] = h5py.ExternalLink(other.name, f"/{place}")
    with pytest.raises(RecordingError, match=r"other.nwb, which is not read; .* folder"):
        open_recording(path)
    with open_recording(path, options=FOLDER) as opened:
        bins = opened.at_rate(Fraction(40))
        assert np.flatnonzero(bins.read(0, bins.grid.n_bins).counts[:, 0]).tolist() == [20]
