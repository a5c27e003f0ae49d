"""Recordings as labs write them: what is odd is said with its place and remedy, the rest plays."""

from __future__ import annotations

from fractions import Fraction

import h5py
import numpy as np
import pytest

from phantomlink.errors import InvalidParameterError, RecordingError
from phantomlink.recordings.inspection.findings import inspect_recording
from phantomlink.recordings.options import SEARCH, SeriesOptions
from phantomlink.recordings.recording import open_recording
from tests.nwb_files import BEHAVIOR, SeriesSpec, moving, write_nwb

T = np.arange(600) / 100
XY = moving(T)
RNG = np.random.default_rng(7)
SPIKES = [np.sort(RNG.uniform(0, 6, 120)) for _ in range(4)]
TRIALS = {"start_time": np.arange(6.0), "stop_time": np.arange(6) + 0.9}
POSITION = f"{BEHAVIOR}/cursor_pos"


def rewrite(file, name, value, **how):
    """The same dataset with another value, type or layout; its attributes stay."""
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=value, **how).attrs.update(attributes)


def lab_file(path, edit=None, **kwargs):
    write_nwb(
        path,
        **{
            "spikes": SPIKES,
            "series": [SeriesSpec("cursor_pos", XY, T, unit="cm")],
            "trials": TRIALS,
            **kwargs,
        },
    )
    if edit is not None:
        with h5py.File(path, "a") as file:
            edit(file)
    return path


def expected_counts(spikes=SPIKES, n_bins=240):
    """Counts at 40 Hz, by arithmetic of our own."""
    counts = np.zeros((n_bins, len(spikes)), int)
    for unit, times in enumerate(spikes):
        np.add.at(counts, (np.floor(np.round(times * 40, 6)).astype(int), unit), 1)
    return counts


def played(path, options=SEARCH, rate=40):
    with open_recording(path, options=options) as recording:
        bins = recording.at_rate(Fraction(rate))
        return recording, bins.read(0, bins.grid.n_bins)


def line(recording, *parts):
    (found,) = [each for each in recording.missing if all(part in each for part in parts)]
    return found


# --- one thing written two ways plays the same ------------------------------------------------


def as_column(*names):
    def edit(file):
        for name in names:
            rewrite(file, name, file[name][...][:, None])

    return edit


def attributes_as_arrays(file):
    data = file[f"{POSITION}/data"]
    for name in ("conversion", "offset"):
        data.attrs[name] = np.array([float(data.attrs[name])])


def float_index(file):
    name = "units/spike_times_index"
    rewrite(file, name, file[name][...].astype(float))


