from __future__ import annotations

from fractions import Fraction

import h5py
import numpy as np
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.kinematics import (
    Samples,
    binned,
    derivative,
    held,
    interpolated,
    typical_period,
)
from phantomlink.recordings.nwb import behaviour as behaviour_module
from phantomlink.recordings.nwb import tracks as tracks_module
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.recording import open_recording
from tests.nwb_files import BEHAVIOR, SeriesSpec, moving, write_nwb

AT_40 = Fraction(40)


def samples(seconds, values, period=None):
    seconds, values = np.array(seconds, dtype=float), np.array(values, dtype=float)
    if values.ndim == 1:
        values = values[:, np.newaxis]
    return Samples(seconds, values, typical_period(seconds) if period is None else period)


def kinematics(path, rate=AT_40, options=None):
    with open_recording(path, options=options or SeriesOptions()) as recording:
        bins = recording.at_rate(rate)
        return bins.read(0, bins.grid.n_bins).kinematics


def used(path, options=None):
    with open_recording(path, options=options or SeriesOptions()) as recording:
        return (
            recording.behaviour.position and recording.behaviour.position.path,
            recording.behaviour.velocity and recording.behaviour.velocity.path,
        )


def means_by_hand(seconds, values, n_bins, bin_us=25_000):
    """Mean of the samples in each bin, counted in whole microseconds."""
    bins = np.round(np.asarray(seconds) * 1e6).astype(int) // bin_us
    return np.array(
        [
            values[bins == i].mean(axis=0) if np.any(bins == i) else [np.nan] * 2
            for i in range(n_bins)
        ]
    )


def stretches(spans, step=0.001):
    return np.concatenate([np.arange(round(a / step), round(b / step)) * step for a, b in spans])


# --- what a bin's kinematics are ------------------------------------------------------------


def test_every_bin_is_the_mean_of_the_samples_of_its_time_across_gaps(tmp_path):
    # Row 3500 is at 3.6 s, row 9000 at 10.2 s: whoever takes rows for milliseconds is wrong in
    # every bin after the first gap, by up to 1.2 s in the last.
    times = stretches([(0.0, 3.421), (3.5, 5.631), (5.7, 8.536), (9.6, 11.746)])
    position, velocity = moving(times), moving(times + 100)
    path = write_nwb(
        tmp_path / "gaps.nwb",
        series=[
            SeriesSpec("cursor_pos", position, times),
            SeriesSpec("hand_vel", velocity, times, unit="mm/s", type="TimeSeries"),
        ],
    )
    found = kinematics(path)
    expected = np.hstack([means_by_hand(times, v, len(found)) for v in (velocity, position)])
    assert len(found) == 470
    np.testing.assert_allclose(found, expected, rtol=1e-9, equal_nan=True)
    assert np.isnan(found).all(axis=1).sum() == 3 + 2 + 42  # bins wholly inside the three gaps


def test_sparse_samples_are_joined_by_straight_lines_at_the_centre_of_bins():
    grid = BinGrid(0.0, AT_40, 12)
    # 20 Hz: a sample in every other bin; then one sample is missing, then two.
    times = [0.05, 0.10, 0.15, 0.25]
    found = binned(samples(times, [1.0, 2.0, 3.0, 5.0], 0.05), grid, 0, 12)[:, 0]
    nan = np.nan
    expected = [nan, nan, 1.0, 1.75, 2.0, 2.75, 3.0, 3.75, 4.25, 4.75, 5.0, nan]
    np.testing.assert_allclose(found, expected, rtol=1e-12, equal_nan=True)


def test_a_gap_of_two_and_a_half_periods_is_not_bridged():
    grid = BinGrid(0.0, AT_40, 8)
    near = binned(samples([0.0, 0.124], [0.0, 1.0], 0.05), grid, 0, 8)[:, 0]
    far = binned(samples([0.0, 0.126], [0.0, 1.0], 0.05), grid, 0, 8)[:, 0]
    assert np.isfinite(near[1:4]).all()
    assert np.isnan(far[1:5]).all()
    assert (far[0], far[5]) == (0.0, 1.0)


def test_samples_that_are_not_known_are_left_out_of_the_mean():
    grid = BinGrid(0.0, AT_40, 3)
    nan = np.nan
    values = [[1, nan], [3, nan], [nan, 5], [7, 6], [4, np.inf], [nan, 8]]
    found = binned(samples([0.0, 0.01, 0.03, 0.04, 0.05, 0.06], values), grid, 0, 3)
    np.testing.assert_array_equal(found, [[2, nan], [7, 5.5], [4, 8]])


