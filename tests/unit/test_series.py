"""A series as a file has it, before anything of it is played."""

from __future__ import annotations

import numpy as np
import pytest

from phantomlink.recordings.nwb.series import RegularTimes, find_series, rate_of
from tests.nwb_files import BEHAVIOR, SeriesSpec, edited, opened, write_nwb

T = np.arange(20) / 100
HAND = f"{BEHAVIOR}/hand"
STORED = np.arange(40).reshape(20, 2)


def hand(tmp_path, edit=lambda file: None, **options):
    spec = SeriesSpec("hand", STORED, **({"timestamps": T} | options))
    return edited(tmp_path / "f.nwb", edit, series=[spec])


def the_series(tree, shift_seconds=0.0):
    (found,) = find_series(tree, shift_seconds)
    return found


def test_what_is_not_said_changes_nothing(tmp_path):
    """No conversion is a conversion by 1, no offset one of 0, and no unit is none."""

    def strip(file):
        for name in ("conversion", "offset", "unit"):
            del file[f"{HAND}/data"].attrs[name]

    with opened(hand(tmp_path, strip, conversion=3.0, offset=7.0)) as tree:
        found = the_series(tree)
        assert (found.conversion, found.offset, found.unit, found.has_unit) == (1, 0, "", False)
        np.testing.assert_array_equal(found.scaled(STORED), STORED)


@pytest.mark.parametrize(
    ("conversion", "offset"), [(1.0, 0.0), (0.5, 0.0), (1.0, 3.0), (2.0, -1), (0, 1)]
)
def test_what_is_stored_is_scaled_first_and_moved_then(tmp_path, conversion, offset):
    with opened(hand(tmp_path, conversion=conversion, offset=offset)) as tree:
        found = the_series(tree)
        assert (found.unit, found.has_unit) == ("mm", True)
        np.testing.assert_array_equal(found.scaled(STORED), STORED * conversion + offset)
        assert found.scaled(STORED).dtype == np.float64


@pytest.mark.parametrize(("conversion", "offset"), [(1, 0), (0.5, 0), (2, 0), (1, 3), (1, -3)])
def test_what_was_read_is_never_changed_and_copied_only_to_be_scaled(tmp_path, conversion, offset):
    with opened(hand(tmp_path, conversion=conversion, offset=offset)) as tree:
        stored = STORED.astype(np.float64)
        scaled = the_series(tree).scaled(stored)
        np.testing.assert_array_equal(stored, STORED)
        assert (scaled is stored) == (conversion == 1 and offset == 0)


def typed(file):
    file[BEHAVIOR].attrs["neurodata_type"] = "ProcessingModule"
    file[HAND].attrs["neurodata_type"] = "SpatialSeries"


def test_where_it_lies_and_how_large_it_is(tmp_path):
    with opened(hand(tmp_path, typed)) as tree:
        found = the_series(tree)
        assert (found.path, found.name, found.parent) == (HAND, "hand", BEHAVIOR)
        assert (found.container, found.neurodata_type) == ("ProcessingModule", "SpatialSeries")
        assert (found.rows, found.columns) == (20, 2)
        assert found.sample_rate_hz() == 100.0
    line = SeriesSpec("line", np.arange(20), timestamps=T)
    with opened(write_nwb(tmp_path / "g.nwb", series=[line])) as tree:
        assert (the_series(tree).rows, the_series(tree).columns) == (20, 1)


def test_times_at_a_rate_are_shifted_like_the_others(tmp_path):
    with opened(hand(tmp_path, timestamps=None, rate=50.0, start=2.0)) as tree:
        assert the_series(tree).times == RegularTimes(2.0, 50.0)
        shifted = the_series(tree, -1.5)
        assert (shifted.times, shifted.shift_seconds) == (RegularTimes(0.5, 50.0), -1.5)
        assert shifted.sample_rate_hz() == 50.0
    with opened(hand(tmp_path, timestamps=None, rate=0.5)) as tree:
        assert the_series(tree).sample_rate_hz() == 0.5, "slower than once a second"


def test_the_rate_of_timestamps_that_are_unsorted_repeated_or_missing(tmp_path):
    times = np.concatenate((T[::-1], T[:3], [np.nan]))
    spec = SeriesSpec("hand", np.zeros((24, 2)), timestamps=times)
    with opened(write_nwb(tmp_path / "f.nwb", series=[spec])) as tree:
        assert the_series(tree).sample_rate_hz() == 100.0
    assert rate_of(0.0) is None
    assert rate_of(np.nan) is None, "of a single sample"
    assert rate_of(0.0333333) == 30.0000
    assert rate_of(1 / 1017.2526) == 1017.2526


@pytest.mark.parametrize(
    ("comments", "description", "names"),
    [
        ("columns=[x, y]", "a, b", ("x", "y")),
        ("columns = [ x ,y ]", "", ("x", "y")),
        ("no comments", "(x, y)", ("x", "y")),
        ("x, y", "one two", ("x", "y")),
        ("columns=[x, y, z]", "none", ()),
        ("x", "y", ()),
        (f"x, {'y' * 41}", "", ()),
        (f"x, {'y' * 40}", "", ("x", "y" * 40)),
        ("x, ", "", ()),
    ],
)
def test_names_of_columns_are_taken_where_there_is_one_for_each(
    tmp_path, comments, description, names
):
    def describe(file):
        file[HAND].attrs["description"] = description

    with opened(hand(tmp_path, describe, comments=comments)) as tree:
        assert the_series(tree).column_names == names


