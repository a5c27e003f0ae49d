from __future__ import annotations

import json

import numpy as np
import pytest

from phantomlink.recordings.index_progress import IndexProgress
from phantomlink.recordings.inspection.command import run_inspect
from phantomlink.recordings.inspection.findings import inspect_recording
from phantomlink.recordings.inspection.text import render
from phantomlink.recordings.options import SEARCH, SeriesOptions
from tests.nwb_files import Ragged, SeriesSpec, moving, write_nwb

T = np.arange(1000) / 500


@pytest.fixture
def path(tmp_path):
    return write_nwb(
        tmp_path / "[odd] name.nwb",
        spikes=[[0.1, 0.2, 1.9], []],
        unit_ids=[1011, 2874],
        series=[
            SeriesSpec("cursor_pos", moving(T), T, unit="m", conversion=0.001),
            SeriesSpec("eye_pos", np.column_stack((T, T, T)), rate=250.0),
        ],
        trials={
            "start_time": [0.0, 1.0],
            "stop_time": [0.5, 2.0],
            "go_cue_time": [0.2, np.nan],
            "success": [True, False],
            "target_pos": Ragged([[[3, 4]], [[0, -1], [5, 5]]]),
            "active_target": [0, 1],
        },
    )


def test_what_is_in_a_recording_as_json(path):
    found = inspect_recording(path, SEARCH).as_json()
    json.dumps(found, allow_nan=False)
    assert found["dataset"] == "[odd] name"
    assert found["synthetic"] is False
    assert found["clock"] == {
        "t0_seconds": 0.0,
        # The stop of a trial: the eye goes on to 3.996 s, but is not played.
        "last_event_seconds": 2.0,
        "duration_seconds": 2.025,
        "frequency_hz": 40.0,
        "bin_size_ms": 25.0,
        "total_packets": 81,
    }
    assert found["units"] == {
        "path": "units",
        "n_units": 2,
        "lowest_id": 1011,
        "highest_id": 2874,
        "areas": {},
        "n_heldout": None,
        "n_spikes": 3,
        "mean_rate_hz": pytest.approx(3 / 2 / 2.025),
        "labels": None,
    }
    position = found["behaviour"]["position"]
    assert (position["path"], position["unit"], position["conversion"], position["rate_hz"]) == (
        "processing/behavior/cursor_pos",
        "m",
        0.001,
        500.0,
    )
    assert found["behaviour"]["velocity"]["derived"] is True
    uses = {series["path"]: series["used_as"] for series in found["behaviour"]["series"]}
    assert uses == {
        "processing/behavior/cursor_pos": "position and velocity",
        "processing/behavior/eye_pos": None,
    }
    trials = found["trials"]
    assert (trials["count"], trials["mean_seconds"]) == (2, 0.75)
    assert (trials["target_column"], trials["target_position_column"]) == (
        "active_target",
        "target_pos",
    )
    assert trials["targets"] == [{"target_id": 0, "n_trials": 1}, {"target_id": 1, "n_trials": 1}]
    assert [(r["x"], r["y"]) for r in trials["reaches"]] == [(5.0, 5.0), (3.0, 4.0)]
    columns = {
        column["name"]: (column["kind"], column["n_unknown"]) for column in trials["columns"]
    }
    assert columns == {
        "id": ("whole number", 0),
        "start_time": ("number", 0),
        "stop_time": ("number", 0),
        "go_cue_time": ("number", 1),
        "success": ("true/false", 0),
        "target_pos": ("list", 0),
        "active_target": ("whole number", 0),
    }
    assert [line.split(":")[0] for line in found["missing"]] == ["velocity"]


def test_what_is_in_a_recording_as_text(path):
    text = render(inspect_recording(path, SEARCH), 120)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "[odd] name.nwb" in lines  # no markup
    assert "units 2" in lines
    assert "unit ids 1011 to 2874, from /units" in lines
    assert "bins 81 of 25 ms at 40 Hz" in lines
    assert "synthetic no" in lines
    assert (
        "processing/behavior/cursor_pos m (stored x 0.001) 500 Hz 1000 x 2 position and velocity"
        in lines
    )
    assert "processing/behavior/eye_pos mm 250 Hz 1000 x 3 -" in lines
    assert "active_target whole number - which target" in lines
    assert "go_cue_time number 1 -" in lines
    assert "reach_id=0 (5, 5) 1" in lines
    assert "- velocity: no series of it; vx and vy are the gradient of the position" in lines
    assert max(len(line) for line in text.splitlines()) <= 120
    assert "\x1b" not in text


def test_nothing_but_spikes(tmp_path):
    inspection = inspect_recording(write_nwb(tmp_path / "f.nwb"))
    text = render(inspection, 100)
    assert "Columns of the trials" not in text
    assert "- position: no series" in text
    assert "- trials: none at intervals/trials" in text
    assert inspection.as_json()["behaviour"] == {
        "position": None,
        "velocity": None,
        "target": None,
        "series": [],
    }


def test_run_inspect_prints(path, capsys):
    assert run_inspect(path, SEARCH, as_json=True) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["units"]["n_units"] == 2
    assert captured.err == ""
    assert run_inspect(path, SEARCH, as_json=False) == 0
    assert "1011 to 2874" in capsys.readouterr().out


def test_run_inspect_takes_the_name_of_a_dataset_and_what_the_catalogue_says(path, capsys):
    (path.parent / f"{path.stem}.dataset.toml").write_text('velocity_series = "wings"\n')
    assert run_inspect(path.stem, SEARCH, as_json=True, data_dir=path.parent) == 2
    assert "velocity_series 'wings'" in capsys.readouterr().err
    told = SeriesOptions(velocity_series="processing/behavior/eye_pos")
    assert run_inspect(path.stem, told, as_json=True, data_dir=path.parent) == 0
    assert run_inspect("nothing", SEARCH, as_json=True, data_dir=path.parent) == 2
    assert "nothing: no such file" in capsys.readouterr().err


def test_run_inspect_refuses_a_told_series_that_is_not_there(path, capsys):
    assert run_inspect(path, SeriesOptions(velocity_series="wings"), as_json=True) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"phantomlink: {path}: velocity_series 'wings' is not a series of the recording; "
        "it has: processing/behavior/cursor_pos, processing/behavior/eye_pos\n"
    )


def test_the_progress_bar_appears_only_when_there_is_something_to_wait_for(capsys):
    with IndexProgress():
        pass
    assert capsys.readouterr().err == ""
    with IndexProgress() as progress:
        progress(1, 2)
        progress(2, 2)
    assert capsys.readouterr().out == ""