def test_the_gradient_stays_inside_stretches():
    times = stretches([(0.0, 0.5), (0.6, 0.601), (0.7, 1.2)])
    values = moving(times)
    found = derivative(samples(times, values)).values
    pieces = [slice(0, 500), slice(501, 1001)]
    for piece in pieces:
        expected = np.gradient(values[piece], times[piece], axis=0)
        np.testing.assert_allclose(found[piece], expected, rtol=1e-9, atol=1e-9)
    assert np.isnan(found[500]).all()  # alone between two gaps: no velocity


def test_the_gradient_of_uneven_samples_is_numpys():
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.8, 1.2, 200)) * 0.01
    values = moving(times)
    expected = np.gradient(values, times, axis=0)
    np.testing.assert_allclose(derivative(samples(times, values)).values, expected, rtol=1e-9)


def test_a_repeated_timestamp_gives_no_infinite_velocity():
    found = derivative(samples([0.0, 0.01, 0.01, 0.02], [0.0, 1.0, 1.0, 2.0]))
    np.testing.assert_allclose(found.values[:, 0], 100.0)
    assert derivative(samples([], np.empty((0, 2)))).values.shape == (0, 2)
    assert np.isnan(derivative(samples([1.0], [[1.0, 2.0]])).values).all()


def test_values_between_samples_lie_on_the_line_between_their_neighbours():
    made = samples([1.0, 2.0, 4.0, 4.5], [[10.0, 0.0], [20.0, 8.0], [40.0, 0.0], [np.nan, 4.0]], 1)
    at = np.array([0.5, 1.0, 1.25, 2.0, 3.0, 4.25, 4.5, 9.0])
    expected = [
        [np.nan, np.nan],  # before the first
        [10.0, 0.0],
        [12.5, 2.0],
        [20.0, 8.0],
        [30.0, 4.0],
        [np.nan, 2.0],  # one neighbour is not known
        [np.nan, np.nan],  # at the last there is none behind it
        [np.nan, np.nan],
    ]
    np.testing.assert_array_equal(interpolated(made, at), expected)


def test_a_gap_is_as_long_as_two_and_a_half_periods():
    for step, found in ((2.5, np.nan), (2.4999, 0.5)):
        made = samples([0.0, step], [0.0, 1.0], 1.0)
        np.testing.assert_array_equal(interpolated(made, np.array([step / 2])), [[found]])
        velocity = derivative(made).values
        assert np.isnan(velocity).all() == np.isnan(found)


def test_a_sample_is_held_until_the_next_one_also_where_times_are_rounded():
    made = samples([1.0, 2.0], [[10.0], [20.0]], 1.0)
    at = np.array([0.999, 1.0 - 1e-10, 1.0, 1.999, 2.0 - 1e-10, 2.0, 7.0])
    expected = [[np.nan], [10.0], [10.0], [10.0], [20.0], [20.0], [20.0]]
    np.testing.assert_array_equal(held(made, at), expected)
    assert held(samples([], np.empty((0, 2))), at).shape == (7, 2)


def test_the_typical_period_is_that_of_times_that_differ():
    assert typical_period(np.array([0.0, 1.0, 1.0, 1.0, 3.0, 6.0])) == 2.0
    assert np.isnan(typical_period(np.array([4.0, 4.0])))
    assert np.isnan(typical_period(np.array([])))


def test_velocity_without_a_series_is_the_gradient_and_says_so(tmp_path):
    times = stretches([(0.0, 1.0), (1.5, 2.5)])
    position = moving(times)
    path = write_nwb(
        tmp_path / "p.nwb", series=[SeriesSpec("hand_pos", position, times, unit="cm")]
    )
    gradient = np.vstack(
        [
            np.gradient(position[half], times[half], axis=0)
            for half in (slice(1000), slice(1000, None))
        ]
    )
    found = kinematics(path)
    expected = means_by_hand(times, gradient, len(found))
    np.testing.assert_allclose(found[:, :2], expected, rtol=1e-9, equal_nan=True)
    with open_recording(path) as recording:
        velocity = recording.behaviour.velocity
        assert (velocity.derived, velocity.unit, velocity.path) == (
            True,
            "cm/s",
            f"{BEHAVIOR}/hand_pos",
        )
        assert any("gradient" in line for line in recording.missing)


