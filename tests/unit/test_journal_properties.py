"""Journals, whatever is in them: read again, cut at any byte, with any byte changed."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomlink.captures.facts import read_facts
from phantomlink.captures.framing import PLAIN, frame
from phantomlink.captures.journal_reader import RECOVERED, Journal
from phantomlink.captures.records import Answer, Control, End, Gap, Marker, Sent
from phantomlink.captures.recovery import recover
from phantomlink.errors import CaptureError
from phantomlink.recordings.recording import open_recording
from phantomlink.wire.packet import Intention, Packet
from tests.captures import header_of, write_journal

N_UNITS = 3
IDS = st.integers(0, 2**40)
NS = st.integers(0, 2**62)
REALS = st.none() | st.floats(allow_nan=False)
TEXTS = st.text(max_size=12)
COUNTS = st.lists(st.integers(0, 65535), min_size=N_UNITS, max_size=N_UNITS)


def packet_of(counts, *rest):
    packet_id, number, loop, vx, vy, x, y, aim, trial_id, trial_ms, perturbation_id, observed = rest
    values = (packet_id, number, loop, np.array(counts, np.uint16), vx, vy, x, y, Intention(*aim))
    return Packet(*values, trial_id, trial_ms, perturbation_id, observed)


AIMS = st.tuples(st.none() | IDS, REALS, REALS, REALS, st.none() | IDS)
PACKETS = st.builds(
    packet_of,
    COUNTS,
    *(IDS, IDS, IDS, REALS, REALS, REALS, REALS, AIMS),
    *(st.none() | IDS, REALS, st.none() | TEXTS, st.booleans()),
)
RECORDS = st.lists(
    st.one_of(
        st.builds(Sent, PACKETS, NS, st.none() | NS, st.integers(0, 2), NS, st.integers(0, 7)),
        st.builds(Control, TEXTS, IDS, IDS, IDS, NS, st.none() | st.lists(IDS, max_size=2)),
        st.builds(
            Answer,
            *(IDS, TEXTS, IDS, st.none() | IDS, st.none() | IDS, REALS, REALS, REALS, REALS, NS),
            *(TEXTS, REALS, REALS),
        ),
        st.builds(Marker, TEXTS, IDS, IDS, NS),
        st.builds(Gap, IDS, IDS, IDS),
    ),
    max_size=8,
)
ENDS = st.none() | st.builds(End, st.sampled_from(["complete", "torn"]), TEXTS, IDS, IDS)


@pytest.fixture(scope="module")
def header(synthetic_recording):
    with open_recording(synthetic_recording) as recording:
        return header_of(recording, unit_ids=tuple(range(N_UNITS)), trials=[])


def bodies(records):
    return [record.body() for record in records]


@given(records=RECORDS, end=ENDS, segment_bytes=st.sampled_from([600, 10**6]))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_and_recovering_changes_nothing_of_it(
    header, records, end, segment_bytes
):
    with tempfile.TemporaryDirectory() as folder:
        path = write_journal(Path(folder), header, records, end, segment_bytes=segment_bytes)
        for _ in range(2):
            journal = Journal(path)
            assert bodies(journal.records()) == bodies(records)
            assert (journal.end, journal.damage) == (end, None)
            assert journal.state == (RECOVERED if end is None else end.state)
            recover(path)
        assert os.listdir(folder) == [path.name]


@given(records=RECORDS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_cut_at_any_byte_the_records_before_it_are_there(header, records, data):
    with tempfile.TemporaryDirectory() as folder:
        path = write_journal(Path(folder), header, records)
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        sizes = np.cumsum([len(PLAIN), len(frame(header.body())), *map(_size, records)])
        n_whole = int(np.searchsorted(sizes, cut, side="right")) - 2
        if n_whole < 0:
            with pytest.raises(CaptureError, match="not a journal"):
                Journal(path)
            return
        for _ in range(2):
            journal = Journal(path)
            assert bodies(journal.records()) == bodies(records[:n_whole])
            assert journal.state == RECOVERED
            recover(path)
        assert journal.damage is None, "what was damaged is gone once it was recovered"


def _size(record):
    return len(frame(record.body()))


@given(records=RECORDS, end=ENDS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_with_any_byte_changed_no_record_is_another_one(header, records, end, data):
    """Plain or compressed: what is read is a beginning of what was written, or it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_journal(Path(folder), header, records, end)
        whole = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        try:
            journal = Journal(path)
        except CaptureError:
            return
        found = bodies(journal.records())
        assert found == bodies(records)[: len(found)]
        if journal.end is not None:
            assert (found, journal.end) == (bodies(records), end)
        else:
            assert read_facts(path).state == RECOVERED
