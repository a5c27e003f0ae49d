"""Which markers come with which bin."""

from __future__ import annotations

import math
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.outputs.lsl.markers import bin_markers
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.trials import Trial

GRID = BinGrid(0.0, Fraction(40), 400)


def trial(row, start, stop, **columns):
    return Trial(row, start, stop, None, None, None, None, MappingProxyType(columns))


def test_events_come_with_the_bin_that_holds_their_time():
    one = trial(0, 1.0, 2.0, target_on_time=1.0249, go_cue_time=1.025, move_onset_time=1.5, rt=475)
    assert bin_markers([one], GRID) == {
        40: ("trial_start", "target_on"),
        41: ("go_cue",),
        60: ("move_onset",),
        80: ("trial_end",),
    }


def test_what_is_not_known_gives_none():
    one = trial(0, math.nan, 2.0, target_on_time=None, go_cue_time="soon", move_onset_time=True)
    assert bin_markers([one], GRID) == {80: ("trial_end",)}
    assert bin_markers([], GRID) == {}


def test_what_is_outside_the_recording_gives_none():
    assert bin_markers([trial(0, -1.0, 10.0, go_cue_time=9.999)], GRID) == {399: ("go_cue",)}


def test_a_trial_ends_before_the_next_begins_whatever_their_order_in_the_table():
    table = [trial(0, 3.0, 4.0), trial(1, 2.0, 3.0)]
    assert bin_markers(table, GRID)[120] == ("trial_end", "trial_start")


def test_within_a_bin_the_order_is_that_of_the_times():
    one = trial(0, 1.001, 3.0, target_on_time=1.02, go_cue_time=1.01)
    assert bin_markers([one], GRID)[40] == ("trial_start", "go_cue", "target_on")


def test_another_bin_width_has_other_bins():
    one = trial(0, 1.0, 2.0)
    grid = BinGrid(0.5, Fraction(1000, 33), 200)
    assert bin_markers([one], grid) == {
        grid.index_of(1.0): ("trial_start",),
        grid.index_of(2.0): ("trial_end",),
    }


@given(st.lists(st.floats(0, 9.99), min_size=2, max_size=40, unique=True))
def test_every_event_is_in_exactly_one_bin(times):
    times = sorted(times)
    trials = [trial(n, *pair) for n, pair in enumerate(zip(times[::2], times[1::2], strict=False))]
    found = bin_markers(trials, GRID)
    assert sum(map(len, found.values())) == 2 * len(trials)
    for index, names in found.items():
        expected = [
            int(GRID.indices_of(np.float64(t)))
            for one in trials
            for t in (one.start_time, one.stop_time)
        ].count(index)
        assert len(names) == expected
