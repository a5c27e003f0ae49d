"""The state file while sessions play: real time and real threads, little of both."""

import errno
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
import trio

from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.registry import Registry
from phantomlink.errors import RecordingError
from phantomlink.state import keeper as keeper_module
from phantomlink.state import load as load_module
from phantomlink.state import writer as writer_module
from phantomlink.state.file import SessionState, dump_state, parse_state, write_state
from phantomlink.state.form import RecordingIdentity
from phantomlink.state.keeper import StateKeeper
from phantomlink.state.lock import StateLock
from phantomlink.state.restore import bring_back
from tests.fakes import ListSink, NamedBins, TrioClock, make_parts

IDENTITY = RecordingIdentity("named", 1, 2)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(writer_module, "_INTERVAL_SECONDS", 0.01)


@pytest.fixture
def writes(monkeypatch):
    """What was written, instead of to a disk; an error in the list is raised once."""
    done, write = [], keeper_module.write_state

    def written(path, identity, state, sha256=None):
        if writes.fail is not None:
            raise writes.fail
        write(path, identity, state, sha256)
        done.append(state)

    class Writes:
        fail = None
        states = done

        async def reach(self, n):
            with trio.fail_after(20):
                while len(done) < n:  # noqa: ASYNC110 - they are written in a thread
                    await trio.sleep(0.005)

    writes = Writes()
    for module in (keeper_module, load_module):
        monkeypatch.setattr(module, "write_state", written)
    return writes


@pytest.fixture
async def registry(nursery):
    parts = make_parts(NamedBins(), clock=TrioClock())
    registry = Registry(lambda: parts, max_sessions=10, ttl_seconds=3600)
    await nursery.start(registry.run)
    return registry


def make_keeper(folder, identity, sessions, sha256=None, content=b""):
    """A keeper of a recording whose hash is known, and that has this content."""
    return StateKeeper(
        folder,
        identity,
        sessions,
        lambda: sha256,
        lambda: hashlib.sha256(content).hexdigest(),
    )


def read(folder):
    return parse_state((folder / IDENTITY.file_name).read_bytes(), IDENTITY)


async def test_only_what_changes_is_written(tmp_path, registry, nursery, writes):
    keeper = make_keeper(tmp_path, IDENTITY, registry)
    assert await keeper.load() == []
    nursery.start_soon(keeper.run)
    await trio.sleep(0.1)
    assert writes.states == []
    session, _ = registry.create("a")
    await writes.reach(1)
    await trio.sleep(0.1)
    assert len(writes.states) == 1
    session.seek(77)
    await writes.reach(2)
    session.pause()
    await writes.reach(3)
    (kept,) = read(tmp_path)
    assert (kept.code, kept.bin_index, kept.is_paused) == ("a", 77, True)
    assert kept.created_at == session.created_at
    registry.delete("a")
    await writes.reach(4)
    assert read(tmp_path) == []