@pytest.mark.parametrize("regular", [True, False])
@pytest.mark.parametrize("rate", [AT_40, Fraction(1000), Fraction(7, 3)])
def test_behaviour_read_from_the_file_is_the_same_as_in_memory(
    tmp_path, monkeypatch, rate, regular
):
    times = stretches([(0.0, 3.0)] if regular else [(0.2, 3.421), (3.5, 3.51), (5.7, 8.536)])
    clock = {"rate": 1000.0, "start": 0.4} if regular else {"timestamps": times}
    pair = [SeriesSpec(f"cursor_{a}", moving(times)[:, i], **clock) for i, a in enumerate("xy")]
    path = write_nwb(tmp_path / "large.nwb", series=pair)
    expected = kinematics(path, rate)
    assert np.isfinite(expected).any()
    monkeypatch.setattr(behaviour_module, "MEMORY_VALUES", 0)
    monkeypatch.setattr(tracks_module, "PIECE_ROWS", 1024)
    monkeypatch.setattr(tracks_module, "STRIDE_ROWS", 64)
    with open_recording(path) as recording:
        bins = recording.at_rate(rate)
        assert not bins.in_memory
        n = bins.grid.n_bins
        assert n == len(expected)
        step = max(n // 7, 1)
        blocks = [bins.read(i, min(i + step, n)).kinematics for i in range(0, n, step)]
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("rows", [64, 1000, 5000])
def test_large_compressed_chunks_are_not_unpacked_for_every_few_rows(tmp_path, monkeypatch, rows):
    times = stretches([(0.0, 4.0)])
    storage = {"chunks": (rows, 1), "compression": "gzip", "maxshape": (None, None)}
    series = [SeriesSpec("hand_pos", moving(times), times, storage=storage)]
    path = write_nwb(tmp_path / "f.nwb", series=series)
    expected = kinematics(path)
    monkeypatch.setattr(behaviour_module, "MEMORY_VALUES", 0)
    monkeypatch.setattr(tracks_module, "HDF5_CACHE_BYTES", 0)
    asked = []
    read = h5py.Dataset.__getitem__

    def counted(dataset, rows):
        if dataset.name.endswith("hand_pos/data"):
            asked.append(rows)
        return read(dataset, rows)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    with open_recording(path) as recording:
        bins = recording.at_rate(AT_40)
        found = [bins.read(i, i + 5).kinematics for i in range(0, 160, 5)]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-12)
    assert len(asked) == len(set(map(str, asked))) == -(-4000 // rows)


def test_a_large_series_that_goes_backwards_is_left_out(tmp_path, monkeypatch):
    times = stretches([(0.0, 1.0)])
    times[600] = 0.1
    path = write_nwb(tmp_path / "back.nwb", series=[SeriesSpec("hand_pos", moving(times), times)])
    kinematics(path)
    monkeypatch.setattr(behaviour_module, "MEMORY_VALUES", 0)
    with open_recording(path) as recording:
        assert recording.behaviour.position is None
        (line,) = (line for line in recording.missing if "row 600" in line)
    assert "hand_pos" in line
    assert "not ascending" in line
    assert "left out as position" in line


def test_a_file_that_fails_while_playing_is_an_error_and_never_zeros(tmp_path, monkeypatch):
    times = stretches([(0.0, 30.0)])
    path = write_nwb(tmp_path / "cut.nwb", series=[SeriesSpec("hand_pos", moving(times), times)])
    monkeypatch.setattr(behaviour_module, "MEMORY_VALUES", 0)
    with open_recording(path) as recording:
        bins = recording.at_rate(AT_40)
        assert np.isfinite(bins.read(0, 10).kinematics).all()
        with path.open("r+b") as file:
            file.truncate(20_000)
        with pytest.raises(RecordingError, match=r"cut.nwb: .*20000 of \d+ bytes are left"):
            bins.read(600, 640)


# --- which series are taken -----------------------------------------------------------------

T = np.arange(200) / 100
XY = moving(T)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([("cursor_pos", "mm"), ("eye_pos", "mm"), ("hand_pos", "mm")], "cursor_pos"),
        ([("eye_pos", "mm"), ("hand_pos", "mm")], "hand_pos"),
        ([("eye_pos", "mm"), ("paw", "cm")], "paw"),
        ([("eye_pos", "mm")], "eye_pos"),
        ([("gaze", "mm"), ("finger_pos", "mm"), ("target_pos", "mm")], "finger_pos"),
        ([("target_pos", "mm")], None),
        ([("hand_acc", "mm"), ("force", "N"), ("emg", "volts")], None),
        ([("CursorPosition", "pixels")], "CursorPosition"),
        ([("stuff", "pixels")], None),
        ([("wrist", "meters"), ("joystick", "m")], "wrist"),
    ],
)
def test_the_position_is_found_by_what_it_is(tmp_path, names, expected):
    path = write_nwb(
        tmp_path / "f.nwb", series=[SeriesSpec(name, XY, T, unit=unit) for name, unit in names]
    )
    assert used(path)[0] == (expected and f"{BEHAVIOR}/{expected}")


