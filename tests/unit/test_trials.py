from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomlink.errors import NoMatchingBinsError, RecordingError, TrialNotFoundError
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.options import SEARCH, SeriesOptions
from phantomlink.recordings.targets import find_target_columns, make_trials, number_places
from phantomlink.recordings.trials import Filter, Trial, TrialTable

GRID = BinGrid(0.0, Fraction(40), 400)


def table(*spans, **columns):
    columns = {
        "start_time": [start for start, _ in spans],
        "stop_time": [stop for _, stop in spans],
        **columns,
    }
    return make_trials(columns, find_target_columns(columns, SEARCH))


def rows_by_hand(trials, times):
    """For each time, the trial that contains it and started last."""
    rows = []
    for time in times:
        inside = [t for t in trials if t.start_time <= time < t.stop_time]
        rows.append(
            max(inside, key=lambda t: (t.start_time, t.trial_id)).trial_id if inside else -1
        )
    return rows


def test_a_trial_contains_its_start_and_not_its_stop():
    trials = table((0.0, 1.0), (1.0, 2.0), (3.3, 4.0))
    times = np.array([0.0, 0.999, 1.0, 1.999, 2.0, 3.299, 3.3, 4.0])
    assert trials.rows_at(times).tolist() == [0, 0, 1, 1, -1, -1, 2, -1]
    assert trials.rows_at(times).dtype == np.int32


def test_a_start_that_differs_in_the_last_bit_is_the_same_time():
    trials = table((0.1 + 0.2, 1.0))  # 0.30000000000000004
    assert trials.rows_at(np.array([0.3, 1.0 - 2e-16])).tolist() == [0, -1]


def test_overlapping_trials_give_the_one_that_started_last():
    trials = table((0.0, 10.0), (2.0, 4.0), (3.0, 3.5), (2.0, 5.0))
    times = np.array([1.0, 2.0, 3.0, 3.6, 4.5, 6.0, 10.0])
    assert trials.rows_at(times).tolist() == [0, 3, 2, 3, 3, 0, -1]


def test_trials_without_a_time_or_of_no_length_contain_nothing():
    trials = table((math.nan, 1.0), (1.0, math.nan), (2.0, 2.0), (4.0, 3.0), (5.0, 6.0))
    assert len(trials) == 5
    assert trials.rows_at(np.arange(0.0, 8.0, 0.5)).tolist().count(4) == 2
    assert set(trials.rows_at(np.arange(0.0, 8.0, 0.5)).tolist()) == {-1, 4}


def test_rows_and_ranges_agree_with_a_count_by_hand():
    steps = st.integers(0, 2000).map(lambda n: n * 0.005)
    spans = st.lists(st.tuples(steps, steps), max_size=8)

    @given(spans, st.sampled_from([Fraction(40), Fraction(1000, 33), Fraction(200)]))
    @settings(max_examples=100)
    def check(spans, rate):
        trials = table(*spans)
        grid = BinGrid.covering(0.0, 10.0, rate)
        starts = grid.starts_of(0, grid.n_bins)
        rows = trials.rows_at(starts)
        # Rounded, since 0.015 and 3 * 0.005 are not the same float but the same time.
        tidy = [
            Trial(t.trial_id, round(t.start_time, 9), round(t.stop_time, 9), *[None] * 4, {})
            for t in trials
        ]
        assert rows.tolist() == rows_by_hand(tidy, np.round(starts, 9))
        for trial in trials:
            bins = np.flatnonzero(rows == trial.trial_id).tolist()
            try:
                runs = trials.ranges(Filter(trial_id=trial.trial_id), grid)
            except NoMatchingBinsError:
                runs = ()
            assert [i for start, stop in runs for i in range(start, stop)] == bins
            assert all(a[1] < b[0] for a, b in pairwise(runs))

    check()