async def test_the_last_state_is_that_before_the_sessions_were_ended(tmp_path, registry, writes):
    keeper = make_keeper(tmp_path, IDENTITY, registry)
    await keeper.load()
    session, _ = registry.create("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await writes.reach(1)
        session.seek(300)
        keeper.freeze()
        registry.close()
        keeper.freeze()
    assert [kept.bin_index for kept in read(tmp_path)] == [300]


async def test_cancelled_without_a_word_the_file_stays_as_it_was(tmp_path, registry, writes):
    keeper = make_keeper(tmp_path, IDENTITY, registry)
    await keeper.load()
    registry.create("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await writes.reach(1)
        registry.close()
        nursery.cancel_scope.cancel()
    assert [kept.code for kept in read(tmp_path)] == ["a"]


async def test_a_full_disk_is_one_warning_and_ends_no_tick(
    tmp_path, registry, nursery, writes, caplog
):
    caplog.set_level("INFO", "phantomlink.state")
    keeper = make_keeper(tmp_path, IDENTITY, registry)
    await keeper.load()
    session, _ = registry.create("a")
    sink = ListSink()
    session.subscribe(NO_FILTER, session.main, sink)
    writes.fail = OSError(errno.ENOSPC, "No space left on device")
    nursery.start_soon(keeper.run)
    while len(sink.packets) <= 3 or not caplog.records:  # noqa: ASYNC110 - the log has no event
        await trio.sleep(0.01)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text
    writes.fail = None
    await writes.reach(1)
    while len(caplog.records) == 1:  # noqa: ASYNC110
        await trio.sleep(0.01)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert not [gap for gap in zip(sink.ids, sink.ids[1:], strict=False) if gap[1] != gap[0] + 1]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\x00" * 400, dump_state(IDENTITY, [])[:-9], b'{"format": 1}']
)
async def test_a_file_of_the_wrong_form_is_kept_and_said_once(
    tmp_path, registry, nursery, writes, caplog, content
):
    path = tmp_path / IDENTITY.file_name
    path.write_bytes(content)
    keeper = make_keeper(tmp_path, IDENTITY, registry)
    assert await keeper.load() == []
    assert len(caplog.records) == 1
    (kept,) = tmp_path.glob("*.kept-*")
    assert kept.name.startswith(f"{path.name}.kept-")
    assert kept.name in caplog.text
    registry.create("a")
    nursery.start_soon(keeper.run)
    await writes.reach(1)
    assert kept.read_bytes() == content
    assert [state.code for state in read(tmp_path)] == ["a"]


async def test_what_can_be_neither_read_nor_moved_is_left_alone(
    tmp_path, registry, nursery, writes, caplog
):
    folder = tmp_path / "file"
    folder.write_text("somebody's")
    keeper = make_keeper(folder, IDENTITY, registry)
    assert await keeper.load() == []
    nursery.start_soon(keeper.run)
    registry.create("a")
    await trio.sleep(0.1)
    assert len(caplog.records) == 1
    assert writes.states == []
    assert folder.read_text() == "somebody's"


def state(code, bin_index=0, *, days=0, **others):
    values = {
        "created_at": FIRST + timedelta(days=days),
        "rate_hz": Fraction(40),
        "speed": Fraction(1),
        "sequence_number": 900,
        "loop": 2,
        "is_paused": False,
        "is_stopped": False,
    }
    return SessionState(code=code, bin_index=bin_index, **(values | others))


async def test_sessions_come_back_as_they_were(registry):
    async def remake(state):
        return registry.create(state.code, speed=state.speed)[0]

    kept = [state("a", 77, speed=Fraction(2)), state("p", 5, is_paused=True),
            state("s", 9, is_stopped=True)]  # fmt: skip
    await bring_back(kept, remake, at_most=10)
    a, p, s = map(registry.get, "aps")
    assert (a.main.playhead.bin_index, a.speed, a.created_at) == (77, 2, FIRST)
    assert (a.main.playhead.sequence_number, a.main.playhead.loop) == (900, 2)
    assert (p.is_paused, p.is_stopped, s.is_paused, s.is_stopped) == (True, False, False, True)
    received = trio.Event()
    sink = ListSink(on_offer=lambda _: received.set())
    a.subscribe(NO_FILTER, a.main, sink)
    with trio.fail_after(20):
        await received.wait()
    assert (sink.ids[0], sink.sequence[0], sink.packets[0].loop) == (77, 900, 2)


async def test_one_that_cannot_come_back_is_said_and_the_others_do(registry, caplog):
    async def remake(state):
        if state.code == "broken":
            raise RecordingError("it cannot be read")
        return registry.create(state.code)[0]

    kept = [state("broken"), state("far", 10**6), state("fine", 3)]
    await bring_back(kept, remake, at_most=10)
    assert registry.find("broken") is None
    assert registry.get("far").main.playhead.bin_index == 0
    assert registry.get("fine").main.playhead.bin_index == 3
    said = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(said) == 2
    assert "broken" in said[0]
    assert "far" in said[1]


async def test_when_there_is_room_for_fewer_the_newest_come_back(registry, caplog):
    async def remake(state):
        return registry.create(state.code)[0]

    await bring_back([state(f"s{k}", days=k % 5) for k in range(5)], remake, at_most=2)
    assert {session.code for session in registry} == {"s3", "s4"}
    assert "3 sessions" in caplog.text


def test_the_file_is_for_people_too():
    assert json.loads(dump_state(IDENTITY, [state("a")]))["sessions"][0]["speed"] == "1"


async def test_only_one_server_keeps_its_sessions_in_a_file(tmp_path, registry, writes, caplog):
    """The lock is of the open file, so a second keeper stands for a second process."""
    first = make_keeper(tmp_path, IDENTITY, registry)
    await first.load()
    registry.create("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await writes.reach(1)
        second = make_keeper(tmp_path, IDENTITY, registry)
        assert await second.load() == []
        assert "another server" in caplog.text
        async with trio.open_nursery() as other:
            other.start_soon(second.run)
            registry.delete("a")
            second.freeze()
        await writes.reach(2)
        first.freeze()
    caplog.clear()
    third = make_keeper(tmp_path, IDENTITY, registry)
    assert await third.load() == []
    assert not caplog.records


SHA256 = hashlib.sha256(b"content").hexdigest()
OLDER = RecordingIdentity("named", 1, 1)


def keep(folder, identity, sha256, *codes):
    write_state(folder / identity.file_name, identity, [state(code) for code in codes], sha256)


async def test_sessions_of_the_same_content_come_back(tmp_path, registry, caplog):
    caplog.set_level("INFO")
    keep(tmp_path, OLDER, SHA256, "a", "b")
    # Of a copy under another name, too.
    kept = await make_keeper(tmp_path, IDENTITY, registry, content=b"content").load()
    assert [session.code for session in kept] == ["a", "b"]
    assert f"The sessions of {OLDER.file_name} come back: the recording has the same" in caplog.text
    assert not (tmp_path / OLDER.file_name).exists()
    # A second start finds them under their own name, and the hash is still there.
    assert json.loads((tmp_path / IDENTITY.file_name).read_text())["sha256"] == SHA256
    assert read(tmp_path) == kept


async def test_sessions_of_the_same_content_come_back_although_the_disk_is_full(
    tmp_path, registry, nursery, writes, caplog
):
    """The file that kept them stays until ours can be written."""
    keep(tmp_path, OLDER, SHA256, "a")
    writes.fail = OSError(errno.ENOSPC, "No space left on device")
    keeper = make_keeper(tmp_path, IDENTITY, registry, SHA256, b"content")
    assert [kept.code for kept in await keeper.load()] == ["a"]
    assert caplog.text.count("Sessions are not kept over a restart now") == 1
    assert "is not used" not in caplog.text
    assert [path.name for path in tmp_path.glob("*.json")] == [OLDER.file_name]
    writes.fail = None
    registry.create("a")
    nursery.start_soon(keeper.run)
    await writes.reach(1)
    assert [kept.code for kept in read(tmp_path)] == ["a"]


@pytest.mark.parametrize(
    ("identity", "sha256"),
    [
        (OLDER, hashlib.sha256(b"other").hexdigest()),  # changed in the meantime
        (OLDER, None),  # the server ended before it knew
        (RecordingIdentity("other", 2, 1), SHA256),  # of another size
    ],
)
async def test_those_of_another_recording_are_said_by_name(
    tmp_path, registry, caplog, identity, sha256
):
    keep(tmp_path, identity, sha256, "a", "b")
    assert await make_keeper(tmp_path, IDENTITY, registry, content=b"content").load() == []
    assert (tmp_path / identity.file_name).exists()
    said = (
        f"{identity.file_name} keeps sessions (2) of another recording ({identity.dataset}, "
        f"{identity.size_bytes} bytes, changed 1970-01-01T00:00:00Z)"
    )
    assert said in caplog.text


async def test_what_is_no_state_file_is_passed_over(tmp_path, registry, caplog):
    (tmp_path / "sessions-x.json").write_text("[]")
    (tmp_path / "sessions-folder.json").mkdir()
    os.mkfifo(tmp_path / "sessions-fifo.json")
    keep(tmp_path, OLDER, SHA256)  # without a session
    assert await make_keeper(tmp_path, IDENTITY, registry, content=b"content").load() == []
    assert caplog.text == ""


async def test_a_file_that_another_server_writes_is_not_taken_over(tmp_path, registry, caplog):
    keep(tmp_path, OLDER, SHA256, "a")
    lock = StateLock(tmp_path / OLDER.file_name)
    lock.acquire()
    assert await make_keeper(tmp_path, IDENTITY, registry, content=b"content").load() == []
    lock.release()
    assert "keeps sessions (1) of another recording" in caplog.text


async def test_the_hash_is_written_once_it_is_known(tmp_path, registry, nursery, writes):
    known = []
    keeper = StateKeeper(
        tmp_path, IDENTITY, registry, lambda: known[0] if known else None, lambda: ""
    )
    await keeper.load()
    nursery.start_soon(keeper.run)
    registry.create("a")
    await writes.reach(1)
    known.append(SHA256)
    await writes.reach(2)
    assert json.loads((tmp_path / IDENTITY.file_name).read_text())["sha256"] == SHA256
