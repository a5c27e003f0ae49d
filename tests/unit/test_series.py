"""A series and a table of units as a file has them, before anything of them is played."""

from __future__ import annotations

from contextlib import contextmanager

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.nwb.series import RegularTimes, find_series, rate_of
from phantomlink.recordings.nwb.tree import NwbTree
from phantomlink.recordings.nwb.units import find_units, read_spikes, unit_tables
from tests.nwb_files import BEHAVIOR, SeriesSpec, write_nwb

T = np.arange(20) / 100
HAND = f"{BEHAVIOR}/hand"
STORED = np.arange(40).reshape(20, 2)


@contextmanager
def opened(path):
    with h5py.File(path, "r") as file:
        yield NwbTree(file, path, follow=False)


def edited(path, edit, **options):
    write_nwb(path, **options)
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


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


def test_the_rate_of_timestamps_that_are_unsorted_repeated_or_missing(tmp_path):
    times = np.concatenate((T[::-1], T[:3], [np.nan]))
    spec = SeriesSpec("hand", np.zeros((24, 2)), timestamps=times)
    with opened(write_nwb(tmp_path / "f.nwb", series=[spec])) as tree:
        assert the_series(tree).sample_rate_hz() == 100.0
    assert rate_of(0.0) is None
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
        assert find_series(tree) == []
        (anomaly,) = [each for each in tree.anomalies if each.place == HAND]
        assert said in anomaly.what
        assert anomaly.what.endswith("the series is left out")


@pytest.mark.parametrize(
    ("shape", "n_times", "is_turned"),
    [((2, 20), 20, True), ((2, 20), 10, False), ((2, 20), 30, False), ((20,), 10, False)],
)
def test_timestamps_that_are_as_many_as_the_columns_tell_that_data_are_turned(
    tmp_path, shape, n_times, is_turned
):
    spec = SeriesSpec("hand", np.zeros(shape), timestamps=np.arange(n_times) / 100)
    with opened(write_nwb(tmp_path / "f.nwb", series=[spec])) as tree:
        assert find_series(tree) == []
        (anomaly,) = [each for each in tree.anomalies if each.place == HAND]
        assert f"has {shape[0]} rows of data, but timestamps of shape" in anomaly.what
        assert ("seem to be channels x time" in anomaly.what) == is_turned


@pytest.mark.parametrize(
    ("shape", "is_odd"),
    [((8, 9), True), ((8, 8), False), ((9, 30), False), ((1, 30), True), ((8,), False)],
)
def test_few_rows_of_many_columns_are_noted_and_read_as_they_are(tmp_path, shape, is_odd):
    times = np.arange(shape[0]) / 100
    spec = SeriesSpec("hand", np.zeros(shape), timestamps=times)
    with opened(write_nwb(tmp_path / "f.nwb", series=[spec])) as tree:
        assert the_series(tree).rows == shape[0]
        said = [each.what for each in tree.anomalies if each.place == HAND]
        assert any("seems to be channels x time" in what for what in said) == is_odd


# --- the table of units


def units_with(tmp_path, locations, electrodes, lengths=None, spikes=((0.1,), (0.2,), (0.3,))):
    def edit(file):
        names = np.array(locations, dtype=h5py.string_dtype())
        file["general/extracellular_ephys/electrodes/location"] = names
        file["units/electrodes"] = np.array(electrodes)
        if lengths is not None:
            file["units/electrodes_index"] = np.cumsum(lengths).astype(np.uint8)

    return edited(tmp_path / "f.nwb", edit, spikes=spikes)


@pytest.mark.parametrize(
    ("electrodes", "lengths", "areas"),
    [
        ([2, 0, 1], None, ("c", "a", "b")),
        ([2, 0, 1, 1], [1, 2, 1], ("c", "a", "b")),
        # A unit that was seen on no electrode has no neighbour's area.
        ([2, 1], [1, 0, 1], None),
        ([2, 1], [1, 1, 0], None),
        ([2, 0, 3], None, None),
        ([2, 0, -1], None, None),
        ([2, 0], None, None),
    ],
)
def test_the_area_of_a_unit_is_that_of_its_first_electrode(tmp_path, electrodes, lengths, areas):
    with opened(units_with(tmp_path, ["a", "b", "c"], electrodes, lengths)) as tree:
        assert find_units(tree, None).areas == areas


def test_spikes_belong_to_the_units_whose_rows_they_are(tmp_path):
    spikes = ((0.1, 0.4), (), (0.3, 0.2, 0.5))
    with opened(write_nwb(tmp_path / "f.nwb", spikes=spikes, unit_ids=[7, 9, 8])) as tree:
        units = find_units(tree, None)
        assert (units.path, units.ids, units.n_spikes) == ("units", (7, 9, 8), 5)
        seconds, rows = read_spikes(tree, units, 1)
        assert (seconds.tolist(), rows.tolist()) == ([0.1, 0.4, 0.3, 0.2, 0.5], [0, 0, 2, 2, 2])
        scaled, _ = read_spikes(tree, units, 0.001)
        np.testing.assert_allclose(scaled, seconds / 1000)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_spike_at_no_time_names_its_unit(tmp_path, wrong):
    spikes = ((0.1,), (0.2, wrong), (wrong,))
    with opened(write_nwb(tmp_path / "f.nwb", spikes=spikes, unit_ids=[31, 32, 33])) as tree:
        units = find_units(tree, None)
        with pytest.raises(RecordingError, match=rf"unit 32 has a spike at {wrong} s: .*\(2 such"):
            read_spikes(tree, units, 1)