SHAPES = {
    "attributes": attributes_as_arrays,
    "timestamps": as_column(f"{POSITION}/timestamps"),
    "spikes": as_column("units/spike_times"),
    "index": as_column("units/spike_times_index"),
    "ids": as_column("units/id"),
    "trials": as_column(*(f"intervals/trials/{n}" for n in ("start_time", "stop_time", "id"))),
    "float_index": float_index,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_as_arrays_of_one_and_columns_of_n_by_1(tmp_path, shape):
    usual, block = played(lab_file(tmp_path / "usual.nwb"))
    odd, other = played(lab_file(tmp_path / "odd.nwb", SHAPES[shape]))
    assert np.array_equal(other.counts, expected_counts())
    for name in ("counts", "kinematics", "trial_rows"):
        assert np.array_equal(getattr(block, name), getattr(other, name), equal_nan=True)
    assert odd.unit_ids == usual.unit_ids
    assert odd.missing == usual.missing
    assert [trial.as_json() for trial in odd.trials] == [t.as_json() for t in usual.trials]


@pytest.mark.parametrize(
    ("ids", "labels"),
    [
        (np.array([2**64 - 1, 2**63 + 5, 3, 4], dtype=np.uint64), None),
        (np.array([2**53 + 1, 2**53 + 3, 2**60 + 1, 4]), None),
        (np.array([5.0, 8.0, 11.5, 14.0]), ("5.0", "8.0", "11.5", "14.0")),
        (np.array([7, 7, 8, 9]), None),
        (np.array(["A/1", "A/2", "B/1", "B/2"], dtype=h5py.string_dtype()), None),
    ],
    ids=["uint64", "big", "float", "twice", "text"],
)
def test_ids_that_no_client_can_hold_are_rows_with_labels(tmp_path, ids, labels):
    path = lab_file(tmp_path / "f.nwb", lambda file: rewrite(file, "units/id", ids))
    recording, block = played(path)
    assert recording.unit_ids == (0, 1, 2, 3)
    assert recording.units.labels == (labels or tuple(map(str, ids.tolist())))
    assert np.array_equal(block.counts, expected_counts())
    assert "unit_labels" in line(recording, "units/id")
    assert recording.at_rate(Fraction(40)).unit_labels == recording.units.labels


def test_ids_that_clients_can_hold_are_the_ids(tmp_path):
    ids = np.array([2**53 - 1, -5, 0, 1011])
    path = lab_file(tmp_path / "f.nwb", lambda file: rewrite(file, "units/id", ids))
    recording, _ = played(path)
    assert recording.unit_ids == tuple(ids.tolist())
    assert recording.units.labels is None


# --- any place can be chosen ------------------------------------------------------------------


def two_tables(file):
    file.move("units", "processing/ecephys_units")
    empty = file.create_group("units")
    empty.attrs["neurodata_type"] = "Units"
    empty["id"] = np.arange(4)
    empty["isi_violations"] = np.zeros(4)


def test_the_table_with_spikes_is_played_and_named(tmp_path):
    recording, block = played(lab_file(tmp_path / "f.nwb", two_tables))
    assert np.array_equal(block.counts, expected_counts())
    assert recording.units.path == "processing/ecephys_units"
    assert "processing/ecephys_units has them and is played" in line(recording, "units: ")


def test_another_table_of_units_can_be_told(tmp_path):
    def edit(file):
        file.copy("units", "processing/second")
        rewrite(file, "processing/second/spike_times", np.concatenate(SPIKES) * 0.5)

    path = lab_file(tmp_path / "f.nwb", edit)
    recording, block = played(path)
    assert np.array_equal(block.counts, expected_counts())
    assert "--units-table processing/second" in line(recording, "too")
    other, block = played(path, SeriesOptions(units_table="second"))
    assert other.units.path == "processing/second"
    assert np.array_equal(block.counts[:120], expected_counts([s / 2 for s in SPIKES])[:120])
    with pytest.raises(RecordingError, match=r"'third' is not a table .* units, processing/second"):
        open_recording(path, options=SeriesOptions(units_table="third"))


COUNTS = np.random.default_rng(1).poisson(0.3, (300, 24)).astype(np.uint8)


def counts_file(path):
    series = [
        SeriesSpec("spikes_counts", COUNTS, rate=50.0, unit="counts", within="processing/spikes"),
        SeriesSpec("hand_pos", XY, T),
    ]
    return lab_file(path, spikes=None, series=series)


def test_counts_are_named_by_the_refusal_and_played_when_they_are_told(tmp_path):
    path = counts_file(tmp_path / "f.nwb")
    flags = "--counts-series processing/spikes/spikes_counts --stream-frequency-hz 50"
    with pytest.raises(RecordingError, match=f"300 bins x 24 units at 50 Hz: {flags}"):
        open_recording(path)
    told = SeriesOptions(counts_series="spikes_counts")
    recording, block = played(path, told, 50)
    assert np.array_equal(block.counts, COUNTS)
    assert recording.n_spikes == COUNTS.sum()
    assert np.isfinite(block.kinematics).all()
    _, block = played(path, told, 10)
    assert np.array_equal(block.counts, COUNTS.reshape(60, 5, 24).sum(axis=1))
    match = r"at 50 Hz or that divided .* not at 40 Hz"
    with (
        open_recording(path, options=told) as recording,
        pytest.raises(InvalidParameterError, match=match),
    ):
        recording.at_rate(Fraction(40))


@pytest.mark.parametrize("bad", [-1.0, 0.5, np.nan, 70_000.0])
def test_counts_that_are_none_are_refused(tmp_path, bad):
    counts = COUNTS.astype(float)
    counts[3, 4] = bad
    series = [SeriesSpec("counts", counts, rate=50.0)]
    path = lab_file(tmp_path / "f.nwb", spikes=None, series=series)
    with pytest.raises(RecordingError, match=r"counts: (holds more than|a count is above)"):
        open_recording(path, options=SeriesOptions(counts_series="counts"))


def test_columns_of_a_series_can_be_chosen_and_are_named(tmp_path):
    axes = np.column_stack((XY, XY + 1, XY[:, 0]))
    series = [SeriesSpec("axes", axes, T, unit="arbitrary", comments="tx,ty,tz,rx,g1")]
    path = lab_file(tmp_path / "f.nwb", series=series)
    recording, block = played(path)
    assert recording.behaviour.position is None
    assert "5 columns (0 tx, 1 ty, 2 tz, 3 rx, 4 g1)" in line(recording, "could be one of")
    assert f"--position-series '{BEHAVIOR}/axes[:,0:2]'" in line(recording, "could be one of")
    for selection, columns in (("[:,0:2]", (0, 1)), ("[:,[3,2]]", (3, 2)), ("[:, 4]", (4,))):
        _, block = played(path, SeriesOptions(position_series=f"axes{selection}"))
        mean = axes[:, columns].reshape(-1, 5, len(columns)).mean(axis=1)
        recording, block = played(path, SeriesOptions(position_series=f"axes{selection}"), 20)
        np.testing.assert_allclose(block.kinematics[:, 2 : 2 + len(columns)], mean)
    both = SeriesOptions(position_series="axes[:,4],axes[:,0]")
    _, block = played(path, both, 20)
    np.testing.assert_allclose(
        block.kinematics[:, 2:], axes[:, [4, 0]].reshape(-1, 5, 2).mean(axis=1)
    )
    for wrong in ("axes", "axes[:,0:5]", "axes[:,[1,7]]", "axes[:,x]", "axes[:,0:2],axes[:,3]"):
        with pytest.raises(RecordingError, match="axes"):
            open_recording(path, options=SeriesOptions(position_series=wrong))


def test_another_table_of_intervals_can_be_the_trials(tmp_path):
    def edit(file):
        file.move("intervals/trials", "intervals/reaches")
        file["intervals/reaches/which"] = np.arange(6) % 2

    path = lab_file(tmp_path / "f.nwb", edit)
    recording, _ = played(path)
    assert not len(recording.trials)
    assert "(intervals/reaches); to take one: --trials-table intervals/reaches" in line(
        recording, "trials: none"
    )
    told = SeriesOptions(trials_table="reaches", target_column="which")
    recording, _ = played(path, told)
    assert [trial.target_id for trial in recording.trials] == [0, 1] * 3
    with pytest.raises(RecordingError, match=r"trials_table 'x' .* has: intervals/reaches"):
        open_recording(path, options=SeriesOptions(trials_table="x"))


def test_a_series_can_say_where_the_target_is(tmp_path):
    places = np.repeat([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], 1, axis=0)
    series = [
        SeriesSpec("cursor_pos", XY, T),
        SeriesSpec("target_place", places, [0.5, 2.0, 4.01]),
    ]
    path = lab_file(tmp_path / "f.nwb", series=series)
    assert played(path)[1].targets is None
    recording, block = played(path, SeriesOptions(target_position_series="target_place"), 10)
    assert np.isnan(block.targets[:5]).all()
    assert block.targets[5:20].tolist() == [[1.0, 2.0]] * 15
    assert block.targets[20:41].tolist() == [[3.0, 4.0]] * 21
    assert block.targets[41:].tolist() == [[5.0, 6.0]] * 19
    assert recording.behaviour.used_as(f"{BEHAVIOR}/target_place") == "target"


# --- nothing is played wrongly in silence -----------------------------------------------------


@pytest.mark.parametrize("late", [1000.0, 1.6e9])
def test_behaviour_on_another_clock_is_left_out_with_both_spans(tmp_path, late):
    series = [SeriesSpec("cursor_pos", XY, T + late)]
    path = lab_file(tmp_path / "f.nwb", series=series)
    recording, block = played(path)
    assert len(block.counts) == 240
    assert recording.behaviour.position is None
    said = line(recording, POSITION)
    assert f"{late:.12g} s to {late + 5.99:.12g} s" in said
    assert "the spikes, 0.022 s to 5.981 s" in said
    assert f"--behaviour-offset-seconds -{late:.0f}" in said
    _, moved = played(path, SeriesOptions(behaviour_offset_seconds=-late))
    # Timestamps near 1.6e9 s are exact to a quarter of a microsecond: an edge may move a sample.
    bins = np.floor(np.round((T + late - late) * 40, 6)).astype(int)
    expected = [XY[bins == i].mean(axis=0) for i in range(240)]
    np.testing.assert_allclose(moved.kinematics[:, 2:], expected, rtol=1e-9)


def test_trials_on_another_clock_are_left_out_with_both_spans(tmp_path):
    trials = {name: values + 1000 for name, values in TRIALS.items()}
    path = lab_file(tmp_path / "f.nwb", trials={**trials, "n": np.arange(6)})
    recording, _ = played(path)
    assert not len(recording.trials)
    assert "--trials-offset-seconds -1000" in line(recording, "intervals/trials")
    recording, _ = played(path, SeriesOptions(trials_offset_seconds=-1000))
    assert [trial.start_time for trial in recording.trials] == [0, 1, 2, 3, 4, 5]
    assert [trial.columns["n"] for trial in recording.trials] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1e3, "ms"), (1e6, "us"), (30_000, "samples@30000"), (24_414.0625, "samples@24414.1")],
)
def test_spike_times_in_another_unit_are_said_and_never_corrected_unasked(tmp_path, factor, unit):
    spikes = [times * factor for times in SPIKES]
    path = lab_file(tmp_path / "f.nwb", spikes=spikes)
    with open_recording(path) as recording:
        said = [each for each in recording.missing if f"--spike-time-unit {unit}" in each]
        assert said
        assert recording.last_event_seconds == pytest.approx(np.max(spikes))
    exact = f"samples@{factor:g}" if "@" in unit else unit
    recording, block = played(path, SeriesOptions(spike_time_unit=exact))
    assert block.counts.sum() == 480
    assert len(block.counts) == 240
    assert not [each for each in recording.missing if "spike-time-unit" in each]