def test_ranges_are_merged_where_trials_touch_and_sorted_where_the_table_is_not():
    trials = table(
        (5.0, 6.0), (0.0, 1.0), (1.0, 2.0), active_target=[1, 1, 1], target_pos=[[[1, 2]]] * 3
    )
    assert trials.ranges(Filter(target_id=1), GRID) == ((0, 80), (200, 240))


def test_no_filter_lets_everything_through():
    assert table((0.0, 1.0)).ranges(Filter(), GRID) == ((0, 400),)


def test_filters_must_all_match():
    trials = table(
        (0.0, 1.0),
        (1.0, 2.0),
        (2.0, 3.0),
        active_target=[0, 1, 0],
        target_pos=[[[1, 0]], [[9, 9], [1, 0]], [[0, 1]]],
    )
    assert trials.ranges(Filter(target_id=0), GRID) == ((0, 40), (80, 120))
    assert trials.ranges(Filter(reach_id=0), GRID) == ((0, 80),)
    assert trials.ranges(Filter(reach_id=0, target_id=1), GRID) == ((40, 80),)
    with pytest.raises(NoMatchingBinsError, match="trial_id=2, target_id=1"):
        trials.ranges(Filter(trial_id=2, target_id=1), GRID)


def test_a_filter_that_matches_nothing_says_what_there_is():
    trials = table((0.0, 1.0), active_target=[3], target_pos=[[5, 5]])
    with pytest.raises(NoMatchingBinsError, match=r"trial_id=7.*trials 0 to 0.*targets 3.*reaches"):
        trials.ranges(Filter(trial_id=7), GRID)
    with pytest.raises(NoMatchingBinsError, match="has no trials"):
        TrialTable().ranges(Filter(trial_id=0), GRID)
    with pytest.raises(NoMatchingBinsError, match="no bin"):
        table((0.001, 0.002)).ranges(Filter(trial_id=0), GRID)


def test_trials_outside_the_grid_match_no_bins():
    with pytest.raises(NoMatchingBinsError):
        table((20.0, 30.0)).ranges(Filter(trial_id=0), GRID)
    assert table((9.0, 30.0)).ranges(Filter(trial_id=0), GRID) == ((360, 400),)


def test_lookups():
    trials = table((0.0, 1.0), (1.0, 2.0), active_target=[0, 2])
    assert trials.by_id(1).start_time == 1.0
    assert [t.trial_id for t in trials.by_target(2)] == [1]
    assert trials.n_targets == 2
    for wrong in (-1, 2):
        with pytest.raises(TrialNotFoundError, match=f"no trial {wrong}; .* 0 to 1"):
            trials.by_id(wrong)
    with pytest.raises(TrialNotFoundError, match="targets 0, 2"):
        trials.by_target(1)


def test_the_target_is_chosen_from_the_list_of_its_own_trial():
    trials = table(
        (0, 1),
        (1, 2),
        (2, 3),
        active_target=[0, 2, 1],
        target_pos=[[[130, -58]], [[1, 1], [2, 2], [-118, -83]], [[7, 7]]],
    )
    assert [(t.target_id, t.target_x, t.target_y) for t in trials] == [
        (0, 130.0, -58.0),
        (2, -118.0, -83.0),
        (1, None, None),  # the list of this trial is too short: no target, not the first one
    ]


def test_targets_that_are_not_known_are_none():
    trials = table(
        (0, 1), (1, 2), active_target=[-1, None], target_pos=[[[None, None]], [[1, 2], [3, 4]]]
    )
    assert [(t.target_id, t.target_x, t.target_y, t.reach_id) for t in trials] == [
        (None,) * 4,
        (None,) * 4,
    ]


