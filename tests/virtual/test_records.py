"""Sessions with a record: others compute where they are, so a stall must not move their grid."""

from dataclasses import replace
from fractions import Fraction

import pytest
import trio

from phantomlink.engine.events import NO_FILTER, SessionEventKind
from phantomlink.engine.session import Session
from tests.fakes import NamedBins, StallingClock, listen, make_parts, playing

RATE = Fraction(40)


def running(bins=None, **kwargs):
    return playing(Session("test", make_parts(bins or NamedBins(), has_records=True, **kwargs)))


async def test_a_stall_skips_what_was_due_and_keeps_the_grid(autojump_clock):
    async with running(clock=StallingClock(10, 3.0)) as session:
        sink = listen(session)
        await trio.sleep(5)
        assert session.main.timing.stalls == 1
        assert session.main.timing.anchors == 1
    first = sink.deadlines[0]
    # Each packet at its place on the grid, whatever was missed.
    assert sink.deadlines == [first + k * 25_000_000 for k in sink.sequence]
    assert sink.ids == sink.sequence
    jumps = [b - a for a, b in zip(sink.sequence, sink.sequence[1:], strict=False) if b - a != 1]
    assert jumps == [121]


@pytest.mark.parametrize("n_bins", [17, 400])
@pytest.mark.parametrize("stall_seconds", [0.11, 0.2, 0.35, 0.6, 1.1])
async def test_a_short_stall_skips_what_was_built_and_no_more(
    autojump_clock, n_bins, stall_seconds
):
    async with running(NamedBins(n_bins), clock=StallingClock(10, stall_seconds)) as session:
        sink = listen(session)
        await trio.sleep(5)
        assert (session.main.timing.stalls, session.main.timing.anchors) == (1, 1)
    first = sink.deadlines[0]
    assert sink.deadlines == [first + k * 25_000_000 for k in sink.sequence]
    assert sink.ids == [k % n_bins for k in sink.sequence]
    assert [packet.loop for packet in sink.packets] == [k // n_bins for k in sink.sequence]
    assert [packet.spike_counts[0] for packet in sink.packets if packet.packet_id] == [
        packet.packet_id for packet in sink.packets if packet.packet_id
    ]
    assert sink.sequence[-1] in (199, 200)


async def test_without_a_loop_a_stall_does_not_skip_the_end(autojump_clock):
    async with running(NamedBins(50), clock=StallingClock(10, 3.0), loop=False) as session:
        sink = listen(session)
        await trio.sleep(8)
    assert sink.ids == list(range(50))


@pytest.mark.parametrize("n_bins", range(128, 134))
async def test_without_a_loop_the_last_bin_is_played_wherever_a_stall_ends(autojump_clock, n_bins):
    """Among these is the length of which the stall takes all that is left."""
    async with running(NamedBins(n_bins), clock=StallingClock(10, 3.0), loop=False) as session:
        sink = listen(session)
        await trio.sleep(8)
    assert sink.ids[-1] == n_bins - 1
    assert (sink.ids == list(range(n_bins))) == (n_bins <= 129)


async def test_the_anchor_says_what_is_sent_when(autojump_clock):
    async with running() as session:
        told = []
        sink = listen(session)
        with session.followed_by(told.append):
            await trio.sleep(1)
            session.pause()
            await trio.sleep(1)
            assert session.main.anchor().due_ns is None
            session.resume()
            await trio.sleep(1)
            anchor = session.main.anchor()
            await trio.sleep(1)
    kinds = [event.kind for event in told]
    assert kinds.count(SessionEventKind.ANCHORED) == 2
    at = sink.sequence.index(anchor.sequence_number)
    assert sink.deadlines[at] == anchor.due_ns
    later = anchor.at(anchor.due_ns + 500_000_001, RATE, session.grid.n_bins, loop=True)
    at = sink.sequence.index(later.sequence_number)
    assert sink.deadlines[at] == later.due_ns
    assert sink.ids[at] == later.position


async def test_another_process_goes_on_at_the_same_deadlines(autojump_clock):
    async with running() as first, running() as second:
        sink = listen(first)
        await trio.sleep(1)
        anchor = first.main.anchor()
        first.close(1001, "its process died")
        await trio.sleep(0.75)
        heir = listen(second)
        now_ns = round(trio.current_time() * 1e9)
        second.playback(NO_FILTER).go_on_from(
            anchor.at(now_ns, RATE, second.grid.n_bins, loop=True)
        )
        await trio.sleep(1)
    start = sink.deadlines[0] - 25_000_000 * sink.sequence[0]
    for each in (sink, heir):
        assert each.deadlines == [start + 25_000_000 * k for k in each.sequence]
    assert 29 <= heir.sequence[0] - sink.sequence[-1] <= 31
    assert heir.sequence == list(range(heir.sequence[0], heir.sequence[-1] + 1))


async def test_where_nobody_listens_another_process_keeps_the_place_alone(autojump_clock):
    async with running() as first, running() as second:
        listen(first)
        await trio.sleep(1)
        anchor = first.main.anchor()
        assert anchor.due_ns is not None
        second.main.go_on_from(anchor)
        assert second.main.anchor() == replace(anchor, due_ns=None)
        await trio.sleep(7)
        came_at = trio.current_time()
        sink = listen(second)
        await trio.sleep(1)
        assert (second.main.timing.stalls, second.main.timing.anchors) == (0, 1)
    assert sink.ids[0] == sink.sequence[0] == anchor.sequence_number
    assert sink.times[0] - came_at <= 0.025


async def test_a_place_without_a_deadline_has_a_new_one(autojump_clock):
    async with running() as session:
        sink = listen(session)
        await trio.sleep(1)
        n = len(sink.packets)
        anchor = replace(session.main.anchor(), due_ns=None, position=100, loop=3)
        session.main.go_on_from(anchor)
        assert session.parts.phases.ticks_hz == 40
        await trio.sleep(1)
        assert session.main.timing.stalls == 0
    assert sink.ids[n : n + 3] == [100, 101, 102]
    assert {packet.loop for packet in sink.packets[n:]} == {3}


async def test_who_goes_on_keeps_its_place_among_the_others(autojump_clock):
    async with running() as first, running() as second:
        listen(first)
        listen(second)
        await trio.sleep(1)
        anchor = first.main.anchor()
        first.close(1001, "its process died")
        await trio.sleep(0.1)
        assert second.parts.phases.ticks_hz == 40
        second.main.go_on_from(anchor.at(round(trio.current_time() * 1e9), RATE, 400, loop=True))
        assert second.parts.phases.ticks_hz == 40
        assert second.main.timing.anchors == 2


async def test_a_stall_in_a_step_skips_nothing(autojump_clock):
    async with running(clock=StallingClock(10, 3.0)) as session:
        sink = listen(session)
        session.pause()
        session.step(30)
        await trio.sleep(8)
        assert session.is_paused
        assert session.main.timing.stalls == 1
    assert sink.ids == sink.sequence == list(range(30))