def test_the_sampling_rate_that_the_file_states_is_the_one_that_is_tried(tmp_path):
    def edit(file):
        file["units/spike_times"].attrs["resolution"] = 1 / 12_500

    path = lab_file(tmp_path / "f.nwb", edit, spikes=[times * 12_500 for times in SPIKES])
    with open_recording(path) as recording:
        flag = "--spike-time-unit samples@12500"
        assert any(flag in each for each in recording.missing)


HOLE = np.array([[0.0, 2.0], [4.0, 6.0]])


def with_intervals(*by_unit):
    def edit(file):
        flat = np.concatenate(by_unit)
        file["units/obs_intervals"] = flat
        file["units/obs_intervals_index"] = np.cumsum([len(each) for each in by_unit])

    return edit


def with_invalid_times(file):
    table = file.create_group("intervals/invalid_times")
    table["start_time"], table["stop_time"] = [2.0], [4.0]


@pytest.mark.parametrize("edit", [with_intervals(*[HOLE] * 4), with_invalid_times])
def test_what_was_not_observed_is_not_zero(tmp_path, edit):
    recording, block = played(lab_file(tmp_path / "f.nwb", edit))
    assert np.flatnonzero(~block.observed).tolist() == list(range(80, 160))
    assert np.array_equal(block.counts, expected_counts())
    assert "for 2.000 of" in line(recording, "observed time")


