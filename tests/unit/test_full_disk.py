"""A disk that is full in the middle of a write: an error, and a folder as it was before.

A limit on the size of files stands for it, which makes the system itself fail any longer write.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest

from phantomlink.captures.convert import convert_journal
from phantomlink.captures.journal_reader import RECOVERED, Journal
from phantomlink.captures.journal_writer import JournalWriter
from phantomlink.captures.records import End
from phantomlink.decoding import FitOptions, Model, TrainingData, fit_model, save_model
from phantomlink.errors import PhantomLinkError
from phantomlink.outputs.capture.infos import CaptureInfo, keep
from phantomlink.recordings.catalogue.facts import FactsCache
from phantomlink.recordings.identity import FileIdentity
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.synthetic import synthesize_named
from phantomlink.server.ready_file import ReadyFile
from phantomlink.state.file import SessionState, write_state
from phantomlink.state.form import RecordingIdentity
from tests.captures import header_of, sent_packets, streams_of, write_journal
from tests.full_disk import files_of_at_most

IDENTITY = RecordingIdentity("d", 1, 2)
N_PACKETS = 200


@pytest.fixture(scope="module")
def journal(recording, tmp_path_factory):
    records = sent_packets(recording, [(0, n) for n in range(N_PACKETS)])
    end = End("complete", "stopped", N_PACKETS, 0)
    header = header_of(recording, streams=streams_of(recording))
    return write_journal(tmp_path_factory.mktemp("journal"), header, records, end)


def state(path, recording, journal):
    session = SessionState(
        "a", datetime.now(UTC), Fraction(40), Fraction(1), 3, 3, 0, is_paused=False, is_stopped=True
    )
    write_state(path, IDENTITY, [session] * 10)


def ready_file(path, recording, journal):
    ReadyFile(path).write("http://127.0.0.1:8000", 8000)


def model(path, recording, journal):
    rng = np.random.default_rng(0)
    kinematics = rng.normal(size=(100, 4))
    counts = rng.poisson(1.0, (100, 4)).astype(np.uint16)
    data = TrainingData(counts, kinematics, np.arange(100) // 20, np.ones(100, bool))
    parameters = fit_model("ridge", data, FitOptions(strength=1.0))
    save_model(path, Model("ridge", parameters, (1, 2, 3, 4), 25.0, {}, (0,), {}), overwrite=True)


def synthetic(path, recording, journal):
    synthesize_named(path, units=3, seconds=2.0, overwrite=True)


def capture_info(path, recording, journal):
    info = CaptureInfo("x", "", "a", "d", None, "complete", "", "", 1.0, 1, 0, 1, 0, 0)
    keep(path.parent, info)


def converted(path, recording, journal):
    convert_journal(journal, path, overwrite=True)


WRITERS = [
    (state, "x.json"),
    (ready_file, "x.json"),
    (model, "x.npz"),
    (synthetic, "x.nwb"),
    (capture_info, "x.json"),
    (converted, "x.xdf"),
    (converted, "x.nwb"),
    (converted, "x.json"),
]


@pytest.mark.parametrize("limit", [0, 50])
@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_the_old_file_stays_and_nothing_is_left_beside_it(
    write, name, limit, recording, journal, tmp_path
):
    path = tmp_path / name
    path.write_bytes(b"old")
    with (
        files_of_at_most(limit),
        pytest.raises((OSError, PhantomLinkError), match=r"File too large|Unable to"),
    ):
        write(path, recording, journal)
    assert os.listdir(tmp_path) == [name]
    assert path.read_bytes() == b"old"
    write(path, recording, journal)
    assert os.listdir(tmp_path) == [name]
    assert len(path.read_bytes()) > 50


def test_what_is_known_of_a_dataset_is_kept_only_whole(recording, tmp_path):
    """It is a cache: who cannot write it goes on without."""
    cache, options = FactsCache(tmp_path / "cache"), SeriesOptions()
    identity = FileIdentity.of(recording.path)
    with files_of_at_most(50):
        cache.put(recording.path, options, identity, {"name": "x" * 100})
    assert os.listdir(tmp_path / "cache") == []
    assert cache.get(recording.path, options) is None
    cache.put(recording.path, options, identity, {"name": "x"})
    assert cache.get(recording.path, options) == {"name": "x"}


def test_a_journal_that_cannot_be_begun_leaves_no_file(recording, tmp_path):
    with files_of_at_most(50), pytest.raises(OSError, match="File too large"):
        JournalWriter(tmp_path, header_of(recording)).open()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("limit", range(20_000, 60_000, 5_000))
def test_a_journal_that_breaks_off_keeps_what_was_written_and_no_more(recording, tmp_path, limit):
    """Wherever that is: in a packet, at the beginning of a segment, while one is compressed."""
    records = list(sent_packets(recording, [(0, n) for n in range(N_PACKETS)]))
    writer = JournalWriter(tmp_path, header_of(recording), segment_bytes=25_000)
    writer.open()
    written, failed = 0, None
    for record in records:
        try:
            writer.write([record])
            written += 1
            with files_of_at_most(limit if written > 10 else 10**9):
                writer.next_segment_if_due()
                writer.compress_some()
        except OSError as error:
            failed = error
            break
    with files_of_at_most(0), pytest.raises(OSError, match=r"File too large|could not be begun"):
        writer.finish(End("torn", "", written, 0))
    writer.abandon()
    assert not list(tmp_path.glob("*.tmp"))
    journal = Journal(writer.path)
    found = [record.body() for record in journal.records()]
    assert found == [record.body() for record in records[:written]]
    assert journal.state == RECOVERED
    assert failed is None or written < N_PACKETS


def test_a_segment_that_cannot_be_begun_is_an_error_and_no_bug(recording, tmp_path, monkeypatch):
    """The file before it has its name already, and stays."""
    records = list(sent_packets(recording, [(0, n) for n in range(20)]))
    writer = JournalWriter(tmp_path, header_of(recording), segment_bytes=1_000)
    writer.open()
    writer.write(records)
    with files_of_at_most(50), pytest.raises(OSError, match="File too large"):
        writer.next_segment_if_due()
    for call in (lambda: writer.write(records), writer.next_segment_if_due):
        with pytest.raises(OSError, match="its next segment could not be begun"):
            call()
    with pytest.raises(OSError, match="its next segment could not be begun"):
        writer.finish(End("torn", "", 20, 0))
    writer.abandon()
    writer.sync()
    assert os.listdir(tmp_path) == [f"{writer.path.stem}.000.plj"]


def test_records_that_do_not_fit_are_not_there_by_half(recording, tmp_path):
    records = list(sent_packets(recording, [(0, n) for n in range(20)]))
    writer = JournalWriter(tmp_path, header_of(recording))
    writer.open()
    writer.write(records[:3])
    n_bytes = writer.n_bytes
    with (
        files_of_at_most(writer.path.stat().st_size + 100),
        pytest.raises(OSError, match="File too large"),
    ):
        writer.write(records[3:])
    assert writer.n_bytes == n_bytes
    journal = Journal(writer.path)
    assert len(list(journal.records())) == 3
    assert journal.damage is None
    writer.write(records[3:])
    writer.finish(End("complete", "", 20, 0))
    found = [record.body() for record in Journal(writer.path).records()]
    assert found == [record.body() for record in records]