@pytest.mark.parametrize(
    ("unit", "is_speed"),
    [
        ("mm/s", True),
        ("m/s", True),
        ("cm/sec", True),
        ("meters/second", True),
        ("millimeters per second", True),
        ("m s^-1", True),
        ("metres / s", True),
        ("m/s^2", False),
        ("mm", False),
        ("N", False),
        ("s", False),
        ("", False),
    ],
)
def test_a_velocity_is_known_by_its_unit(tmp_path, unit, is_speed):
    series = [
        SeriesSpec("hand_pos", XY, T),
        SeriesSpec("thing", XY, T, unit=unit, type="TimeSeries"),
    ]
    velocity = used(write_nwb(tmp_path / "f.nwb", series=series))[1]
    assert velocity == (f"{BEHAVIOR}/thing" if is_speed else f"{BEHAVIOR}/hand_pos")


@pytest.mark.parametrize(
    ("name", "unit", "taken"),
    [("cursor_vel", "a.u.", True), ("hand_vel", "meters", True), ("eye_vel", "mm/s", False)],
)
def test_a_velocity_is_known_by_its_name(tmp_path, name, unit, taken):
    series = [SeriesSpec("hand_pos", XY, T), SeriesSpec(name, XY, T, unit=unit)]
    velocity = used(write_nwb(tmp_path / "f.nwb", series=series))[1]
    assert velocity == f"{BEHAVIOR}/{name if taken else 'hand_pos'}"


def test_the_hand_gives_the_velocity_and_the_cursor_the_position(tmp_path):
    names = [("cursor_pos", "mm"), ("hand_pos", "mm"), ("cursor_vel", "mm/s"), ("hand_vel", "mm/s")]
    path = write_nwb(tmp_path / "f.nwb", series=[SeriesSpec(n, XY, T, unit=u) for n, u in names])
    assert used(path) == (f"{BEHAVIOR}/cursor_pos", f"{BEHAVIOR}/hand_vel")


@pytest.mark.parametrize("container", ["Position", "BehavioralTimeSeries", "CompassDirection"])
def test_series_in_containers(tmp_path, container):
    within = f"{BEHAVIOR}/box"
    series = [SeriesSpec("Spatial", XY, T, unit="meters", within=within)]
    path = write_nwb(tmp_path / "f.nwb", series=series, containers={within: container})
    # A direction in its default unit looks like a place, and is none.
    expected = None if container == "CompassDirection" else f"{within}/Spatial"
    assert used(path)[0] == expected