def test_a_bin_is_observed_when_any_unit_was(tmp_path):
    whole = np.array([[0.0, 6.0]])
    recording, block = played(lab_file(tmp_path / "f.nwb", with_intervals(HOLE, *[whole] * 3)))
    assert block.observed.all()
    assert "not observed at times when others were: 1 of 4 units" in line(
        recording, "obs_intervals"
    )
    assert played(lab_file(tmp_path / "g.nwb"))[1].observed is None


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"start_time": np.zeros(6), "stop_time": np.zeros(6)}, "a stop at their start"),
        ({"stop_time": np.full(6, np.nan)}, "no start or no stop"),
        ({"start_time": np.arange(6) + 0.9, "stop_time": np.arange(6.0)}, "a stop before"),
    ],
)
def test_trials_that_last_no_time_are_counted_and_offered_to_nobody(tmp_path, times, said):
    path = lab_file(tmp_path / "f.nwb", trials={**TRIALS, **times, "target_id": np.arange(6) % 2})
    recording, _ = played(path)
    assert f"6 of 6 trials have {said}" in line(recording, "intervals/trials")
    assert recording.trials.target_ids == ()
    found = inspect_recording(path)
    assert found.trials.targets == {}
    assert (found.trials.n_trials, found.trials.n_playing) == (6, 0)


