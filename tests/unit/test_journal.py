"""Journals: written and read again, whole, cut anywhere, and with any bit wrong."""

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest

from phantomlink.captures.framing import frame
from phantomlink.captures.journal_reader import RECOVERED, Journal
from phantomlink.captures.journal_writer import JournalWriter, is_being_written
from phantomlink.captures.records import Answer, Control, End, Gap, Header, record_of
from phantomlink.errors import CaptureError
from tests.captures import header_of, sent_packets, write_journal

END = End("complete", "stopped", 12, 0)


@pytest.fixture(scope="module")
def records(recording):
    packets = list(sent_packets(recording, [(0, n) for n in range(12)]))
    control = Control("speed", 5, 5, 0, 123, [3, 2])
    answer = Answer(1, "kf", 4, 0, 4, 1.5, -2.0, None, None, 99)
    return [*packets[:5], control, answer, *packets[5:], Gap(12, 15, 4)]


def bodies(found):
    return [record.body() for record in found]


def test_everything_comes_back(recording, records, tmp_path):
    header = header_of(recording, title="a title", speed=Fraction(3, 2), filter={"trial_id": 4})
    journal = Journal(write_journal(tmp_path, header, records, END))
    assert bodies(journal.records()) == bodies(records)
    assert (journal.end, journal.state, journal.damage) == (END, "complete", None)
    assert journal.header == header
    assert os.listdir(tmp_path) == [journal.path.name]


def test_without_an_end_it_is_recovered(recording, records, tmp_path):
    journal = Journal(write_journal(tmp_path, header_of(recording), records))
    assert bodies(journal.records()) == bodies(records)
    assert (journal.end, journal.state, journal.damage) == (None, RECOVERED, None)


@pytest.mark.parametrize("end", [None, END])
def test_segments_are_one_capture(recording, records, tmp_path, end):
    path = write_journal(tmp_path, header_of(recording), records, end, segment_bytes=2000)
    journal = Journal(path)
    assert bodies(journal.records()) == bodies(records)
    assert journal.state == (RECOVERED if end is None else "complete")
    assert (len(os.listdir(tmp_path)) == 1) is (end is not None)


def crashing(monkeypatch, at):
    """Files of which only so many operations happen; how many were left."""
    left = [at]

    def counted(call):
        def until(*args, **options):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return call(*args, **options)

        return until

    for name in ("write", "pwrite"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    for name in ("fdatasync", "fsync"):  # what was written is there, in a test
        monkeypatch.setattr(os, name, counted(lambda _: None))
    for name in ("rename", "unlink"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    return left


def test_a_crash_at_any_moment_leaves_a_set_that_is_read(recording, records, tmp_path, monkeypatch):
    """Whatever file operation is the last one that happens."""
    whole, header = bodies(records), header_of(recording, trials=[])
    at = n_found = 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        with monkeypatch.context() as patch:
            left = crashing(patch, at)
            with suppress(KeyboardInterrupt):
                write_journal(folder, header, records, END, segment_bytes=900)
        path = folder / f"{header.capture_id}.plj"
        if at == 1:
            continue  # there is nothing but a magic number, if that
        journal = Journal(path)
        found = bodies(journal.records())
        assert found == whole[: len(found)]
        assert len(found) >= n_found, "what was there is still there"
        n_found = len(found)
        assert journal.state == RECOVERED or found == whole
        if left[0] >= 0:
            break
    assert (found, journal.state) == (whole, "complete")
    assert at > 50


def test_a_cut_loses_what_was_cut(recording, records, tmp_path):
    path = write_journal(tmp_path, header_of(recording), records)
    data, last = path.read_bytes(), sum(len(frame(r.body())) for r in records[-3:])
    for cut in range(len(data) - last, len(data)):
        path.write_bytes(data[:cut])
        journal = Journal(path)
        found = bodies(journal.records())
        assert found == bodies(records)[: len(found)]
        assert len(found) >= len(records) - 3
        whole = len(data) - sum(len(frame(r.body())) for r in records[len(found) :])
        assert (journal.damage is None) is (cut == whole)


def test_a_bit_that_is_wrong_anywhere_is_seen(recording, records, tmp_path):
    path = write_journal(tmp_path, header_of(recording), records)
    data, last = bytearray(path.read_bytes()), len(frame(records[-2].body()))
    end = len(data) - len(frame(records[-1].body()))
    for at in range(end - last, end):
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        journal = Journal(path)
        assert bodies(journal.records()) == bodies(records[:-2])
        assert journal.damage is not None
        data[at] ^= 1 << at % 8


@pytest.mark.parametrize("at", [10, -1, 100])
def test_a_damaged_compressed_one_does_not_claim_to_be_whole(recording, records, tmp_path, at):
    path = write_journal(tmp_path, header_of(recording), records, END)
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)
    try:
        journal = Journal(path)
        list(journal.records())
    except CaptureError:
        return
    # The checksum of the compressed data is behind the end, which has one of its own.
    assert journal.damage is not None or journal.end == END


def test_a_longer_record_than_there_can_be_is_damage(recording, tmp_path):
    path = write_journal(tmp_path, header_of(recording), [])
    with path.open("ab") as file:
        file.write(b"\xff\xff\xff\x7f" + bytes(20))
    journal = Journal(path)
    assert list(journal.records()) == []
    assert "2147483647 bytes" in journal.damage


def test_unknown_kinds_and_later_members_are_passed_over(recording, records, tmp_path):
    path = write_journal(tmp_path, header_of(recording), records[:2])
    with path.open("ab") as file:
        file.write(frame(["X", {"new": 1}]) + frame([*records[2].body(), "later"]))
    assert bodies(Journal(path).records()) == bodies(records[:3])


def test_a_known_kind_that_is_not_what_it_should_be_is_damage(recording, tmp_path):
    path = write_journal(tmp_path, header_of(recording), [])
    with path.open("ab") as file:
        file.write(frame(["G", 1]))
    journal = Journal(path)
    assert list(journal.records()) == []
    assert "'G'" in journal.damage


def test_another_version_is_refused(recording):
    body = header_of(recording).body()
    with pytest.raises(ValueError, match="format 2"):
        record_of(["H", 2, body[2]])


def test_what_is_no_journal_is_refused(tmp_path):
    path = tmp_path / "x.plj"
    for data in (b"", b"PLJ1", b"\x89HDF", b"PLJ1" + frame(["G", 1, 2, 2])):
        path.write_bytes(data)
        with pytest.raises(CaptureError, match="not a journal"):
            Journal(path)


def test_who_writes_has_the_lock(recording, tmp_path):
    writer = JournalWriter(tmp_path, header_of(recording))
    writer.open()
    assert is_being_written(writer.path)
    with pytest.raises(FileExistsError):
        JournalWriter(tmp_path, header_of(recording)).open()
    writer.abandon()
    assert not is_being_written(writer.path)


def test_what_becomes_known_later_is_in_the_last_header(recording, records, tmp_path):
    writer = JournalWriter(tmp_path, header_of(recording))
    writer.open()
    writer.write(records[:3])
    writer.learned(header_of(recording, sha256="ab" * 32))
    writer.write(records[3:])
    writer.finish(END)
    journal = Journal(writer.path)
    assert journal.header.sha256 is None
    assert bodies(journal.records()) == bodies(records)
    assert journal.header.sha256 == "ab" * 32


def test_the_headers_of_later_segments_are_headers_too():
    assert Header.kind == "H"
