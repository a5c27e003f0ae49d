"""The index of a large recording counts what is in the file, or says that it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.index_cache import BLOCK_SPIKES, HEADER_BYTES, places
from phantomlink.recordings.nwb import index_build, spike_index
from phantomlink.recordings.nwb.spike_index import SpikeIndex, open_spike_index
from phantomlink.recordings.nwb.tree import tree_of

TOOL = Path(__file__).parents[2] / "tools" / "make_large_recording.py"
RATE = Fraction(40)


def write_units(path: Path, units: list[NDArray[np.float64]], **dataset: object) -> None:
    flat = np.concatenate([np.empty(0), *units])
    with h5py.File(path, "w") as file:
        file.create_dataset("units/spike_times", data=flat, **dataset)
        file["units/spike_times_index"] = np.cumsum([len(u) for u in units]).astype(np.uint32)
        file["units/id"] = 100 + np.arange(len(units))


def opened(path: Path, **options: object) -> SpikeIndex:
    return open_spike_index(
        path,
        spike_times_path="units/spike_times",
        index_path="units/spike_times_index",
        **{"cache_dir": path.parent / "cache", **options},  # type: ignore[arg-type]
    )


def random_units(seed: int, n_units: int = 7, n_spikes: int = 20_000) -> list[NDArray[np.float64]]:
    """More spikes than three blocks hold, one unit silent.

    A tenth is on edges of bins, and a tenth so little before them that it counts as on them.
    """
    rng = np.random.default_rng(seed)
    units = []
    for unit in range(n_units):
        seconds = rng.uniform(0, 60, 0 if unit == 2 else n_spikes // n_units)
        draw = rng.random(seconds.size)
        seconds[draw < 0.2] = np.ceil(seconds[draw < 0.2] * 40) / 40
        seconds[draw < 0.1] -= 1e-9
        units.append(seconds)
    return units


def expected_counts(units: list[NDArray[np.float64]], grid: BinGrid) -> NDArray[np.int64]:
    return np.stack([np.bincount(grid.indices_of(u), minlength=grid.n_bins) for u in units], axis=1)


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


@pytest.mark.usefixtures("small_runs")
@pytest.mark.parametrize(
    "dataset",
    [
        {},
        {"chunks": (1000,), "compression": "gzip"},
        {"dtype": "float32"},
    ],
    ids=["contiguous", "compressed", "single precision"],
)
def test_every_spike_is_in_its_bin(dataset: dict[str, object], tmp_path: Path) -> None:
    units = random_units(3)
    write_units(tmp_path / "r.nwb", units, **dataset)
    if "dtype" in dataset:
        units = [u.astype(np.float32).astype(np.float64) for u in units]
    progress: list[tuple[int, int]] = []
    index = opened(tmp_path / "r.nwb", progress=lambda *step: progress.append(step))
    assert progress == sorted(progress)
    assert len(progress) > 12
    everything = np.concatenate(units)
    assert (index.first_seconds, index.last_seconds) == (everything.min(), everything.max())
    assert (index.n_spikes, index.n_units) == (everything.size, 7)
    assert not index.in_memory
    grid = BinGrid.covering(0.0, everything.max(), RATE)
    whole = index.counts(grid, 0, grid.n_bins)
    assert whole.dtype == np.uint16
    assert np.array_equal(whole, expected_counts(units, grid))
    pieces = [index.counts(grid, k, min(k + 37, grid.n_bins)) for k in range(0, grid.n_bins, 37)]
    assert np.array_equal(np.concatenate(pieces), whole)
    single = [index.counts(grid, k, k + 1)[0] for k in range(grid.n_bins)]
    assert np.array_equal(single, whole)
    index.close()


@given(
    spikes=st.lists(
        st.lists(st.integers(-40, 400).map(lambda k: k / 80) | st.floats(-1, 5), max_size=40),
        min_size=1,
        max_size=5,
    ),
    rate=st.sampled_from([Fraction(40), Fraction(1000, 33), Fraction(7)]),
    run=st.integers(1, 30),
)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_bins_sum_to_spikes_whatever_their_order(
    spikes: list[list[float]],
    rate: Fraction,
    run: int,
    tmp_path: Path,
) -> None:
    units = [np.array(u, dtype=np.float64) for u in spikes]
    path = tmp_path / "r.nwb"
    write_units(path, units)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_build, "RUN_SPIKES", run)
        patch.setattr(index_build, "MERGE_SPIKES", run)
        patch.setattr(index_build, "SHORTEST_STRETCH", 1)
        index = opened(path)
    grid = BinGrid.covering(-1.0, 5.0, rate)
    assert np.array_equal(index.counts(grid, 0, grid.n_bins), expected_counts(units, grid))
    assert index.n_spikes == sum(map(len, spikes))
    index.close()


def test_spikes_at_one_time_fill_blocks(tmp_path: Path) -> None:
    units = [np.full(3 * BLOCK_SPIKES + 5, 1.0), np.array([0.5, 1.0, 1.5])]
    write_units(tmp_path / "r.nwb", units)
    index = opened(tmp_path / "r.nwb")
    grid = BinGrid.covering(0.0, 1.5, RATE)
    assert np.array_equal(index.counts(grid, 0, grid.n_bins), expected_counts(units, grid))
    assert index.counts(grid, 40, 41).tolist() == [[3 * BLOCK_SPIKES + 5, 1]]
    index.close()


def test_a_long_run_of_bins_is_counted_in_parts(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened(recording)
    grid = BinGrid.covering(0.0, 60.0, RATE)
    whole = index.counts(grid, 3, 2200)
    monkeypatch.setattr(spike_index, "BLOCKS_AT_ONCE", 2)
    assert np.array_equal(index.counts(grid, 3, 2200), whole)
    index.close()


def test_too_many_spikes_for_a_count_are_refused(tmp_path: Path) -> None:
    write_units(tmp_path / "r.nwb", [np.full(70_000, 1.0)])
    index = opened(tmp_path / "r.nwb")
    with pytest.raises(RecordingError, match="65535"):
        index.counts(BinGrid.covering(0.0, 1.0, RATE), 40, 41)
    index.close()


def test_no_spikes_at_all(tmp_path: Path) -> None:
    write_units(tmp_path / "r.nwb", [np.empty(0), np.empty(0)])
    index = opened(tmp_path / "r.nwb")
    assert (index.n_spikes, index.first_seconds, index.last_seconds) == (0, None, None)
    assert index.counts(BinGrid(0.0, RATE, 80), 0, 80).tolist() == [[0, 0]] * 80
    index.close()


# --- made once


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


# --- while it plays


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


# --- where it goes


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


# --- what cannot be sorted


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_time_that_is_none_is_refused_with_its_unit(wrong: float, tmp_path: Path) -> None:
    write_units(tmp_path / "r.nwb", [np.array([1.0]), np.array([0.5, wrong])])
    with pytest.raises(RecordingError, match=r"unit 101 has a spike at a time that is NaN or inf"):
        opened(tmp_path / "r.nwb")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.nwb"]


def test_an_index_column_that_points_outside_is_refused(tmp_path: Path) -> None:
    write_units(tmp_path / "r.nwb", [np.array([1.0])])
    with h5py.File(tmp_path / "r.nwb", "a") as file:
        file["units/spike_times_index"][0] = 2
    with pytest.raises(RecordingError, match="points outside its data"):
        opened(tmp_path / "r.nwb")


def test_a_recording_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.nwb: cannot be read: No such file"):
        opened(tmp_path / "none.nwb")


# --- large


def test_memory_does_not_grow_with_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_build, "RUN_SPIKES", 2**15)
    monkeypatch.setattr(index_build, "MERGE_SPIKES", 2**15)
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "r.nwb", "w") as file:
        times = file.create_dataset("units/spike_times", (1_000_000,), chunks=(4096,), dtype="f8")
        for start in range(0, 1_000_000, 100_000):
            times[start : start + 100_000] = np.sort(rng.uniform(0, 100, 100_000))
        file["units/spike_times_index"] = np.arange(1, 11) * 100_000
    tracemalloc.start()
    try:
        index = opened(tmp_path / "r.nwb")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Times and units of all of it are 10 MB.
    assert peak < 5e6
    assert index.n_spikes == 1_000_000
    index.close()


@pytest.mark.parametrize("chunk", [1000, 2_000_000])
def test_a_compressed_chunk_fits_the_cache(chunk: int, tmp_path: Path) -> None:
    # Otherwise it is unpacked again for every run: 20 s for one chunk of 18 million spikes.
    units = [np.arange(2_000_000) / 1000]
    write_units(tmp_path / "r.nwb", units, chunks=(chunk,), compression="gzip", compression_opts=1)
    with h5py.File(tmp_path / "r.nwb") as file:
        tree = tree_of(file, tmp_path / "r.nwb", "off")
        column = index_build._opened_column(tree, "units/spike_times")
        assert column.id.get_access_plist().get_chunk_cache()[1] == max(2**20, 8 * chunk)
        assert np.array_equal(column[1_999_990:], units[0][1_999_990:])


def test_the_tool_makes_a_recording_whose_counts_are_its_spikes(tmp_path: Path) -> None:
    path = tmp_path / "large.nwb"
    done = subprocess.run(
        [sys.executable, str(TOOL), str(path), "--units", "12", "--seconds", "60"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    with h5py.File(path) as file:
        assert file["units/spike_times"].compression == "gzip"
        per_unit = np.diff(file["units/spike_times_index"][...].astype(np.int64), prepend=0)
        assert file["processing/behavior/cursor_pos/data"].shape == (60_000, 2)
    assert f"{per_unit.sum()} spikes" in done.stdout
    assert per_unit.mean() == pytest.approx(300, rel=0.1)
    index = opened(path)
    grid = BinGrid.covering(0.0, 60.0, RATE)
    totals = index.counts(grid, 0, grid.n_bins).sum(axis=0)
    assert np.array_equal(totals, per_unit)
    index.close()
