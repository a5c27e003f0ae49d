"""The file of a synthetic recording: its layout, what it says it is, and whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.recordings.synthetic import (
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
    code = "import sys, phantomlink.recordings.synthetic; print('pynwb' in sys.modules)"
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
        "import sys, pathlib; from phantomlink.recordings.synthetic import run_synth;"
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
    with written_atomically(tmp_path / "x.nwb", overwrite=False) as part:
        part.write_bytes(b"whole")
    assert sorted(tmp_path.iterdir()) == [fresh, tmp_path / "x.nwb"]


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.nwb"
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