def test_trials_in_which_no_bin_starts_are_counted(tmp_path):
    trials = {"start_time": [0.0, 1.001, 2.0], "stop_time": [0.5, 1.002, 2.5]}
    path = lab_file(tmp_path / "f.nwb", trials={**trials, "target_id": [1, 2, 3]})
    found = inspect_recording(path)
    assert found.trials.targets == {1: 1, 3: 1}
    assert any("in 1 of 3 no bin of 25 ms starts" in each for each in found.missing)


def test_times_that_restart_and_a_period_in_place_of_a_rate_are_said(tmp_path):
    times = T.copy()
    times[300:] -= 2.5
    series = [
        SeriesSpec("cursor_pos", XY, times),
        SeriesSpec("slow", XY, rate=0.01),
        SeriesSpec("turned", XY.T, rate=100.0),
    ]
    recording, _ = played(lab_file(tmp_path / "f.nwb", series=series))
    assert "go back 1 times, first from 2.99 s to 0.5 s at row 300" in line(
        recording, f"{POSITION}/timestamps"
    )
    period = line(recording, "slow/starting_time")
    assert "600 rows last 60000 s" in period
    assert "with 100 Hz they would last 6 s" in period
    assert "2 rows of 600 columns" in line(recording, "turned")


def test_inspect_gives_each_option_as_a_command_to_copy(tmp_path):
    path = lab_file(tmp_path / "f.nwb", series=[SeriesSpec("axes", np.c_[XY, XY], T)])
    found = inspect_recording(path, SeriesOptions(spike_time_unit="s", units_table="units"))
    assert found.commands == (
        f"phantomlink inspect {path} --units-table units "
        f"--position-series '{BEHAVIOR}/axes[:,0:2]'",
    )
    anomalies = found.as_json()["anomalies"]
    assert any(
        each["options"] == {"--position-series": f"{BEHAVIOR}/axes[:,0:2]"} for each in anomalies
    )


def without_areas(*names):
    def edit(file):
        column = np.array(names, dtype=h5py.string_dtype())
        file["general/extracellular_ephys/electrodes/location"] = column
        file["units/electrodes"] = np.arange(4)
        file["units/location"] = np.array(["CA1", "", "CA1", "CA3"], dtype=h5py.string_dtype())

    return edit


@pytest.mark.parametrize(
    ("electrodes", "areas"),
    [(["", "", "", ""], {"CA1": 2, "CA3": 1}), (["M1", "", "", ""], {"M1": 1})],
)
def test_an_area_without_a_name_is_none(tmp_path, electrodes, areas):
    path = lab_file(tmp_path / "f.nwb", without_areas(*electrodes))
    assert inspect_recording(path).units.areas == areas


def test_the_axis_that_is_not_played_is_said(tmp_path):
    xyz = np.column_stack((XY, T))
    in_columns = lab_file(tmp_path / "f.nwb", series=[SeriesSpec("cursor_pos", xyz, T)])
    said = line(played(in_columns)[0], "3 columns; 0 and 1 are played")
    assert said.endswith(f"--position-series '{POSITION}[:,[0,2]]'")
    told = SeriesOptions(position_series=f"{POSITION}[:,[0,2]]")
    recording, _ = played(in_columns, told)
    assert not any("are played" in each for each in recording.missing)
    series = [SeriesSpec(f"hand_{axis}", xyz[:, i], T) for i, axis in enumerate("xyz")]
    recording, _ = played(lab_file(tmp_path / "g.nwb", series=series))
    said = line(recording, f"{BEHAVIOR}/hand_z: is a third axis")
    assert said.endswith(f"--position-series {BEHAVIOR}/hand_x,{BEHAVIOR}/hand_z")
