"""Sessions as a whole: made, found, evicted, expired, failing alone. On virtual time."""

import re
from contextlib import asynccontextmanager

import pytest
import trio

from phantomlink.engine.registry import Registry
from phantomlink.errors import (
    InvalidParameterError,
    SessionNotFoundError,
    TooManySessionsError,
    UnavailableError,
)
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import PRESETS, parse_perturbation
from tests.fakes import NamedBins, listen, make_parts


@asynccontextmanager
async def running(bins=None, *, max_sessions=3, ttl_seconds=3600.0):
    parts = make_parts(bins or NamedBins())
    registry = Registry(lambda: parts, max_sessions=max_sessions, ttl_seconds=ttl_seconds)
    async with trio.open_nursery() as nursery:
        await nursery.start(registry.run)
        yield registry
        nursery.cancel_scope.cancel()


async def test_a_code_that_exists_is_the_same_session(autojump_clock):
    async with running() as registry:
        one, created = registry.create("My-Code_1")
        assert created
        assert registry.create("My-Code_1") == (one, False)
        assert registry.get("My-Code_1") is one
        with pytest.raises(SessionNotFoundError):
            registry.get("my-code_1")


async def test_made_up_codes_read_like_words(autojump_clock):
    async with running(max_sessions=50) as registry:
        codes = {registry.create()[0].code for _ in range(50)}
    assert len(codes) == 50
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-[1-9][0-9]", code) for code in codes)


@pytest.mark.parametrize("code", ["", "a b", "x" * 65, "é", "a/b", "a\n", 5])
async def test_what_is_not_a_code_is_refused(autojump_clock, code):
    async with running() as registry:
        for call in (registry.create, registry.get, registry.delete):
            with pytest.raises(InvalidParameterError, match="1 to 64"):
                call(code)


async def test_the_least_recently_used_session_without_a_listener_makes_room(autojump_clock):
    async with running() as registry:
        busy, old, new = (registry.create(code)[0] for code in ("busy", "old", "new"))
        sink = listen(busy)
        await trio.sleep(1)
        registry.get("old")
        await trio.sleep(1)
        registry.create("another")
        assert [s.code for s in registry] == ["busy", "old", "another"]
        assert new.is_closed
        assert not old.is_closed
        assert sink.ended is None


async def test_when_all_have_listeners_there_is_no_room(autojump_clock):
    async with running() as registry:
        sessions = [registry.create(code)[0] for code in "abc"]
        sinks = [listen(session) for session in sessions[:2]]
        with sessions[2].reserved(), pytest.raises(TooManySessionsError, match="all 3 sessions"):
            registry.create("d")
        assert registry.create("a") == (sessions[0], False)
        registry.create("d")
        assert sessions[2].is_closed
        assert [sink.ended for sink in sinks] == [None, None]


async def test_delete_ends_it_whoever_listens_and_twice_is_not_found(autojump_clock):
    async with running() as registry:
        session, _ = registry.create("a")
        sink = listen(session)
        await trio.sleep(1)
        registry.delete("a")
        assert sink.ended == (4410, "session deleted")
        with pytest.raises(SessionNotFoundError, match="'a'"):
            registry.delete("a")
        again, created = registry.create("a")
        assert created
        assert again is not session


async def test_a_session_expires_without_listeners_or_calls_only(autojump_clock):
    async with running(ttl_seconds=100) as registry:
        registry.create("idle")
        heard, _ = registry.create("heard")
        sink = listen(heard)
        registry.create("called")
        for _ in range(9):
            await trio.sleep(50)
            registry.get("called")
        assert [s.code for s in registry] == ["heard", "called"]
        heard.unsubscribe(sink)
        await trio.sleep(90)
        assert "heard" in [s.code for s in registry]
        await trio.sleep(200)
        assert len(registry) == 0


async def test_cleanup_ends_the_expired_ones_now(autojump_clock):
    async with running(ttl_seconds=7200) as registry:
        registry.create("a")
        await trio.sleep(7190)
        registry.create("b")
        assert registry.cleanup() == 0
        await trio.sleep(10)
        # The sweeper may have come first: between them exactly one has gone.
        registry.cleanup()
        assert [s.code for s in registry] == ["b"]
        assert registry.cleanup() == 0


async def test_a_session_that_fails_is_logged_once_and_ends_alone(
    autojump_clock, caplog, monkeypatch
):
    async with running() as registry:
        bad, good = registry.create("bad")[0], registry.create("good")[0]
        bad_sink, good_sink = listen(bad), listen(good)
        await trio.sleep(1)
        monkeypatch.setattr(bad.main, "timing", None)
        await trio.sleep(1)
        assert bad_sink.ended == (1011, "internal error")
        assert [s.code for s in registry] == ["good"]
        await trio.sleep(1)
    assert good_sink.ids == list(range(len(good_sink.ids)))
    assert len(good_sink.ids) >= 119
    assert [r.getMessage() for r in caplog.records if r.exc_info] == ["Session bad failed and ends"]


async def test_an_unreadable_recording_ends_the_session_with_try_again(autojump_clock, caplog):
    bins = NamedBins(400)
    async with running(bins) as registry:
        sink = listen(registry.create("a")[0])
        await trio.sleep(1)
        bins.fails = True
        await trio.sleep(20)
        assert len(registry) == 0
    assert sink.ended == (1013, "the recording cannot be read")
    assert "Session a: the disk is gone" in caplog.text
    assert "Traceback" not in caplog.text


async def test_going_away_ends_every_session_and_makes_no_more(autojump_clock):
    async with running() as registry:
        sink = listen(registry.create("a")[0])
        registry.close()
        assert sink.ended == (1001, "the server is going away")
        with pytest.raises(UnavailableError):
            registry.create("b")


async def test_sessions_that_ask_for_nothing_are_as_the_server_was_told(autojump_clock):
    light, intense = PRESETS["light"], PRESETS["intense"]
    parts = make_parts(NamedBins())
    registry = Registry(lambda: parts, max_sessions=9, ttl_seconds=9, perturbation=light, seed=3)
    async with trio.open_nursery() as nursery:
        await nursery.start(registry.run)
        usual, _ = registry.create("a")
        other, _ = registry.create("b", perturbation=intense, seed=4)
        clean, _ = registry.create("c", perturbation=NO_PERTURBATION)
        nursery.cancel_scope.cancel()
    assert (usual.applied.perturbation, usual.applied.seed) == (light, 3)
    assert (other.applied.perturbation, other.applied.seed) == (intense, 4)
    assert (clean.applied, clean.seed) == (None, 3)


async def test_a_perturbation_that_does_not_fit_costs_no_other_its_place(autojump_clock):
    wrong = parse_perturbation({"transforms": [{"kind": "dead_units", "unit_ids": [5]}]})
    async with running(max_sessions=1) as registry:
        session, _ = registry.create("a")
        with pytest.raises(InvalidParameterError):
            registry.create("b", perturbation=wrong)
        assert [s.code for s in registry] == ["a"]
        assert not session.is_closed


async def test_before_it_runs_no_session_can_be_made(autojump_clock):
    registry = Registry(lambda: make_parts(NamedBins()), max_sessions=1, ttl_seconds=1)
    with pytest.raises(UnavailableError):
        registry.create("a")
