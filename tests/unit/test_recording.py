"""Recordings as people make them: with pynwb, and the genuine ones."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import h5py
import msgpack
import numpy as np
import pytest

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.errors import RecordingError
from phantomlink.recordings.nwb import behaviour as behaviour_module
from phantomlink.recordings.nwb import contents as contents_module
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.trials import Filter
from phantomlink.wire.encoder import WireFormat, packet_encoder
from phantomlink.wire.packet import StreamHeader
from tests.nwb_files import SeriesSpec, moving, write_nwb

AT_40 = Fraction(40)


@pytest.fixture(scope="module")
def made_with_pynwb(tmp_path_factory):
    """One series in a Position container, ragged and chunked columns, as pynwb writes them."""
    from hdmf.backends.hdf5 import H5DataIO  # noqa: PLC0415
    from pynwb import NWBHDF5IO, NWBFile  # noqa: PLC0415
    from pynwb.behavior import Position, SpatialSeries  # noqa: PLC0415

    nwb = NWBFile("a session", "made-with-pynwb", datetime(2024, 1, 1, tzinfo=UTC), lab="Here")
    times = np.arange(0, 4, 0.01)
    place = Position(name="Position")
    place.add_spatial_series(
        SpatialSeries(
            name="cursor",
            data=H5DataIO(moving(times), compression="gzip"),
            timestamps=times,
            reference_frame="screen",
            unit="cm",
        )
    )
    module = nwb.create_processing_module("behavior", "what it did")
    module.add(place)
    nwb.add_trial_column("target_pos", "where", index=True)
    nwb.add_trial_column("active_target", "which")
    for start, targets, active in [(0.5, [[3, 4]], 0), (2.0, [[3, 4], [-1, 7], [0, 2]], 1)]:
        nwb.add_trial(
            start_time=start, stop_time=start + 1, target_pos=targets, active_target=active
        )
    nwb.add_unit_column("heldout", "or not")
    for number, held in [(11, True), (2874, False)]:
        nwb.add_unit(spike_times=np.arange(number % 7 + 1) / 3, id=number, heldout=held)
    path = tmp_path_factory.mktemp("pynwb") / "made.nwb"
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


def test_a_file_of_pynwb(made_with_pynwb):
    with open_recording(made_with_pynwb) as recording:
        bins = recording.at_rate(AT_40)
        block = bins.read(0, bins.grid.n_bins)
        assert recording.dataset == "made"
        assert recording.info.identifier == "made-with-pynwb"
        assert recording.info.lab == "Here"
        assert not recording.info.is_synthetic
        assert recording.unit_ids == (11, 2874)
        assert recording.units.heldout == (True, False)
        assert block.counts.sum(axis=0).tolist() == [5, 5]
        assert recording.behaviour.position.path == "processing/behavior/Position/cursor"
        assert recording.behaviour.position.rate_hz == 100.0
        assert (recording.t0_seconds, recording.last_event_seconds) == (0.0, 3.99)
        targets = [(t.target_id, t.target_x, t.target_y, t.reach_id) for t in recording.trials]
        assert targets == [(0, 3.0, 4.0, 0), (1, -1.0, 7.0, 1)]
        assert recording.trials.ranges(Filter(target_id=1), bins.grid) == ((80, 120),)
        assert bins.in_memory


def test_the_same_recording_at_several_rates(made_with_pynwb):
    with open_recording(made_with_pynwb) as recording:
        for rate in (Fraction(1), AT_40, Fraction(1000), Fraction(100, 3)):
            bins = recording.at_rate(rate)
            counts = bins.read(0, bins.grid.n_bins).counts
            assert counts.sum(axis=0, dtype=int).tolist() == [5, 5]
            assert bins.grid.duration_seconds > recording.last_event_seconds
            assert bins.grid.start_of(bins.grid.n_bins - 1) <= recording.last_event_seconds
        for rate in (Fraction(0), Fraction(-1)):
            with pytest.raises(RecordingError, match="must be above 0"):
                recording.at_rate(rate)


def test_a_recording_in_memory_needs_its_file_no_more(tmp_path):
    path = write_nwb(
        tmp_path / "f.nwb", series=[SeriesSpec("hand_pos", moving([0, 1]), [0.0, 1.0])]
    )
    recording = open_recording(path)
    with h5py.File(path, "a"):  # HDF5 refuses this while the file is open for reading
        path.unlink()
    assert recording.at_rate(AT_40).read(0, 41).counts.sum() == 3
    recording.close()
    recording.close()


def test_a_recording_of_many_spikes_gives_the_same_bins_through_its_index(tmp_path, monkeypatch):
    rng = np.random.default_rng(8)
    times = np.arange(0.0, 20.0, 0.004)
    path = write_nwb(
        tmp_path / "f.nwb",
        spikes=[rng.uniform(0, 20, n) for n in (4000, 0, 9000, 1)],
        unit_ids=[1011, 1021, 2874, 7],
        series=[SeriesSpec("hand_pos", moving(times), times)],
        trials={"start_time": [1.0, 5.0], "stop_time": [2.0, 9.5]},
    )

    def read(**kwargs):
        with open_recording(path, **kwargs) as recording:
            bins = recording.at_rate(AT_40)
            n = bins.grid.n_bins
            blocks = [bins.read(i, min(i + 77, n)) for i in range(0, n, 77)]
            assert bins.in_memory == recording.in_memory
            parts = ("counts", "kinematics", "trial_rows")
            arrays = [np.concatenate([getattr(block, part) for block in blocks]) for part in parts]
            return recording.n_spikes, recording.in_memory, arrays

    n_spikes, in_memory, expected = read()
    assert (n_spikes, in_memory) == (13_001, True)
    monkeypatch.setattr(contents_module, "MEMORY_SPIKES", 13_000)
    monkeypatch.setattr(behaviour_module, "MEMORY_VALUES", 100)
    steps = []
    n_spikes, in_memory, found = read(
        cache_dir=tmp_path / "cache", progress=lambda done, total: steps.append((done, total))
    )
    assert (n_spikes, in_memory) == (13_001, False)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, equal_nan=True)
    assert steps[-1][0] == steps[-1][1]
    steps.clear()
    read(progress=lambda *step: steps.append(step))
    assert steps == []  # the index is there already


def test_the_event_of_the_last_bin_may_be_a_spike_a_sample_or_a_trial(tmp_path):
    def last(name, **kwargs):
        with open_recording(write_nwb(tmp_path / f"{name}.nwb", **kwargs)) as recording:
            return recording.last_event_seconds

    series = [SeriesSpec("hand_pos", moving([0, 1, 2]), [0.0, 1.0, 2.0])]
    trials = {"start_time": [0.0], "stop_time": [7.5]}
    assert last("spike", spikes=[[0.1, 3.25]], series=series) == 3.25
    assert last("sample", spikes=[[0.1]], series=series) == 2.0
    assert last("trial", spikes=[[0.1]], series=series, trials=trials) == 7.5


def test_synthetic_recordings_say_so(tmp_path):
    with open_recording(write_nwb(tmp_path / "f.nwb", identifier="Synthetic-1")) as recording:
        assert recording.info.is_synthetic


# --- the genuine recordings -----------------------------------------------------------------

FOLDER = os.environ.get("PHANTOM_TEST_RECORDINGS")


def spikes_of(path):
    """(unit, times) of a recording, read as plainly as can be."""
    with h5py.File(path, "r") as file:
        times = file["units/spike_times"][...]
        ends = file["units/spike_times_index"][...].astype(int)
        starts = np.concatenate(([0], ends[:-1]))
        return [times[a:b] for a, b in zip(starts, ends, strict=True)]


def _position_only(choose):
    return lambda *args: (choose(*args)[0], None)


class TestGenuineRecordings:
    # Not collected when no folder is named; a file that is not in it is a failure.
    __test__ = FOLDER is not None

    @pytest.mark.parametrize(
        ("name", "n_units", "n_bins"),
        [("mc_maze_full_2trials.nwb", 182, 275), ("mc_maze_small_test.nwb", 107, 3197)],
    )
    def test_every_spike_of_a_genuine_recording_is_in_its_bin(self, name, n_units, n_bins):
        path = Path(FOLDER) / name
        with open_recording(path) as recording:
            bins = recording.at_rate(AT_40)
            counts = bins.read(0, bins.grid.n_bins).counts
        assert counts.shape == (n_bins, n_units)
        for column, times in enumerate(spikes_of(path)):
            # Spike times have 6 decimals, so whole microseconds know no rounding.
            in_bins = np.bincount(np.round(times * 1e6).astype(int) // 25_000, minlength=n_bins)
            assert np.array_equal(counts[:, column], in_bins)

    @pytest.mark.parametrize("name", ["mc_maze_full_2trials.nwb", "mc_maze_small_test.nwb"])
    def test_every_packet_says_the_same_in_its_compact_form(self, name):
        with open_recording(Path(FOLDER) / name) as recording:
            bins = recording.at_rate(AT_40)
            assembler = PacketAssembler(bins)
            rows = assembler.rows(bins.read(0, bins.grid.n_bins))
            header = StreamHeader(len(bins.unit_ids), bins.grid.bin_size_ms)
        plain, compact = (
            packet_encoder(form, header) for form in (WireFormat.MSGPACK, WireFormat.COMPACT)
        )
        n_bytes = [0, 0]
        for row in range(len(rows)):
            packet = assembler.packet(rows, row, row, 0)
            payloads = [encoder.encode(packet).payload for encoder in (plain, compact)]
            n_bytes = [n + len(payload) for n, payload in zip(n_bytes, payloads, strict=True)]
            expected, got = (msgpack.unpackb(payload)["data"] for payload in payloads)
            counts, spikes = expected.pop("spikes")["spike_counts"], got.pop("spikes")
            assert np.frombuffer(spikes["counts"], spikes["dtype"]).tolist() == counts
            assert got == expected
        assert n_bytes[1] <= 0.75 * n_bytes[0]

    def test_kinematics_of_a_genuine_recording_follow_its_timestamps(self):
        path = Path(FOLDER) / "mc_maze_full_2trials.nwb"
        with open_recording(path) as recording:
            bins = recording.at_rate(AT_40)
            found = bins.read(0, bins.grid.n_bins).kinematics
            assert [line.split(":")[0] for line in recording.missing] == ["observed time"]
        with h5py.File(path, "r") as file:
            for name, columns in [("hand_vel", slice(0, 2)), ("cursor_pos", slice(2, 4))]:
                series = file["processing/behavior"][name]
                times, values = series["timestamps"][...], series["data"][...]
                in_bin = np.round(times * 1e6).astype(int) // 25_000
                for i in range(len(found)):
                    if np.any(in_bin == i):
                        expected = values[in_bin == i].mean(axis=0)
                        np.testing.assert_allclose(found[i, columns], expected, rtol=1e-9)
                    else:
                        assert np.isnan(found[i, columns]).all()
        assert np.isnan(found).any()  # between the trials there is nothing

    def test_the_gradient_of_the_hand_is_the_velocity_that_the_recording_has(self, monkeypatch):
        path = Path(FOLDER) / "mc_maze_full_2trials.nwb"

        def velocity(options):
            with open_recording(path, options=options) as recording:
                bins = recording.at_rate(AT_40)
                return recording.behaviour, bins.read(0, bins.grid.n_bins).kinematics[:, :2]

        _, stored = velocity(SeriesOptions())
        monkeypatch.setattr(behaviour_module, "choose", _position_only(behaviour_module.choose))
        behaviour, derived = velocity(SeriesOptions(position_series="hand_pos"))
        assert behaviour.velocity.derived
        np.testing.assert_allclose(derived, stored, rtol=1e-6, atol=1e-6)

    def test_trials_of_the_genuine_recordings(self):
        with open_recording(Path(FOLDER) / "mc_maze_small_test.nwb") as recording:
            grid = recording.at_rate(AT_40).grid
            assert len(recording.trials) == 100
            assert recording.trials.ranges(Filter(trial_id=99), grid) == ((3168, 3196),)
            assert recording.units.areas.count("M1") == 55  # not 0, as its electrode rows say
            assert [line.split(":")[0] for line in recording.missing] == [
                "position",
                "velocity",
                "observed time",
                "target ids",
                "target places",
            ]
            bins = recording.at_rate(AT_40)
            assert np.sum(~bins.read(0, bins.grid.n_bins).observed) == 397
        with open_recording(Path(FOLDER) / "mc_maze_full_2trials.nwb") as recording:
            assert [(reach.x, reach.y) for reach in recording.trials.reaches] == [
                (127, -73),
                (130, -58),
            ]
            assert recording.trials[0].as_json()["go_cue_time"] is None