@pytest.mark.parametrize("columns", [1, 3, 300])
def test_a_series_of_one_column_has_no_names_of_columns(tmp_path, columns):
    told = ",".join(f"c{column}" for column in range(columns))
    spec = SeriesSpec("hand", np.zeros((20, columns)), timestamps=T, comments=told)
    with opened(write_nwb(tmp_path / "f.nwb", series=[spec])) as tree:
        assert the_series(tree).column_names == (() if columns == 1 else tuple(told.split(",")))


@pytest.mark.parametrize("neurodata_type", ["", "DynamicTable"])
def test_a_group_with_data_and_no_times_is_no_series_and_nothing_is_said(tmp_path, neurodata_type):
    def add(file):
        group = file[BEHAVIOR].create_group("other")
        group["data"], group["more"] = np.zeros((20, 2)), np.zeros(3)
        group.attrs["neurodata_type"] = neurodata_type

    with opened(hand(tmp_path, add)) as tree:
        assert the_series(tree).path == HAND
        assert not list(tree.anomalies)


def without_data(file):
    del file[f"{HAND}/data"]


def with_a_group_of_data(file):
    without_data(file)
    file[HAND].create_group("data")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(without_data, "its data are not there"), (with_a_group_of_data, "its data cannot be read")],
)
def test_a_series_without_data_says_so_and_other_groups_with_times_do_not(tmp_path, spoil, said):
    for neurodata_type in ("SpatialSeries", "TimeIntervals"):

        def edit(file, neurodata_type=neurodata_type):
            spoil(file)
            file[HAND].attrs["neurodata_type"] = neurodata_type

        with opened(hand(tmp_path, edit)) as tree:
            assert find_series(tree, 0.0) == []
            found = [each.what for each in tree.anomalies if each.place == HAND]
            is_series = neurodata_type == "SpatialSeries"
            assert found == ([f"{said}; the series is left out"] if is_series else [])


def without_times(file):
    del file[f"{HAND}/timestamps"]


def with_a_rate(rate, start=0.0):
    def edit(file):
        del file[f"{HAND}/timestamps"]
        file[f"{HAND}/starting_time"] = start
        file[f"{HAND}/starting_time"].attrs["rate"] = rate

    return edit


def with_attribute(name, value):
    def edit(file):
        file[f"{HAND}/data"].attrs[name] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without_times, "has neither timestamps that can be read nor a rate"),
        (with_a_rate(0.0), "starts at 0.0 s with 0.0 Hz"),
        (with_a_rate(-1.0), "with -1.0 Hz"),
        (with_a_rate(np.nan), "with nan Hz"),
        (with_a_rate(50.0, np.inf), "starts at inf s"),
        (with_attribute("conversion", np.nan), "its conversion is nan"),
        (with_attribute("offset", np.inf), "its offset is inf"),
    ],
)
def test_a_series_that_cannot_be_used_is_left_out_with_the_reason(tmp_path, edit, said):
    with opened(hand(tmp_path, edit)) as tree:
        assert find_series(tree, 0.0) == []
        (anomaly,) = [each for each in tree.anomalies if each.place == HAND]
        assert said in anomaly.what
        assert anomaly.what.endswith("the series is left out")


@pytest.mark.parametrize(
    ("shape", "n_times", "is_turned"),
    [
        ((2, 20), 20, True),
        ((2, 300), 300, True),
        ((2, 20), 10, False),
        ((2, 20), 30, False),
        ((20,), 10, False),
    ],
)
def test_timestamps_that_are_as_many_as_the_columns_tell_that_data_are_turned(
    tmp_path, shape, n_times, is_turned
):
    spec = SeriesSpec("hand", np.zeros(shape), timestamps=np.arange(n_times) / 100)
    with opened(write_nwb(tmp_path / "f.nwb", series=[spec])) as tree:
        assert find_series(tree, 0.0) == []
        (anomaly,) = [each for each in tree.anomalies if each.place == HAND]
        assert f"has {shape[0]} rows of data, but timestamps of shape" in anomaly.what
        assert ("seem to be channels x time" in anomaly.what) == is_turned


@pytest.mark.parametrize("data", [np.zeros((20, 2, 2)), np.array([b"a", b"b"] * 10)])
def test_frames_of_pictures_and_texts_are_no_series_and_nothing_is_said(tmp_path, data):
    def replace(file):
        without_data(file)
        file[f"{HAND}/data"] = data

    with opened(hand(tmp_path, replace)) as tree:
        assert find_series(tree, 0.0) == []
        assert not list(tree.anomalies)


@pytest.mark.parametrize(
    ("shape", "is_odd"),
    [
        ((8, 9), True),
        ((8, 8), False),
        ((4, 3), False),
        ((9, 30), False),
        ((300, 30), False),
        ((1, 30), True),
        ((8,), False),
    ],
)
def test_few_rows_of_many_columns_are_noted_and_read_as_they_are(tmp_path, shape, is_odd):
    times = np.arange(shape[0]) / 100
    spec = SeriesSpec("hand", np.zeros(shape), timestamps=times)
    with opened(write_nwb(tmp_path / "f.nwb", series=[spec])) as tree:
        assert the_series(tree).rows == shape[0]
        said = [each.what for each in tree.anomalies if each.place == HAND]
        what = "has {} rows of {} columns: it seems to be channels x time"
        assert said == ([what.format(*shape)] if is_odd else [])
