"""A table of units as a file has it, and the spike times in it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.nwb.units import find_units, read_spikes, unit_tables
from tests.nwb_files import edited, opened, write_nwb


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
