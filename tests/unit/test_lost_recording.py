"""What becomes of an open recording whose files are cut, deleted, replaced or overwritten."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import phantomlink.recordings.nwb.behaviour as behaviour_module
import phantomlink.recordings.nwb.contents as contents_module
import phantomlink.recordings.recording as recording_module
from phantomlink.errors import RecordingError
from phantomlink.recordings import identity as identity_module
from phantomlink.recordings.identity import FileIdentity, sha256_of
from phantomlink.recordings.index_cache import HEADER_BYTES, places
from phantomlink.recordings.recording import open_recording
from tests.nwb_files import SeriesSpec, write_nwb

SECONDS = 60


def make(path, *, seed=1, storage=None):
    """Spikes for an index of several blocks, and behaviour; the same size whatever the seed."""
    rng = np.random.default_rng(seed)
    times = np.arange(0, SECONDS, 0.001)
    return write_nwb(
        path,
        spikes=[rng.uniform(0, SECONDS, 6000) for _ in range(3)],
        series=[
            SeriesSpec("cursor_pos", rng.random((times.size, 2)), times, storage=storage or {})
        ],
        trials={"start_time": [0.0, 30.0], "stop_time": [20.0, 59.99]},
        identifier=f"recording {seed}",
    )


@pytest.fixture(autouse=True)
def all_from_the_file(monkeypatch):
    monkeypatch.setattr(behaviour_module, "MEMORY_VALUES", 0)
    monkeypatch.setattr(contents_module, "MEMORY_SPIKES", 0)


STORAGES = {"contiguous": {}, "compressed": {"chunks": (4096, 2), "compression": "gzip"}}


@pytest.fixture(params=STORAGES)
def path(request, tmp_path):
    return make(tmp_path / "r.nwb", storage=STORAGES[request.param])


@pytest.fixture
def playing(path):
    """The recording, its bins, what is in them, and its SHA-256."""
    with open_recording(path, cache_dir=path.parent / "cache") as recording:
        bins = recording.at_rate(40)
        assert not bins.in_memory
        yield recording, bins, whole(bins), sha256_of(path)


def whole(bins):
    block = bins.read(0, bins.grid.n_bins)
    return block.counts.tobytes() + block.kinematics.tobytes()


def overwrite(path, data):
    """As `cp` does: the same file has something else in it."""
    with path.open("r+b") as file:
        file.truncate()
        file.write(data)
        file.truncate()


def test_nothing_has_happened(playing):
    recording, bins, before, sha256 = playing
    recording.check()
    assert recording.whereabouts() is None
    recording.reopen(sha256)
    assert whole(bins) == before


@pytest.mark.parametrize("knows_sha256", [True, False])
def test_cut_and_restored_in_its_place(playing, path, knows_sha256):
    recording, bins, before, sha256 = playing
    sha256 = sha256 if knows_sha256 else None
    data = path.read_bytes()
    os.truncate(path, len(data) // 2)
    for look in (recording.check, lambda: bins.read(2000, 2040)):
        with pytest.raises(RecordingError, match=r"cut while it was open: \d+ of \d+ bytes"):
            look()
    with pytest.raises(RecordingError, match=r"r\.nwb: cut short, or another file: \d+ bytes are"):
        recording.reopen(sha256)
    overwrite(path, data)
    recording.reopen(sha256)
    assert whole(bins) == before
    recording.check()


def test_cut_and_restored_by_a_rename(playing, path):
    recording, bins, before, sha256 = playing
    backup = shutil.copy2(path, path.with_name("backup"))
    os.truncate(path, 1000)
    with pytest.raises(RecordingError, match="cut while it was open"):
        bins.read(0, 40)
    os.replace(backup, path)
    with pytest.raises(RecordingError, match="cut while it was open"):
        bins.read(0, 40)
    recording.reopen(sha256)
    assert whole(bins) == before
    assert recording.whereabouts() is None


def test_deleted_it_plays_on_from_what_is_open(playing, path):
    recording, bins, before, sha256 = playing
    data = path.read_bytes()
    path.unlink()
    assert whole(bins) == before
    recording.check()
    assert recording.whereabouts() == "was deleted or moved away"
    with pytest.raises(RecordingError, match=r"r\.nwb: no such file"):
        recording.reopen(sha256)
    assert whole(bins) == before, "what is open is not given up for nothing"
    path.write_bytes(data)
    recording.reopen(sha256)
    assert recording.whereabouts() is None
    assert whole(bins) == before


def test_another_one_moved_over_it_is_not_played(playing, path):
    recording, bins, before, _ = playing
    os.replace(make(path.with_name("other"), seed=2), path)
    assert recording.whereabouts() == "has another file in its place"
    recording.check()
    assert whole(bins) == before


def test_another_one_written_over_it_is_refused_until_the_right_one_is_back(
    playing, path, monkeypatch
):
    recording, bins, before, sha256 = playing
    data = path.read_bytes()
    other = bytes(reversed(data))
    hashed = []
    monkeypatch.setattr(
        identity_module, "sha256_of", lambda path: (hashed.append(1), sha256_of(path))[1]
    )
    overwrite(path, other)
    with pytest.raises(RecordingError, match="written to while it was open"):
        bins.read(0, 40)
    for _ in range(3):
        with pytest.raises(RecordingError, match=f"another file is in its place: .* {sha256}"):
            recording.reopen(sha256)
    assert len(hashed) == 1, "a large file is not hashed every second"
    overwrite(path, data)
    recording.reopen(sha256)
    assert whole(bins) == before


def test_without_a_sha256_what_is_in_the_file_decides(playing, path):
    recording, bins, before, _ = playing
    data = path.read_bytes()
    other = make(path.with_name("other"), seed=2, storage=STORAGES["contiguous"])
    other_data = other.read_bytes()[: len(data)].ljust(len(data), b"\0")
    overwrite(path, other_data)
    with pytest.raises(RecordingError, match=r"in its place|truncated|damaged|cannot read"):
        recording.reopen(None)
    with pytest.raises(RecordingError):
        bins.read(0, 40)
    overwrite(path, data)
    recording.reopen(None)
    assert whole(bins) == before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"identifier": "x"}, "its identifier is x, not recording 1"),
        ({"trials": {"start_time": [0.0], "stop_time": [59.99]}}, "its number of trials is 1"),
        ({"unit_ids": [1, 2, 3]}, "other units"),
        ({"n": 5999}, "its number of spikes is 17997, not 18000"),
    ],
)
def test_another_recording_is_known_by_what_it_says(tmp_path, change, what):
    def written(name, n=6000, **change):
        times = np.arange(0, SECONDS, 0.001)
        given = {
            "series": [SeriesSpec("cursor_pos", np.zeros((times.size, 2)), times)],
            "trials": {"start_time": [0.0, 30.0], "stop_time": [20.0, 59.99]},
            "identifier": "recording 1",
        }
        spikes = [np.linspace(0, 59, n)] * 3
        return write_nwb(tmp_path / name, spikes=spikes, **(given | change))

    with (
        open_recording(written("one.nwb"), cache_dir=tmp_path) as one,
        open_recording(written("same.nwb"), cache_dir=tmp_path) as same,
        open_recording(written("other.nwb", **change), cache_dir=tmp_path) as other,
    ):
        same.check_like(one)
        with pytest.raises(RecordingError, match=what):
            other.check_like(one)


def test_touched_it_is_looked_at_and_plays_on(playing, path):
    recording, bins, before, sha256 = playing
    os.utime(path, ns=(1, 1))
    with pytest.raises(RecordingError, match="written to while it was open"):
        bins.read(0, 40)
    recording.reopen(sha256)
    assert whole(bins) == before


def test_an_index_that_is_whole_is_not_made_again(playing, path, monkeypatch):
    recording, bins, before, sha256 = playing
    os.utime(path, ns=(1, 1))

    def build(*_):
        raise AssertionError("the spikes of a large recording take seconds")

    monkeypatch.setattr("phantomlink.recordings.nwb.spike_index.build_index", build)
    recording.reopen(sha256)
    assert whole(bins) == before


def test_an_index_is_made_again_where_only_its_recording_looks_the_same(playing, path):
    recording, bins, before, _ = playing
    index = places(path, path.parent / "cache")[0]
    was = index.stat().st_ino
    os.utime(path, ns=(1, 1))
    recording.reopen(None)
    assert index.stat().st_ino != was
    assert whole(bins) == before


def test_an_index_that_failed_once_is_opened_again(playing, path, monkeypatch):
    recording, bins, before, sha256 = playing

    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("phantomlink.recordings.nwb.spike_index.read_exactly", fail)
        with pytest.raises(RecordingError, match="Input/output error"):
            bins.read(0, 40)
    with pytest.raises(RecordingError, match="failed before"):
        recording.check()
    recording.reopen(sha256)
    recording.check()
    assert whole(bins) == before


def test_the_index_deleted_plays_on(playing, path):
    recording, bins, before, _ = playing
    places(path, path.parent / "cache")[0].unlink()
    recording.check()
    assert whole(bins) == before


def test_the_index_cut_is_made_again(playing, path):
    recording, bins, before, sha256 = playing
    index = places(path, path.parent / "cache")[0]
    os.truncate(index, HEADER_BYTES + 100)
    for look in (recording.check, lambda: bins.read(2000, 2040)):
        with pytest.raises(RecordingError, match="index of the spikes"):
            look()
    recording.reopen(sha256)
    assert whole(bins) == before


def test_the_index_damaged_is_made_again_though_its_head_is_as_it_was(playing, path):
    recording, bins, before, sha256 = playing
    index = places(path, path.parent / "cache")[0]
    with index.open("r+b") as file:
        file.seek(HEADER_BYTES + 5000)
        file.write(b"damage")
    with pytest.raises(RecordingError, match="was damaged"):
        bins.read(0, 40)
    recording.reopen(sha256)
    assert whole(bins) == before


def test_after_a_failed_attempt_nothing_old_is_read(playing, path, monkeypatch):
    recording, bins, before, sha256 = playing
    monkeypatch.setattr(recording_module.Recording, "check_like", refuse := Refusal())
    with pytest.raises(RecordingError, match="not this one"):
        recording.reopen(sha256)
    for look in (recording.check, lambda: bins.read(0, 40)):
        with pytest.raises(RecordingError, match="not this one"):
            look()
    refuse.over = True
    recording.reopen(sha256)
    assert whole(bins) == before


class Refusal:
    over = False

    def __call__(self, *_):
        if not self.over:
            raise RecordingError("not this one")


def test_a_recording_in_memory_reads_no_file_any_more(tmp_path, monkeypatch):
    monkeypatch.undo()
    path = make(tmp_path / "r.nwb")
    with open_recording(path) as recording:
        bins = recording.at_rate(40)
        before = whole(bins)
        path.write_bytes(b"")
        path.unlink()
        assert recording.in_memory
        assert whole(bins) == before
        assert whole(recording.at_rate(100))


def test_an_identity_is_of_a_path_or_a_descriptor(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        assert FileIdentity.of(path) == FileIdentity.of(file.fileno())


def test_no_room_for_the_index_is_a_reason_and_room_is_the_end_of_it(playing, path, monkeypatch):
    recording, bins, before, sha256 = playing
    os.truncate(places(path, path.parent / "cache")[0], 0)
    free = [0]
    usage = "phantomlink.recordings.nwb.spike_index.shutil.disk_usage"
    monkeypatch.setattr(usage, lambda folder: SimpleNamespace(free=free[0]))
    for look in (lambda: recording.reopen(sha256), lambda: bins.read(0, 40)):
        with pytest.raises(RecordingError, match=r"can be written nowhere .*free some space"):
            look()
    free[0] = 10**9
    recording.reopen(sha256)
    assert whole(bins) == before
