"""Counts of bins out of a spike index, against a count of one's own."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phantomlink.errors import RecordingError
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.index_cache import BLOCK_SPIKES
from phantomlink.recordings.nwb import index_build, spike_index
from phantomlink.recordings.nwb.tree import tree_of
from tests.spike_index import RATE, expected_counts, opened, random_units, write_units

TOOL = Path(__file__).parents[2] / "tools" / "make_large_recording.py"


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