def test_spikes_of_no_unit_are_left_out_and_said(tmp_path):
    def cut(file):
        file["units/spike_times_index"][...] = [1, 2, 3]

    path = edited(tmp_path / "f.nwb", cut, spikes=((0.1,), (0.2,), (0.3, 0.4, 0.5)))
    with opened(path) as tree:
        units = find_units(tree, None)
        assert read_spikes(tree, units, 1)[0].tolist() == [0.1, 0.2, 0.3]
        assert any("the last 2 spike times belong to no unit" in a.what for a in tree.anomalies)


def test_a_table_elsewhere_is_found_and_may_be_named_by_its_last_part(tmp_path):
    def copy(file):
        file.copy("units", file["processing"].require_group("ecephys"), "sorted")
        file.copy("units", file["processing"].require_group("other"), "sorted")

    with opened(edited(tmp_path / "f.nwb", copy)) as tree:
        first, second = "processing/ecephys/sorted", "processing/other/sorted"
        assert unit_tables(tree) == ["units", first, second]
        assert find_units(tree, None).path == "units"
        assert find_units(tree, f"/{second}/").path == second
        with pytest.raises(RecordingError, match=r"units_table 'sorted' names several tables"):
            find_units(tree, "sorted")
        with pytest.raises(RecordingError, match=r"'nowhere' is not a table of units"):
            find_units(tree, "nowhere")
        (said,) = [each for each in tree.anomalies if each.place == "units"]
        assert f"is played; {first}, {second} has units with spike times too" in said.what
        assert said.options == (("units-table", first),)


def test_a_table_without_spikes_gives_way_to_one_with_them(tmp_path):
    def move(file):
        file.copy("units", file["processing"].require_group("ecephys"), "units")
        del file["units/spike_times"]

    with opened(edited(tmp_path / "f.nwb", move)) as tree:
        assert find_units(tree, None).path == "processing/ecephys/units"
        assert any("has no spike times; processing/ecephys" in a.what for a in tree.anomalies)


def test_a_table_of_units_without_spikes_is_listed_last_and_other_tables_are_not(tmp_path):
    def add(file):
        file["processing"].create_group("bare").attrs["neurodata_type"] = "Units"
        file["processing"].create_group("later").attrs["neurodata_type"] = "VoltageClampSeries"
        file["processing"].create_group("earlier").attrs["neurodata_type"] = "DynamicTable"

    with opened(edited(tmp_path / "f.nwb", add)) as tree:
        assert unit_tables(tree) == ["units", "processing/bare"]


def test_many_spikes_are_as_many_as_the_table_says(tmp_path):
    spikes = (tuple(np.arange(300) / 100), tuple(np.arange(400) / 100))
    with opened(write_nwb(tmp_path / "f.nwb", spikes=spikes)) as tree:
        assert read_spikes(tree, find_units(tree, None), 1)[0].size == 700


@pytest.mark.parametrize("spike_times", [np.zeros((4, 3)), np.array([b"a", b"b", b"c", b"d"])])
def test_spike_times_are_a_list_of_numbers(tmp_path, spike_times):
    def replace(file):
        del file["units/spike_times"]
        file["units/spike_times"] = spike_times

    with (
        opened(edited(tmp_path / "f.nwb", replace)) as tree,
        pytest.raises(RecordingError, match=r"^units/spike_times: is .*, not a list of numbers"),
    ):
        find_units(tree, None)


def refusal_of(path):
    with opened(path) as tree:
        tree.anomalies.add("elsewhere", "is odd, too")
        with pytest.raises(RecordingError) as caught:
            find_units(tree, None)
    return str(caught.value)


def test_a_file_without_units_says_what_series_it_has_most_of(tmp_path):
    said = []
    for n_kinds in (0, 4, 5):

        def fill(file, n_kinds=n_kinds):
            for kind in range(n_kinds):
                for copy in range(9 - kind):
                    group = file["acquisition"].create_group(f"s{kind}-{copy}")
                    group["data"] = np.zeros(3)
                    if kind:
                        group.attrs["neurodata_type"] = f"Kind{kind}"

        path = edited(tmp_path / f"{n_kinds}.nwb", fill, spikes=None)
        said.append(refusal_of(path).partition("elsewhere")[2])
    four = "; it has 9 series of no type, 8 Kind1, 7 Kind2, 6 Kind3"
    rest = "; a series of counts can be played with --counts-series"
    assert said == ["", four + rest, f"{four}, ...{rest}"]


def test_a_file_whose_units_are_no_table_says_so(tmp_path):
    def spoil(file):
        file["units"] = np.zeros(3)

    path = edited(tmp_path / "f.nwb", spoil, spikes=None)
    assert refusal_of(path) == "units: is not what is expected there"


def test_the_last_part_of_its_path_names_a_table_that_is_the_only_one_of_that_name(tmp_path):
    def copy(file):
        file.copy("units", file["processing"].require_group("ecephys"), "sorted")

    with opened(edited(tmp_path / "f.nwb", copy)) as tree:
        assert find_units(tree, "sorted").path == "processing/ecephys/sorted"
