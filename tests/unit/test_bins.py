from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomlink.errors import BinRangeError, RecordingError
from phantomlink.recordings import bins as bins_module
from phantomlink.recordings.bins import RecordedBins, count_spikes
from phantomlink.recordings.grid import BinGrid, zero_of
from phantomlink.recordings.spikes import MemorySpikes
from phantomlink.recordings.trials import TrialTable

RATES = st.fractions(min_value=Fraction(1, 10), max_value=2000, max_denominator=100)
AT_40 = BinGrid(0.0, Fraction(40), 400)


class NoBehaviour:
    in_memory = True

    def kinematics(self, grid, start, stop):
        return np.full((stop - start, 4), np.nan)


def recorded(seconds, units, n_units, grid):
    spikes = MemorySpikes(
        np.array(seconds, dtype=np.float64), np.array(units, dtype=np.int32), n_units
    )
    return RecordedBins(grid, tuple(range(n_units)), spikes, NoBehaviour(), TrialTable())


@given(RATES, st.integers(-1000, 2_000_000_000), st.integers(0, 10_000_000))
def test_the_start_of_a_bin_is_in_that_bin(rate, t0, index):
    # At a Unix clock floats are 2.4e-7 s apart: a bin of a slow rate is no trouble, and that of
    # a fast one is only as exact as the clock.
    if t0 > 1_000_000:
        rate = min(rate, Fraction(1))
    grid = BinGrid(float(t0), rate, index + 1)
    assert grid.index_of(grid.start_of(index)) == index
    assert grid.index_of(grid.start_of(index) + 0.5 / float(rate)) == index


@pytest.mark.parametrize("index", [3, 29, 57, 132, 2501, 11_746])
def test_a_time_written_in_decimals_is_in_the_bin_that_it_starts(index):
    written = float(f"{index * 25 / 1000:.3f}")
    assert AT_40.index_of(written) == index
    assert AT_40.index_of(float(np.nextafter(written, -1))) == index  # the same time, written badly
    assert AT_40.index_of(written - 1e-6) == index - 1


def test_starts_of_gives_the_same_floats_as_start_of():
    grid = BinGrid(12.0, Fraction(1000, 33), 5000)
    assert grid.starts_of(17, 5000).tolist() == [grid.start_of(i) for i in range(17, 5000)]


def test_sizes_of_a_grid():
    grid = BinGrid.covering(0.0, 293.666, Fraction(40))
    assert (grid.n_bins, grid.bin_size_ms, grid.duration_seconds) == (11_747, 25.0, 293.675)
    assert BinGrid(0.0, Fraction(30), 9).bin_size_ms == pytest.approx(100 / 3, rel=1e-15)


def test_the_last_bin_holds_an_event_on_its_edge():
    assert BinGrid.covering(0.0, 2.5, Fraction(40)).n_bins == 101


@pytest.mark.parametrize(
    ("first", "last", "zero"),
    [
        (0.0, 290.0, 0.0),
        (5.0, 10.0, 0.0),
        (5.1, 10.0, 5.0),
        (-0.2, 10.0, -1.0),
        (-3.0, -1.0, -3.0),
        (1_700_000_000.7, 1_700_000_300.0, 1_700_000_000.0),
        (0.0, 0.0, 0.0),
    ],
)
def test_bin_zero_starts_at_zero_unless_the_clock_is_another_one(first, last, zero):
    assert zero_of(first, last) == zero


def test_every_spike_is_in_exactly_one_bin_and_blocks_join():
    @given(
        st.lists(
            st.tuples(
                st.one_of(
                    st.floats(0, 4.9999),
                    st.integers(0, 199).map(lambda i: i * 0.025),
                    st.integers(0, 199).map(lambda i: i / 40),
                ),
                st.integers(0, 4),
            ),
            max_size=60,
        ),
        st.lists(st.integers(0, 200), max_size=6),
    )
    @settings(max_examples=80)
    def check(spikes, cuts):
        grid = BinGrid(0.0, Fraction(40), 200)
        seconds, units = [time for time, _ in spikes], [unit for _, unit in spikes]
        bins = recorded(seconds, units, 5, grid)
        whole = bins.read(0, 200).counts
        assert whole.sum(axis=0, dtype=int).tolist() == [units.count(unit) for unit in range(5)]
        for time, unit in spikes:
            assert whole[int(round(time * 40, 6)), unit] >= 1
        edges = [0, *sorted(cuts), 200]
        source = MemorySpikes(np.array(seconds), np.array(units, dtype=np.int32), 5)
        blocks = [source.counts(grid, a, b) for a, b in pairwise(edges)]
        assert np.array_equal(np.concatenate(blocks), whole)

    check()


def test_a_spike_a_hair_before_an_edge_is_in_the_same_bin_however_blocks_are_cut():
    before = np.nextafter(AT_40.start_of(132), 0)
    source = MemorySpikes(np.array([before]), np.zeros(1, dtype=np.int32), 1)
    assert source.counts(AT_40, 131, 132).sum() == 0
    assert source.counts(AT_40, 132, 133).sum() == 1


def test_a_recording_too_large_to_bin_whole_gives_the_same_bins(monkeypatch):
    rng = np.random.default_rng(1)
    seconds, units = rng.uniform(0, 10, 3000), rng.integers(0, 7, 3000)
    whole = recorded(seconds, units, 7, AT_40)
    monkeypatch.setattr(bins_module, "WHOLE_BYTES", 0)
    pieces = recorded(seconds, units, 7, AT_40)
    assert whole.in_memory
    assert not pieces.in_memory
    for start, stop in [(0, 400), (17, 18), (399, 400), (5, 5), (100, 300)]:
        one, other = whole.read(start, stop), pieces.read(start, stop)
        assert one.start == other.start == start
        assert np.array_equal(one.counts, other.counts)
        assert one.counts.shape == (stop - start, 7)
        assert one.counts.dtype == np.uint16
        assert one.trial_rows.dtype == np.int32
        assert one.kinematics.shape == (stop - start, 4)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, 401), (7, 6), (400, 401)])
def test_a_range_that_leaves_the_recording_is_refused(start, stop):
    bins = recorded([1.0], [0], 1, AT_40)
    with pytest.raises(BinRangeError, match="0 to 399"):
        bins.read(start, stop)


def test_blocks_cannot_be_changed():
    block = recorded([1.0], [0], 1, AT_40).read(0, 50)
    for array in (block.counts, block.kinematics, block.trial_rows):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_more_spikes_than_a_count_holds_is_an_error_and_not_a_small_number():
    many = np.zeros(65_536, dtype=np.int64)
    with pytest.raises(RecordingError, match="65535"):
        count_spikes(many, many.astype(np.int32), (1, 1))
    assert count_spikes(many[:-1], many[:-1], (1, 1)).tolist() == [[65_535]]
