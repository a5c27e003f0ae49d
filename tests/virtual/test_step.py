"""Steps on virtual time: exactly so many packets, at the session's pace, then paused again."""

from __future__ import annotations

import pytest
import trio

from phantomlink.engine.faults import Fault
from phantomlink.engine.session import Session
from phantomlink.errors import NotPausedError
from phantomlink.recordings.trials import Filter
from tests.fakes import NamedBins, listen, make_trial
from tests.virtual.test_session import approx_intervals, running
from tests.virtual.test_transport_faults import planned


@pytest.mark.parametrize("n_packets", [1, 2, 5, 6, 7, 100])
async def test_a_step_sends_so_many_packets_and_pauses(autojump_clock, n_packets):
    async with running() as session:
        sink = listen(session)
        await trio.sleep(1)
        session.pause()
        before = len(sink.packets)
        session.step(n_packets)
        assert not session.is_paused
        await trio.sleep(10)
        assert session.is_paused
        assert sink.sequence == list(range(before + n_packets))
        assert approx_intervals(sink.times[before:]) == [1.0] * (n_packets - 1)
        session.step(1)
        await trio.sleep(1)
        assert sink.sequence == list(range(before + n_packets + 1))
        session.resume()
        await trio.sleep(1)
        assert len(sink.packets) > before + n_packets + 30


async def test_only_a_paused_session_steps(autojump_clock):
    async with running() as session:
        listen(session)
        with pytest.raises(NotPausedError, match="pause it"):
            session.step(1)


async def test_without_a_listener_only_the_position_moves(autojump_clock):
    async with running(NamedBins(400)) as session:
        session.pause()
        session.step(30)
        assert session.main.playhead.bin_index == 30
        session.step(380)
        assert session.main.playhead.bin_index == 10
        assert session.is_paused
        await trio.sleep(1)
        assert session.main.timing.packets == 0


async def test_every_playhead_steps(autojump_clock):
    trials = [make_trial(0, 0.0, 1.0, reach_id=0), make_trial(1, 1.0, 2.0, reach_id=1)]
    async with running(NamedBins(trials=trials)) as session:
        everything, some = listen(session), listen(session, Filter(reach_id=1))
        await trio.sleep(1)
        session.pause()
        seen = [len(everything.packets), len(some.packets)]
        session.step(3)
        await trio.sleep(1)
        assert session.is_paused
        assert [len(everything.packets), len(some.packets)] == [n + 3 for n in seen]


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_swapped_packet_at_the_end_of_a_step_is_sent(autojump_clock, at):
    async with running() as session:
        sink = listen(session)
        session.pause()
        first = session.main.playhead.bin_index
        session.apply(planned({first + at: Fault(swapped=True)}), 7)
        before = len(sink.packets)
        session.step(2)
        await trio.sleep(1)
        assert session.is_paused
        assert sorted(sink.ids[before:]) == [first, first + 1]


async def test_a_pause_or_a_seek_in_between_ends_or_moves_it(autojump_clock):
    async with running() as session:
        sink = listen(session)
        session.pause()
        session.step(100)
        await trio.sleep(0.5)
        session.seek(300)
        await trio.sleep(0.5)
        session.pause()
        n = len(sink.packets)
        await trio.sleep(5)
        assert len(sink.packets) == n
        session.resume()
        await trio.sleep(5)
        assert len(sink.packets) > n + 190


async def with_packet(sequence_number, ask, *, steps=True, **kwargs):
    """A session that a task asks for something as soon as it is woken by this packet; its sink."""
    async with running(**kwargs) as session:
        has_left = trio.Event()
        sink = listen(session)
        sink.on_offer = lambda release: (
            has_left.set() if release.packet.sequence_number == sequence_number else None
        )
        if steps:
            session.pause()
            session.step(sequence_number + 1)
        await has_left.wait()
        ask(session)
        await trio.sleep(1)
        return session, sink


# Which task trio lets go on first is left to chance: the playback or the one that asks.
TIMES = range(30)


async def test_a_resume_that_comes_with_the_last_packet_of_a_step_goes_on(autojump_clock):
    for _ in TIMES:
        session, sink = await with_packet(2, Session.resume)
        assert sink.ended == (1001, "test over")
        assert len(sink.packets) >= 3 + 39
        assert not session.is_paused


async def test_a_pause_that_comes_with_the_last_packet_of_a_step_holds(autojump_clock):
    for _ in TIMES:
        session, sink = await with_packet(2, Session.pause)
        assert sink.ended == (1001, "test over")
        assert len(sink.packets) == 3
        assert session.is_paused


async def test_a_seek_that_comes_with_the_last_packet_of_a_step_moves_it(autojump_clock):
    for _ in TIMES:
        session, sink = await with_packet(2, lambda session: session.seek(100))
        assert sink.ids == [0, 1, 2]
        assert session.is_paused
        assert session.main.playhead.bin_index == 100


async def test_a_seek_that_comes_with_the_last_packet_of_a_recording_goes_on(autojump_clock):
    seeks = []

    def seek(session):
        seeks.append(session.n_listening > 0)  # else it came after the end
        session.seek(4)

    for _ in TIMES:
        _, sink = await with_packet(9, seek, steps=False, bins=NamedBins(10), loop=False)
        assert sink.ids == [*range(10), *(range(4, 10) if seeks[-1] else ())]
        assert sink.ended == (1000, "the recording ended")
    assert any(seeks)
