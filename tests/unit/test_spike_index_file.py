"""The file of a spike index: made once, and believed only while it is this recording's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.index_cache import HEADER_BYTES, places
from phantomlink.recordings.nwb import index_build
from tests.spike_index import RATE, expected_counts, opened, random_units, write_units


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many runs and pieces even of few spikes."""
    monkeypatch.setattr(index_build, "RUN_SPIKES", 1500)
    monkeypatch.setattr(index_build, "MERGE_SPIKES", 1000)
    monkeypatch.setattr(index_build, "SHORTEST_STRETCH", 16)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.nwb"
    write_units(path, random_units(1))
    return path


def builds(path: Path, **options: object) -> bool:
    """Whether opening it makes the index; it counts right either way."""
    calls: list[tuple[int, int]] = []
    index = opened(path, progress=lambda done, total: calls.append((done, total)), **options)
    grid = BinGrid.covering(0.0, 60.0, RATE)
    with h5py.File(path) as file:
        ends = file["units/spike_times_index"][...].astype(np.int64)
        units = np.split(file["units/spike_times"][...], ends[:-1])
    assert np.array_equal(index.counts(grid, 0, grid.n_bins), expected_counts(units, grid))
    index.close()
    if calls:
        assert calls[-1] == (2 * ends[-1], 2 * ends[-1])
    return bool(calls)


def test_it_is_made_once_beside_the_recording(recording: Path) -> None:
    assert builds(recording)
    assert not builds(recording)
    beside = recording.parent / ".recording.nwb.phantomlink-index"
    assert sorted(recording.parent.iterdir()) == [beside, recording]


def touched(recording: Path) -> None:
    status = recording.stat()
    os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def rewritten_with_the_same_time(recording: Path) -> None:
    status = recording.stat()
    write_units(recording, random_units(2, n_spikes=21_000))
    os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [touched, rewritten_with_the_same_time])
def test_an_index_of_what_the_recording_was_is_not_believed(
    change: Callable[[Path], None], recording: Path
) -> None:
    assert builds(recording)
    change(recording)
    assert builds(recording)
    assert not builds(recording)


def test_an_index_of_another_recording_is_not_believed(recording: Path) -> None:
    assert builds(recording)
    other = recording.with_name("other.nwb")
    shutil.copy2(recording, other)
    shutil.copy2(places(recording, recording)[0], places(other, other)[0])
    assert builds(other)


def damaged_at(offset: int) -> Callable[[Path], None]:
    def damage(index: Path) -> None:
        raw = bytearray(index.read_bytes())
        raw[offset] ^= 1
        index.write_bytes(raw)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        damaged_at(0),
        damaged_at(18),
        damaged_at(20),
        damaged_at(40),
        damaged_at(-1),
        lambda index: index.write_bytes(b""),
        lambda index: index.write_bytes(index.read_bytes()[:-1]),
        lambda index: index.write_bytes(index.read_bytes() + b"\0"),
        lambda index: index.write_bytes(index.read_bytes()[: HEADER_BYTES + 100]),
        lambda index: index.write_bytes(bytes(100_000)),
    ],
    ids=[
        *("magic", "length", "crc", "header", "directory"),
        *("empty", "cut", "longer", "header-only", "zeros"),
    ],
)
def test_a_damaged_index_is_made_again(damage: Callable[[Path], None], recording: Path) -> None:
    assert builds(recording)
    damage(places(recording, recording)[0])
    assert builds(recording)
    assert not builds(recording)


def test_an_index_of_another_version_is_made_again(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert builds(recording)
    monkeypatch.setattr("phantomlink.recordings.index_cache.VERSION", 2)
    calls: list[int] = []
    with pytest.raises(RecordingError, match="not what is read"):
        # The header still says 1, so that nothing made by this code is believed.
        opened(recording, progress=lambda done, total: calls.append(done))
    assert calls


def test_damage_found_while_playing_is_an_error(recording: Path) -> None:
    opened(recording).close()
    damaged_at(HEADER_BYTES + 12)(places(recording, recording)[0])
    index = opened(recording)
    grid = BinGrid.covering(0.0, 60.0, RATE)
    with pytest.raises(RecordingError, match="damaged; delete this file"):
        index.counts(grid, 0, 1)
    assert index.counts(grid, 2300, 2301).shape == (1, 7)
    index.close()


def test_an_index_cut_short_while_playing_is_an_error(recording: Path) -> None:
    index = opened(recording)
    os.truncate(places(recording, recording)[0], HEADER_BYTES + 50_000)
    grid = BinGrid.covering(0.0, 60.0, RATE)
    with pytest.raises(RecordingError, match="cannot be read: the file ends"):
        index.counts(grid, 2300, 2301)
    index.close()


def test_a_closed_index_is_an_error(recording: Path) -> None:
    index = opened(recording)
    index.close()
    index.close()
    with pytest.raises(RecordingError, match="cannot be read"):
        index.counts(BinGrid.covering(0.0, 60.0, RATE), 0, 10)


def test_it_goes_to_the_cache_directory_when_the_folder_cannot_be_written(
    recording: Path,
) -> None:
    beside, cached = places(recording, recording.parent / "cache" / "deep")
    # Tests may run as root, whom no permission stops; but nobody replaces a folder by a file.
    (beside / "in the way").mkdir(parents=True)
    options = {"cache_dir": recording.parent / "cache" / "deep"}
    assert builds(recording, **options)
    assert not builds(recording, **options)
    assert list(cached.parent.iterdir()) == [cached]
    assert sorted(recording.parent.iterdir()) == [beside, recording.parent / "cache", recording]


def test_a_full_disk_is_one_line_that_says_what_to_do(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200_000))
    with pytest.raises(RecordingError) as caught:
        opened(recording)
    message = str(caught.value)
    assert message.count("MB needed, 0.2 MB free") == 2
    assert str(recording.parent / "cache") in message
    assert "free some space" in message
    assert "\n" not in message
    assert sorted(p.name for p in recording.parent.iterdir()) == ["cache", "recording.nwb"]


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    write_units(tmp_path / "r.nwb", random_units(4, n_spikes=60_000))
    # A limit on the size of files is the nearest thing to a full disk that a test can have.
    code = (
        "import resource, signal, sys, pathlib\n"
        "from phantomlink.errors import RecordingError\n"
        "from phantomlink.recordings.nwb.spike_index import open_spike_index\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "try:\n"
        "    open_spike_index(folder / 'r.nwb', spike_times_path='units/spike_times',\n"
        "        index_path='units/spike_times_index', cache_dir=folder / 'cache')\n"
        "except RecordingError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.count("File too large") == 2
    assert done.stdout.count("\n") == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["cache", "r.nwb"]


def test_an_interruption_leaves_nothing(recording: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(recording, progress=interrupt)
    assert list(recording.parent.iterdir()) == [recording]


def test_a_recording_that_changes_meanwhile_is_refused(recording: Path) -> None:
    with pytest.raises(RecordingError, match="changed while its spikes were sorted"):
        opened(recording, progress=lambda done, total: touched(recording))
    assert builds(recording)
