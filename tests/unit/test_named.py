"""A recording whose data name themselves: counts and tracks that say which bin they are of."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.recordings.synthetic import (
    NamedLayout,
    synthesize_named,
)


@given(n_units=st.integers(6, 12), n_bins=st.integers(1, 8**5), data=st.data())
def test_counts_name_their_bin(n_units: int, n_bins: int, data: st.DataObject) -> None:
    layout = NamedLayout(n_units, n_bins, Fraction(40), digits=6)
    bins = np.array(data.draw(st.lists(st.integers(0, n_bins - 1), min_size=1, max_size=5)))
    assert [layout.bin_of(row) for row in layout.counts(bins)] == bins.tolist()


def test_wrong_counts_name_no_bin() -> None:
    layout = NamedLayout(6, 100, Fraction(40), digits=3)
    counts = layout.counts(np.array([42]))[0]
    counts[5] += 1
    with pytest.raises(ValueError, match="no bin"):
        layout.bin_of(counts)
    with pytest.raises(ValueError, match="no bin"):
        layout.bin_of(layout.counts(np.array([100]))[0])


@pytest.mark.parametrize("rate_hz", [40, 100, Fraction(1000, 33)])
def test_the_named_file_holds_what_its_layout_says(
    rate_hz: float | Fraction, tmp_path: Path
) -> None:
    layout = synthesize_named(tmp_path / "n.nwb", units=6, seconds=5, rate_hz=rate_hz)
    bins = np.arange(layout.n_bins)
    rate = float(rate_hz)
    assert layout.n_bins == int(5 * Fraction(rate_hz))
    with h5py.File(tmp_path / "n.nwb") as nwb:
        ends = nwb["units/spike_times_index"][...].astype(np.int64)
        counts = np.zeros((layout.n_bins, 6), dtype=np.int64)
        for unit, seconds in enumerate(np.split(nwb["units/spike_times"][...], ends[:-1])):
            counts[:, unit] = np.bincount((seconds * rate).astype(int), minlength=layout.n_bins)
        position = nwb["processing/behavior/cursor_pos"]
        rows = (position["timestamps"][...] * rate).astype(int)
        assert np.array_equal(position["data"][:, 0], rows)
        assert np.array_equal(position["data"][:, 1], -rows)
        assert np.array_equal(nwb["processing/behavior/hand_vel/data"][:, 0], 2 * rows)
        assert sorted(set(rows.tolist())) == bins.tolist()
        starts = nwb["intervals/trials/start_time"][...] * rate
        stops = nwb["intervals/trials/stop_time"][...] * rate
    assert np.array_equal(counts, layout.counts(bins))
    assert np.allclose(np.stack([starts, stops], axis=1), layout.trial_bins)
    # A stop on the last edge would be an event in one more bin.
    assert stops.max() < layout.n_bins - 0.5


def test_too_few_units_for_the_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="800 bins need 4 or more"):
        synthesize_named(tmp_path / "n.nwb", units=3)
    with pytest.raises(ValueError, match="not even one bin"):
        synthesize_named(tmp_path / "n.nwb", seconds=0.01)