def test_series_in_acquisition_and_one_series_an_axis(tmp_path):
    series = [
        SeriesSpec("pos_y", XY[:, 1], T + 0.002, within="acquisition", type="TimeSeries"),
        SeriesSpec("pos_x", XY[:, 0], T, within="acquisition", type="TimeSeries"),
        SeriesSpec("index", XY[:, 0], T, unit="mm", type="TimeSeries"),
    ]
    path = write_nwb(tmp_path / "f.nwb", series=series)
    assert used(path)[0] == "acquisition/pos_x,acquisition/pos_y"
    found = kinematics(path, Fraction(10))
    np.testing.assert_allclose(found[3, 2], XY[30:40, 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(found[3, 3], XY[30:40, 1].mean(), rtol=1e-12)
    assert np.isfinite(found[3, :2]).all()


def test_a_track_gives_x_and_no_y(tmp_path):
    path = write_nwb(tmp_path / "f.nwb", series=[SeriesSpec("position", XY[:, 0], T, unit="cm")])
    found = kinematics(path, Fraction(10))
    np.testing.assert_allclose(found[5, 2], XY[50:60, 0].mean(), rtol=1e-12)
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[:, [1, 3]]).all()


def test_a_speed_without_direction_is_no_velocity(tmp_path):
    series = [
        SeriesSpec("position", XY, T),
        SeriesSpec("speed", XY[:, 0], T, unit="mm/s", type="TimeSeries"),
        SeriesSpec("wheel_velocity", XY[:, 0], T, unit="mm/s", type="TimeSeries"),
    ]
    assert used(write_nwb(tmp_path / "f.nwb", series=series))[1] == f"{BEHAVIOR}/position"


def test_the_order_of_columns_is_honoured(tmp_path):
    series = [SeriesSpec("hand_pos", XY[:, ::-1], T, comments="columns=[y, x]")]
    found = kinematics(write_nwb(tmp_path / "f.nwb", series=series), Fraction(10))
    np.testing.assert_allclose(found[5, 2:], XY[50:60].mean(axis=0), rtol=1e-12)


# --- what is told ---------------------------------------------------------------------------


def test_series_can_be_told_by_path_or_last_name(tmp_path):
    series = [
        SeriesSpec("cursor_pos", XY, T),
        SeriesSpec("odd", XY + 1, T, unit="volts", type="TimeSeries"),
        SeriesSpec("a", XY[:, 0], T, unit="V", type="TimeSeries"),
        SeriesSpec("b", XY[:, 1], T, unit="V", type="TimeSeries"),
        SeriesSpec("place", XY, T, within="acquisition/Box"),
        SeriesSpec("wide", np.zeros((200, 5)), T),
    ]
    path = write_nwb(tmp_path / "f.nwb", series=series, containers={"acquisition/Box": "Position"})
    for told, expected in [
        ("odd", f"{BEHAVIOR}/odd"),
        (f"/{BEHAVIOR}/odd", f"{BEHAVIOR}/odd"),
        ("a, b", f"{BEHAVIOR}/a,{BEHAVIOR}/b"),
        ("Box", "acquisition/Box/place"),
    ]:
        assert used(path, SeriesOptions(position_series=told))[0] == expected
        assert used(path, SeriesOptions(velocity_series=told)) == (
            f"{BEHAVIOR}/cursor_pos",
            expected,
        )
    for told, message in [
        ("cursor", r"position_series 'cursor' is not a series .* has: .*acquisition/Box/place, "),
        ("wide", "5 columns"),
        ("a,odd", "two of one column each"),
        ("a,b,a", "two of one column each"),
    ]:
        with pytest.raises(RecordingError, match=message) as caught:
            open_recording(path, options=SeriesOptions(position_series=told))
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_name_that_is_there_twice_must_be_told_by_its_path(tmp_path):
    series = [SeriesSpec("pos", XY, T), SeriesSpec("pos", XY + 9, T, within="acquisition")]
    path = write_nwb(tmp_path / "f.nwb", series=series)
    with pytest.raises(RecordingError, match=r"several series: acquisition/pos, processing"):
        open_recording(path, options=SeriesOptions(position_series="pos"))
    assert used(path, SeriesOptions(position_series="acquisition/pos"))[0] == "acquisition/pos"


def test_a_series_that_cannot_be_used_is_named_and_the_rest_plays(tmp_path):
    series = [
        SeriesSpec("hand_pos", XY, T[:150]),
        SeriesSpec("cursor_pos", XY, T, unit="mm"),
        SeriesSpec("still_pos", XY, rate=0.0),
    ]
    path = write_nwb(tmp_path / "f.nwb", series=series)
    with h5py.File(path, "a") as file:
        file[BEHAVIOR]["elsewhere"] = h5py.ExternalLink("not_here.nwb", "/x")
        file[BEHAVIOR]["nowhere"] = h5py.SoftLink("/nothing")
        file[BEHAVIOR]["around"] = h5py.SoftLink("/processing")
    with open_recording(path) as recording:
        assert recording.behaviour.position.path == f"{BEHAVIOR}/cursor_pos"
        missing = "\n".join(recording.missing)
    assert "hand_pos: has 200 rows of data, but timestamps of shape (150,)" in missing
    assert "elsewhere: is in another file, not_here.nwb, which is not there" in missing
    assert "nowhere: is a link to something that is not there" in missing
    assert "still_pos: starts at 0.0 s with 0.0 Hz" in missing
