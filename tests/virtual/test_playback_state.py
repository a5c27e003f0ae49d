"""What a playback says of itself: whether it plays, what it waits for, its next packet."""

from dataclasses import replace

import pytest
import trio

from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.playback_state import PlaybackState
from phantomlink.engine.selection import Playhead, Selection
from phantomlink.recordings.trials import Filter
from tests.fakes import FakeFile, ListSink, NamedBins, VirtualSupply, make_parts

DRY = "the recording is being read"


class State(PlaybackState):
    """One whose session lets it play unless told otherwise."""

    def __init__(self, bins=None, *, recovery=None):
        self.may = True
        super().__init__(
            make_parts(bins or NamedBins(), recovery=recovery),
            Playhead(Selection([(10, 15), (100, 103)]), 12),
            may_play=lambda: self.may,
            applied=None,
        )

    def until(self, sequence_number):
        self._until = sequence_number
        return self


@pytest.fixture
def state():
    made = State()
    made.fanout.add(ListSink())
    return made


def test_it_plays_while_somebody_listens_and_the_session_lets_it(state):
    assert state.is_playing
    state.may = False
    assert not state.is_playing
    assert not State().is_playing, "nobody listens"


def test_it_plays_until_it_has_sent_what_a_step_let_it(state):
    assert not state.is_stepping
    assert not state.has_stepped
    state.until(2000)
    assert state.is_stepping
    assert not state.has_stepped
    assert state.is_playing
    state.playhead.sequence_number = int("2000")
    assert state.has_stepped
    assert state.is_stepping
    assert not state.is_playing


def test_a_step_of_none_is_a_step():
    assert State().until(0).is_stepping
    assert State().until(0).has_stepped


async def test_it_is_dry_after_a_tenth_of_a_second(autojump_clock, state):
    assert state.waiting_for is None
    await trio.sleep(7)
    with state.running_dry():
        assert state.waiting_for is None
        await trio.sleep(0.0999)
        assert state.waiting_for is None
        assert state.status(NO_FILTER).is_playing
        await trio.sleep(0.0001)
        assert state.waiting_for == DRY
        assert not state.status(NO_FILTER).is_playing
        assert state.status(NO_FILTER).waiting_for == DRY
    assert state.waiting_for is None


async def test_who_does_not_play_waits_for_nothing(autojump_clock, state):
    with state.running_dry():
        await trio.sleep(1)
        state.may = False
        assert state.waiting_for is None
    state.may = True
    with pytest.raises(ZeroDivisionError), state.running_dry():
        raise ZeroDivisionError
    await trio.sleep(1)
    assert state.waiting_for is None


async def test_it_says_why_the_recording_gives_nothing(autojump_clock):
    file = FakeFile()
    file.lost = "it is gone"
    recovery = VirtualSupply(file)
    bins = NamedBins(in_memory=False)
    bins.fails = True
    state = State(bins, recovery=recovery)
    state.fanout.add(ListSink())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recovery.run)
        with state.running_dry():
            await trio.sleep(1)
            assert state.waiting_for == DRY, "it is not lost"
            nursery.start_soon(state.peek)
            await trio.sleep(60)
            assert state.waiting_for == recovery.reason
            assert recovery.reason not in (None, DRY)
        nursery.cancel_scope.cancel()


def test_the_status_says_where_it_is_and_what_it_counts(autojump_clock, state):
    head, timing = state.playhead, state.timing
    head.sequence_number, head.loop = 70, 3
    timing.packets, timing.stalls, timing.overruns = 69, 4, 5
    wanted = Filter(reach_id=7)
    state.fanout.add(ListSink())
    told = state.status(wanted)
    assert told.filter is wanted
    assert (told.current_packet, told.sequence_number, told.loop) == (12, 70, 3)
    assert (told.total_packets, told.connections) == (8, 2)
    assert (told.packets, told.stalls, told.overruns) == (69, 4, 5)
    assert told.is_playing
    assert told.waiting_for is None


@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_peek_is_the_packet_of_the_moment_at_which_it_was_asked_for(in_memory):
    state = State(NamedBins(in_memory=in_memory))
    state.playhead.sequence_number, state.playhead.loop = 70, 3
    make = state.peek_later()
    state.playhead.seek(101)
    with trio.fail_after(20):
        packet = (await make()).packet
        now = (await state.peek()).packet
    assert (packet.packet_id, packet.sequence_number, packet.loop) == (12, 70, 3)
    assert packet.spike_counts[0] == 12
    assert now.packet_id == now.spike_counts[0] == 101
    # No more than that bin is read.
    assert state._parts.reader.bins.reads == [(12, 13), (101, 102)]
    assert state.timing.packets == 0


async def test_a_peek_has_its_frames_ready(state):
    encoded = []

    class Encoders:
        def encode(self, packet, wire_format):
            encoded.append((packet.packet_id, wire_format))

    state._parts = replace(state._parts, encoders=Encoders())
    state.fanout.add(ListSink(wire_format="some"))
    state.fanout.add(ListSink(wire_format="another"))
    await state.peek()
    assert sorted(encoded) == [(12, "another"), (12, "some")]
