"""The state file while sessions play: real time and real threads, little of both."""

import errno
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
import trio

from phantomlink.engine.registry import Registry
from phantomlink.engine.session import NO_FILTER
from phantomlink.errors import RecordingError
from phantomlink.state import keeper as keeper_module
from phantomlink.state.file import RecordingIdentity, SessionState, dump_state, parse_state
from phantomlink.state.keeper import StateKeeper
from phantomlink.state.restore import bring_back
from tests.fakes import ListSink, NamedBins, TrioClock, make_parts

IDENTITY = RecordingIdentity("named", 1, 2)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(keeper_module, "_INTERVAL_SECONDS", 0.01)


@pytest.fixture
def writes(monkeypatch):
    """What was written, instead of to a disk; an error in the list is raised once."""
    done, write = [], keeper_module.write_state

    def written(path, identity, state):
        if writes.fail is not None:
            raise writes.fail
        write(path, identity, state)
        done.append(state)

    class Writes:
        fail = None
        states = done

        async def reach(self, n):
            with trio.fail_after(20):
                while len(done) < n:  # noqa: ASYNC110 - they are written in a thread
                    await trio.sleep(0.005)

    writes = Writes()
    monkeypatch.setattr(keeper_module, "write_state", written)
    return writes


@pytest.fixture
async def registry(nursery):
    parts = make_parts(NamedBins(), clock=TrioClock())
    registry = Registry(lambda: parts, max_sessions=10, ttl_seconds=3600)
    await nursery.start(registry.run)
    return registry


def read(folder):
    return parse_state((folder / IDENTITY.file_name).read_bytes(), IDENTITY)


async def test_only_what_changes_is_written(tmp_path, registry, nursery, writes):
    keeper = StateKeeper(tmp_path, IDENTITY, registry)
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
    keeper = StateKeeper(tmp_path, IDENTITY, registry)
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
    keeper = StateKeeper(tmp_path, IDENTITY, registry)
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
    keeper = StateKeeper(tmp_path, IDENTITY, registry)
    await keeper.load()
    session, _ = registry.create("a")
    sink = ListSink()
    session.subscribe(NO_FILTER, session.main, sink)
    writes.fail = OSError(errno.ENOSPC, "No space left on device")
    nursery.start_soon(keeper.run)
    await trio.sleep(0.3)
    n = len(sink.packets)
    assert n > 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text
    writes.fail = None
    await writes.reach(1)
    await trio.sleep(0.05)
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
    keeper = StateKeeper(tmp_path, IDENTITY, registry)
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
    keeper = StateKeeper(folder, IDENTITY, registry)
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
    first = StateKeeper(tmp_path, IDENTITY, registry)
    await first.load()
    registry.create("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await writes.reach(1)
        second = StateKeeper(tmp_path, IDENTITY, registry)
        assert await second.load() == []
        assert "another server" in caplog.text
        async with trio.open_nursery() as other:
            other.start_soon(second.run)
            registry.delete("a")
            second.freeze()
        await writes.reach(2)
        first.freeze()
    caplog.clear()
    third = StateKeeper(tmp_path, IDENTITY, registry)
    assert await third.load() == []
    assert not caplog.records
