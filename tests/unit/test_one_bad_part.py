"""One bad part costs that part: whatever is odd in one item, the counts of all units stay."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomlink.recordings.recording import open_recording
from tests.nwb_files import BEHAVIOR, Ragged, SeriesSpec, moving, write_nwb

T = np.arange(300) / 100
SPIKES = [np.sort(np.random.default_rng(unit).uniform(0, 3, 60)) for unit in range(3)]
COUNTS = np.stack([np.histogram(np.floor(s * 40), np.arange(121))[0] for s in SPIKES], axis=1)


def full_file(path: Path) -> Path:
    write_nwb(
        path,
        spikes=SPIKES,
        unit_ids=[11, 22, 33],
        series=[
            SeriesSpec("cursor_pos", moving(T), T),
            SeriesSpec("hand_vel", moving(T), rate=100.0, unit="mm/s"),
        ],
        trials={
            "start_time": [0.0, 1.0, 2.0],
            "stop_time": [0.9, 1.9, 2.9],
            "active_target": [0, 1, 0],
            "target_pos": Ragged([[[1, 2]], [[3, 4], [5, 6]], [[7, 8]]]),
            "split": ["train", "val", "train"],
        },
    )
    with h5py.File(path, "a") as file:
        units = file["units"]
        units["heldout"] = [True, False, True]
        units["obs_intervals"] = [[0.0, 3.0]] * 3
        units["obs_intervals_index"] = [1, 2, 3]
        units["electrodes"] = [0, 1, 0]
        units["electrodes_index"] = [1, 2, 3]
        units["location"] = ["A", "B", "C"]
        file["general/extracellular_ephys/electrodes/location"] = ["M1", "PMd"]
        file["general/keywords"] = ["one", "two"]
        file["general/subject/subject_id"] = "S"
        file["intervals/invalid_times/start_time"] = [1.0]
        file["intervals/invalid_times/stop_time"] = [1.5]
    return path


SPARED = {"units/spike_times", "units/spike_times_index"}


def items(path: Path) -> list[str]:
    """Every dataset but those of the spikes, which alone may refuse a recording."""
    found: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda n, x: found.append(n) if isinstance(x, h5py.Dataset) else None)
    return [name for name in found if name not in SPARED]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_file(tmp_path_factory.mktemp("whole") / "whole.nwb")


def odd_values(rows: int) -> st.SearchStrategy[object]:
    """Values of kinds that people write, none of which need fit the item."""
    numbers = st.sampled_from([0, -1, 2**63 - 1, np.nan, np.inf, -1e300, 1.5])
    return st.one_of(
        st.lists(numbers, max_size=5).map(lambda v: np.array(v, float)),
        st.lists(st.integers(-5, 2**31 - 1), max_size=5).map(lambda v: np.array(v, np.int32)),
        st.lists(st.text(max_size=5), min_size=1, max_size=5).map(
            lambda v: np.array([t.replace("\0", "") for t in v], dtype=h5py.string_dtype())
        ),
        numbers.map(lambda v: np.full((rows, 1), v)),
        numbers.map(lambda v: np.full((rows, 3, 2), v)),
        numbers,
        st.just(np.full(rows, 2**64 - 1, np.uint64)),
        st.just(np.zeros(rows, dtype=[("a", "i4"), ("b", "f8")])),
        st.just(h5py.Empty("f8")),
        st.just(np.full(rows, 1 + 2j)),
        st.just(np.array([b"\xff\xfe"] * rows, dtype="S2")),
        st.just(np.array([True] * rows)),
    )


def replaced(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "a") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = value
        file[name].attrs.update(attributes)


def counts_of(path: Path) -> np.ndarray:
    with open_recording(path) as recording:
        bins = recording.at_rate(Fraction(40))
        block = bins.read(0, bins.grid.n_bins)
        # Whatever is left out is said in lines that can be printed and sent.
        for each in recording.missing:
            assert "\n" not in each
            each.encode()
        for trial in recording.trials:
            trial.as_json()
        start = bins.grid.index_of(0.0)
        return block.counts[start : start + len(COUNTS)]


@given(data=st.data())
@settings(max_examples=50)
def test_an_odd_item_leaves_all_counts(tmp_path_factory, whole, data):
    name = data.draw(st.sampled_from(items(whole)))
    path = tmp_path_factory.mktemp("odd") / "f.nwb"
    path.write_bytes(whole.read_bytes())
    replaced(path, name, data.draw(odd_values(3)))
    assert np.array_equal(counts_of(path), COUNTS)


ATTRIBUTES = [
    f"{BEHAVIOR}/cursor_pos/data@conversion",
    f"{BEHAVIOR}/cursor_pos/data@offset",
    f"{BEHAVIOR}/cursor_pos/data@unit",
    f"{BEHAVIOR}/cursor_pos@comments",
    f"{BEHAVIOR}/cursor_pos@neurodata_type",
    f"{BEHAVIOR}/hand_vel/starting_time@rate",
    "intervals/trials@colnames",
    "intervals/trials@neurodata_type",
    "intervals/trials/start_time@neurodata_type",
    "units@neurodata_type",
    "units@colnames",
    "units/spike_times@resolution",
    "units/id@neurodata_type",
]


def test_a_list_of_columns_that_is_a_number_leaves_all_counts(tmp_path, whole):
    path = tmp_path / "f.nwb"
    path.write_bytes(whole.read_bytes())
    for item in ("units", "intervals/trials"):
        with h5py.File(path, "a") as file:
            file[item].attrs["colnames"] = 0
        assert np.array_equal(counts_of(path), COUNTS)


@given(name=st.sampled_from(ATTRIBUTES), data=st.data())
@settings(max_examples=40)
def test_an_odd_attribute_leaves_all_counts(tmp_path_factory, whole, name, data):
    path = tmp_path_factory.mktemp("odd") / "f.nwb"
    path.write_bytes(whole.read_bytes())
    item, _, attribute = name.partition("@")
    with h5py.File(path, "a") as file:
        if data.draw(st.booleans()):
            file[item].attrs.pop(attribute, None)
        else:
            file[item].attrs[attribute] = data.draw(odd_values(2))
    assert np.array_equal(counts_of(path), COUNTS)


@given(data=st.data())
@settings(max_examples=30)
def test_an_odd_link_leaves_all_counts(tmp_path_factory, whole, data):
    name = data.draw(st.sampled_from(items(whole)))
    while data.draw(st.booleans()) and name.rpartition("/")[0] not in ("", "units"):
        name = name.rpartition("/")[0]
    if name in ("general", "processing", "intervals"):
        name += "/more"
    path = tmp_path_factory.mktemp("odd") / "f.nwb"
    path.write_bytes(whole.read_bytes())
    links = [
        h5py.SoftLink("/nothing"),
        h5py.SoftLink(f"/{name}"),  # itself
        h5py.SoftLink("/"),
        h5py.SoftLink("/units"),
        h5py.ExternalLink("lost.nwb", "/x"),
        h5py.ExternalLink(str(path), "/units"),
        h5py.ExternalLink("/etc/passwd", "/"),
    ]
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file[name] = data.draw(st.sampled_from(links))
    assert np.array_equal(counts_of(path), COUNTS)


@pytest.mark.parametrize("lacking", ["unit", "data", "times"])
def test_a_series_that_lacks_something_is_left_out_and_named(tmp_path, whole, lacking):
    path = tmp_path / "f.nwb"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "a") as file:
        cursor = file[f"{BEHAVIOR}/cursor_pos"]
        if lacking == "unit":
            del cursor["data"].attrs["unit"]
        else:
            del cursor["data" if lacking == "data" else "timestamps"]
    with open_recording(path) as recording:
        assert recording.behaviour.position is None
        assert recording.behaviour.velocity.path == f"{BEHAVIOR}/hand_vel"
        said = [each for each in recording.missing if each.startswith(f"{BEHAVIOR}/cursor_pos")]
    expected = {"unit": "no attribute unit", "data": "data are not there", "times": "neither"}
    assert expected[lacking] in said[0]


@pytest.mark.parametrize("column", ["target_pos_index", "active_target", "split"])
def test_a_bad_column_of_the_trials_costs_only_itself(tmp_path, whole, column):
    path = tmp_path / "f.nwb"
    path.write_bytes(whole.read_bytes())
    replaced(path, f"intervals/trials/{column}", np.array([9, 9]))
    with open_recording(path) as recording:
        assert len(recording.trials) == 3
        name = column.removesuffix("_index")
        assert name not in recording.trials[0].columns
        assert any(f"intervals/trials/{name}" in each for each in recording.missing)


def test_columns_of_most_rows_win(tmp_path, whole):
    path = tmp_path / "f.nwb"
    path.write_bytes(whole.read_bytes())
    replaced(path, "intervals/trials/id", np.arange(2))
    with open_recording(path) as recording:
        assert len(recording.trials) == 3
        assert any("id: has 2 rows, the table has 3" in each for each in recording.missing)