def test_one_place_a_trial_in_other_layouts():
    flat = table((0, 1), target_id=[5], target_pos=[[3.0, 4.0]])
    assert (flat[0].target_id, flat[0].target_x, flat[0].target_y) == (5, 3.0, 4.0)
    apart = table((0, 1), target_x=[3.0], target_y=[4.0])
    assert (apart[0].target_id, apart[0].target_x, apart[0].target_y) == (None, 3.0, 4.0)
    track = table((0, 1), target_position=[12.5])
    assert (track[0].target_x, track[0].target_y, track[0].reach_id) == (12.5, None, 0)
    alone = table((0, 1), target_pos=[[[3.0, 4.0]]])
    assert (alone[0].target_id, alone[0].target_x) == (None, 3.0)


def test_reaches_are_numbered_by_angle_then_radius():
    places = [(1.0, 0.0), (0.0, 1.0), (-1.0, -0.0), (0.0, -2.0), (0.0, -1.0), (2.0, -0.0)]
    assert number_places(places) == {
        (1.0, 0.0): 0,
        (2.0, 0.0): 1,
        (0.0, 1.0): 2,
        (-1.0, 0.0): 3,
        (0.0, -1.0): 4,
        (0.0, -2.0): 5,
    }
    trials = table(
        *[(i, i + 1) for i in range(3)],
        active_target=[0, 0, 0],
        target_pos=[[[0, -5]], [[3, 0]], [[0, -5]]],
    )
    assert [(r.reach_id, r.x, r.y, r.n_trials) for r in trials.reaches] == [
        (0, 3.0, 0.0, 1),
        (1, 0.0, -5.0, 2),
    ]
    assert [t.reach_id for t in trials] == [1, 0, 1]


def test_json_of_a_trial_has_our_fields_first_and_every_column():
    trials = table(
        (0.5, None),
        trial_id=[900],
        split=["train"],
        success=[True],
        active_target=[0],
        target_pos=[[[1, 2]]],
    )
    assert list(trials[0].as_json().items()) == [
        ("trial_id", 0),
        ("start_time", 0.5),
        ("stop_time", None),
        ("target_id", 0),
        ("target_x", 1.0),
        ("target_y", 2.0),
        ("reach_id", 0),
        ("table_trial_id", 900),
        ("split", "train"),
        ("success", True),
        ("active_target", 0),
        ("target_pos", [[1, 2]]),
    ]


def test_columns_can_be_told():
    columns = {
        "start_time": [0.0],
        "stop_time": [1.0],
        "active_target": [0],
        "goal": [4],
        "spot": [[8, 9]],
        "word": ["left"],
        "mixed": [["left", 1]],
    }
    told = SeriesOptions(target_column="goal", target_position_column="spot")
    trial = make_trials(columns, find_target_columns(columns, told))[0]
    assert (trial.target_id, trial.target_x, trial.target_y) == (4, 8.0, 9.0)
    with pytest.raises(RecordingError, match=r"target_column 'gaol'.*active_target, goal, spot"):
        find_target_columns(columns, SeriesOptions(target_column="gaol"))
    with pytest.raises(RecordingError, match="target_position_column 'sopt'"):
        find_target_columns(columns, SeriesOptions(target_position_column="sopt"))
    with pytest.raises(RecordingError, match="whole numbers"):
        find_target_columns(columns, SeriesOptions(target_column="mixed"))
    with pytest.raises(RecordingError, match="no trials"):
        find_target_columns({}, SeriesOptions(target_column="goal"))


def test_targets_named_by_texts_are_numbered_in_order_of_first_use():
    columns = {
        "start_time": [0.0, 1.0, 2.0, 3.0],
        "stop_time": [0.5, 1.5, 2.5, 3.5],
        "word": ["left", None, "right", "left"],
    }
    trials = make_trials(columns, find_target_columns(columns, SeriesOptions(target_column="word")))
    assert [trial.target_id for trial in trials] == [0, None, 1, 0]
    assert [trial.as_json().get("target_label") for trial in trials] == [
        "left",
        None,
        "right",
        "left",
    ]
    assert trials.target_ids == (0, 1)


def test_a_column_of_words_is_not_taken_for_targets():
    assert table((0, 1), target=["left"])[0].target_id is None
