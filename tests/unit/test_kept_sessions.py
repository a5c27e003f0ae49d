"""The state file of several processes: written from records, without asking who plays."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest
import trio

from phantomlink.cluster.kept_sessions import KeptSessions, entry_of
from phantomlink.cluster.messages import StateRead
from phantomlink.cluster.session_record import record_of_state, state_of
from phantomlink.engine.anchors import Anchor
from phantomlink.engine.directory import MemoryDirectory, PlayheadRecord
from phantomlink.perturbation.presets import PRESETS
from phantomlink.state import writer as writer_module
from phantomlink.state.file import SessionState, dump_state, parse_state
from phantomlink.state.form import DatasetFile, RecordingIdentity, dump_entries

IDENTITY = RecordingIdentity("named", 1, 2)
NS = 10**9
PLAIN = SessionState(
    code="a",
    created_at=datetime(2026, 1, 1, 12, 0, 0, 25_000, UTC),
    rate_hz=Fraction(100, 3),
    speed=Fraction(3, 2),
    bin_index=7,
    sequence_number=207,
    loop=1,
    is_paused=True,
    is_stopped=False,
)
FULL = replace(
    PLAIN,
    is_paused=False,
    is_stopped=True,
    perturbation=PRESETS["light"],
    seed=5,
    outputs={"lsl": False},
    dataset="other",
    dataset_file=DatasetFile(10, 20, "ab" * 32),
    test_trials=(1, 4),
    was_stopped=True,
)


def parsed(*entries):
    return parse_state(dump_entries(IDENTITY, entries), IDENTITY)


@pytest.mark.parametrize("state", [PLAIN, FULL, replace(FULL, dataset=None, dataset_file=None)])
def test_a_record_says_all_that_a_state_file_keeps(state):
    record = record_of_state(state, "named")
    assert parsed(entry_of(record, "named", 0, loops=True)) == [state]
    # It is made again with the same, but for its place, which is put back later.
    again = replace(state, bin_index=0, sequence_number=0, loop=0)
    assert state_of(record, "named") == again


def playing():
    """At 50 packets a second; packet 7 is due at 2 s."""
    playhead = PlayheadRecord(None, None, None, Anchor(7, 207, 1, 2 * NS), is_listened_to=True)
    record = record_of_state(PLAIN, "named")
    return replace(record, playheads=(playhead,), revision=1, n_bins=100)


@pytest.mark.parametrize(
    ("seconds", "loops", "expected"),
    [
        (1, True, (7, 207, 1)),
        (2, True, (7, 207, 1)),
        (2.03, True, (9, 209, 1)),
        (4, True, (7, 307, 2)),
        (2.5, False, (32, 232, 1)),
        (4, False, (0, 300, 2)),
    ],
)
def test_what_plays_is_kept_where_it_is_by_now(seconds, loops, expected):
    (state,) = parsed(entry_of(playing(), "named", int(seconds * NS), loops=loops))
    assert (state.bin_index, state.sequence_number, state.loop) == expected


def test_a_record_of_an_earlier_version_is_kept_where_it_was_written():
    record = replace(playing(), n_bins=None)
    (state,) = parsed(entry_of(record, "named", 9 * NS, loops=True))
    assert state.bin_index == 7


class Workers:
    """Those that a test speaks for."""

    def __init__(self, *left, may_write=True, failure=""):
        self.directory = MemoryDirectory()
        self.identity = IDENTITY
        self.sha256 = None
        self.epoch = self.directory.join("0")
        self._left = StateRead(left, may_write, failure, None)
        self.back = []

    async def read_state(self, folder):
        return self._left

    async def bring_back(self, records):
        self.back += records
        for record in records:
            self.write(record)
        return len(records)

    def write(self, record):
        assert self.directory.write("0", self.epoch, record)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(writer_module, "_INTERVAL_SECONDS", 0.01)


def kept_in(folder):
    path = folder / IDENTITY.file_name
    return parse_state(path.read_bytes(), IDENTITY) if path.exists() else None


async def reach(condition):
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - it is written in a thread
            await trio.sleep(0.005)


async def test_the_file_follows_records_and_the_clock(tmp_path, nursery):
    workers, now_ns = Workers(), [2 * NS]
    kept = KeptSessions(tmp_path, workers, loops=True, now_ns=lambda: now_ns[0])
    await kept.bring_back()
    nursery.start_soon(kept.run)
    workers.write(playing())
    await reach(lambda: kept_in(tmp_path))
    now_ns[0] = 3 * NS
    await reach(lambda: kept_in(tmp_path)[0].bin_index == 57)
    workers.sha256 = "cd" * 32
    path = tmp_path / IDENTITY.file_name
    await reach(lambda: json.loads(path.read_text())["sha256"] == "cd" * 32)
    kept.freeze()
    workers.directory.forget("a", "0")
    now_ns[0] = 9 * NS
    await trio.sleep(0.05)
    assert [state.bin_index for state in kept_in(tmp_path)] == [57]


async def test_sessions_of_the_last_run_are_back_before_anything_is_written(tmp_path, nursery):
    path = tmp_path / IDENTITY.file_name
    path.write_bytes(dump_state(IDENTITY, [PLAIN]))
    workers = Workers(record_of_state(PLAIN, "named"))
    kept = KeptSessions(tmp_path, workers, loops=True)
    await kept.bring_back()
    assert [record.code for record in workers.back] == ["a"]
    nursery.start_soon(kept.run)
    workers.write(replace(workers.back[0], code="b"))
    await reach(lambda: len(kept_in(tmp_path)) == 2)
    assert kept_in(tmp_path)[0] == PLAIN


async def test_a_file_that_is_not_ours_is_not_written(tmp_path, nursery, caplog):
    first = KeptSessions(tmp_path, Workers(), loops=True)
    await first.bring_back()
    # The lock is of the open file, so a second one stands for a second server.
    locked_out, refused = Workers(record_of_state(PLAIN, "named")), Workers(may_write=False)
    second = KeptSessions(tmp_path, locked_out, loops=True)
    await second.bring_back()
    assert not locked_out.back
    assert "another server" in caplog.text
    third = KeptSessions(tmp_path / "third", refused, loops=True)
    await third.bring_back()
    for kept, workers in ((second, locked_out), (third, refused)):
        nursery.start_soon(kept.run)
        workers.write(playing())
    await trio.sleep(0.1)
    assert kept_in(tmp_path) is None
    assert kept_in(tmp_path / "third") is None
