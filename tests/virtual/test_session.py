"""Sessions on virtual time: what is sent, and when, exactly."""

from fractions import Fraction
from itertools import pairwise

import pytest
import trio

from phantomlink.engine.session import Session
from phantomlink.engine.timing import EventKind
from phantomlink.errors import BinRangeError, NoMatchingBinsError, RecordingError
from phantomlink.recordings.trials import Filter
from tests.fakes import (
    ListSink,
    NamedBins,
    StallingClock,
    listen,
    make_parts,
    make_trial,
    playing,
)

PERIOD = 0.025


def running(bins=None, **kwargs):
    return playing(Session("test", make_parts(bins or NamedBins(), **kwargs)))


@pytest.fixture
def start(autojump_clock):
    return trio.current_time()


def approx_intervals(times):
    return [round((b - a) / PERIOD, 6) for a, b in pairwise(times)]


async def test_ten_minutes_of_ticks_are_exact(autojump_clock):
    async with running(NamedBins(1000)) as session:
        sink = listen(session)
        await trio.sleep(600)
    assert len(sink.packets) in (24000, 24001)
    first = sink.deadlines[0]
    assert sink.deadlines == [first + k * 25_000_000 for k in range(len(sink.packets))]
    assert sink.sequence == list(range(len(sink.packets)))
    assert sink.ids == [k % 1000 for k in range(len(sink.packets))]
    assert [p.loop for p in sink.packets] == [k // 1000 for k in range(len(sink.packets))]
    assert all(p.spike_counts[0] == p.packet_id for p in sink.packets)
    assert all(p.x == p.packet_id for p in sink.packets)


async def test_nothing_plays_without_a_listener(autojump_clock):
    async with running() as session:
        await trio.sleep(5)
        assert session.main.timing.packets == 0
        sink = listen(session)
        await trio.sleep(1)
        session.unsubscribe(sink)
        n = len(sink.packets)
        assert 40 <= n <= 41
        await trio.sleep(100)
        assert len(sink.packets) == n
        later = listen(session)
        await trio.sleep(1)
        assert later.ids[0] == n
        assert later.sequence[0] == n
        assert approx_intervals(later.times) == [1.0] * (len(later.times) - 1)


async def test_two_listeners_get_the_same_packets_at_the_same_time(autojump_clock):
    async with running() as session:
        one = listen(session)
        await trio.sleep(1)
        two = listen(session)
        await trio.sleep(1)
    assert two.ids == one.ids[-len(two.ids) :]
    assert two.times == one.times[-len(two.times) :]
    assert two.sequence[0] == one.sequence[-len(two.ids)]


async def test_pause_holds_at_once_and_resume_sends_no_burst_and_loses_no_bin(autojump_clock):
    async with running() as session:
        sink = listen(session)
        await trio.sleep(1.0)
        session.pause()
        n = len(sink.packets)
        await trio.sleep(3)
        session.pause()
        assert len(sink.packets) == n
        resumed_at = trio.current_time()
        session.resume()
        await trio.sleep(1.0)
    assert sink.ids == list(range(len(sink.ids)))
    assert sink.sequence == list(range(len(sink.ids)))
    after = sink.times[n:]
    assert resumed_at <= after[0] <= resumed_at + PERIOD + 1e-9
    assert approx_intervals(after) == [1.0] * (len(after) - 1)


async def test_pause_from_within_a_tick_is_the_last_packet(autojump_clock):
    async with running() as session:
        sink = listen(session, on_offer=lambda r: r.packet.packet_id == 7 and session.pause())
        await trio.sleep(2)
        assert sink.ids == list(range(8))
        assert session.parts.phases.ticks_hz == 0, "a held playhead keeps no phase"
        session.resume()
        await trio.sleep(0.1)
        assert sink.ids[:10] == list(range(10))


async def test_seek_while_playing_keeps_the_ticks(autojump_clock):
    async with running() as session:
        sink = listen(session)
        await trio.sleep(0.51)
        n = len(sink.packets)
        assert session.seek(300) == 300
        await trio.sleep(0.5)
    assert sink.ids[:n] == list(range(n))
    assert sink.ids[n:] == list(range(300, 300 + len(sink.ids) - n))
    assert sink.sequence == list(range(len(sink.ids)))
    assert approx_intervals(sink.times) == [1.0] * (len(sink.times) - 1)


async def test_seek_holds_for_a_session_that_is_paused_or_has_no_listener(autojump_clock):
    async with running() as session:
        assert session.seek(100) == 100
        session.pause()
        sink = listen(session)
        await trio.sleep(1)
        assert sink.packets == []
        assert session.seek_seconds(5.0) == 200
        session.resume()
        await trio.sleep(0.1)
    assert sink.ids[:3] == [200, 201, 202]
    assert sink.sequence[0] == 0


@pytest.mark.parametrize("bad", [-1, 400, 10**12])
async def test_seek_outside_is_refused_and_changes_nothing(autojump_clock, bad):
    async with running() as session:
        session.seek(17)
        with pytest.raises(BinRangeError, match="takes 0 to 399"):
            session.seek(bad)
        assert session.main.playhead.bin_index == 17


@pytest.mark.parametrize("bad", [-0.001, 10.0, float("nan"), float("inf")])
async def test_seek_to_a_time_outside_is_refused(autojump_clock, bad):
    async with running() as session:
        with pytest.raises(BinRangeError, match=r"takes 0 up to 10\.0"):
            session.seek_seconds(bad)
        assert session.seek_seconds(9.99) == 399


async def test_stop_closes_rewinds_and_the_next_listener_starts_it_again(autojump_clock):
    async with running() as session:
        one, two = listen(session), listen(session)
        await trio.sleep(1)
        session.pause()
        session.stop()
        n = len(one.packets)
        assert one.ended == two.ended == (1000, "session stopped")
        assert not session.status().is_running
        assert not session.is_paused
        await trio.sleep(5)
        assert len(one.packets) == n
        again = listen(session)
        await trio.sleep(0.1)
    assert again.ids[:2] == [0, 1]
    assert again.sequence[0] == n, "the sequence goes on over a stop"


async def test_resume_after_stop_lets_a_sink_that_stayed_go_on(autojump_clock):
    async with running() as session:
        session.stop()
        session.resume()
        assert not session.is_stopped
        sink = listen(session)
        session.is_stopped = True
        session._update()
        await trio.sleep(1)
        assert sink.packets == []
        session.resume()
        await trio.sleep(0.1)
        assert sink.ids[:2] == [0, 1]


def trials():
    return [
        make_trial(0, 0.0, 1.0, target_id=0, x=10.0, y=0.0, reach_id=0),
        make_trial(1, 2.0, 3.0, target_id=1, x=0.0, y=10.0, reach_id=1),
        make_trial(2, 5.0, 6.0, target_id=0, x=-10.0, y=0.0, reach_id=2),
    ]


async def test_a_filter_plays_only_its_bins_back_to_back(autojump_clock):
    async with running(NamedBins(trials=trials())) as session:
        sink = listen(session, Filter(target_id=0))
        await trio.sleep(3.0)
    expected = [*range(40), *range(200, 240)]
    assert sink.ids == (expected * 2)[: len(sink.ids)]
    assert len(sink.ids) > 100
    assert approx_intervals(sink.times) == [1.0] * (len(sink.times) - 1)
    assert {p.trial_id for p in sink.packets} == {0, 2}
    assert [p.loop for p in sink.packets] == [k // 80 for k in range(len(sink.packets))]


async def test_a_filtered_playhead_starts_from_the_unfiltered_position(autojump_clock):
    async with running(NamedBins(trials=trials())) as session:
        session.seek(90)
        assert session.playback(Filter(target_id=0)).playhead.bin_index == 200
        assert session.playback(Filter(trial_id=1)).playhead.bin_index == 90
        session.seek(300)
        assert session.playback(Filter(target_id=0)).playhead.bin_index == 0


async def test_playheads_advance_on_their_own_and_go_with_their_last_listener(autojump_clock):
    async with running(NamedBins(trials=trials())) as session:
        one = listen(session, Filter(trial_id=1))
        two = listen(session, Filter(trial_id=1))
        await trio.sleep(0.5)
        assert session.main.playhead.bin_index == 0, "nobody listens to the unfiltered one"
        session.unsubscribe(one)
        assert len(session.status().playbacks) == 2
        session.unsubscribe(two)
        assert len(session.status().playbacks) == 1
        again = listen(session, Filter(trial_id=1))
        await trio.sleep(0.1)
    assert one.ids == two.ids
    assert again.ids[0] == 80
    assert again.sequence[0] == 0


async def test_seek_moves_filtered_playheads_to_their_next_match(autojump_clock):
    async with running(NamedBins(trials=trials())) as session:
        sink = listen(session, Filter(target_id=0))
        await trio.sleep(0.26)
        n = len(sink.ids)
        session.seek(50)
        await trio.sleep(0.1)
        assert sink.ids[n] == 200
        n = len(sink.ids)
        session.seek(399)
        await trio.sleep(0.1)
        assert sink.ids[n] == 0


async def test_a_filter_that_matches_nothing_is_refused(autojump_clock):
    async with running(NamedBins(trials=trials())) as session:
        with pytest.raises(NoMatchingBinsError):
            session.playback(Filter(trial_id=77))


async def test_without_loop_the_end_closes_with_1000_and_the_next_one_starts_over(autojump_clock):
    async with running(NamedBins(40, trials=[make_trial(0, 0.0, 0.5)]), loop=False) as session:
        sink, part = listen(session), listen(session, Filter(trial_id=0))
        await trio.sleep(5)
        assert sink.ids == list(range(40))
        assert part.ids == list(range(20))
        assert sink.ended == part.ended == (1000, "the recording ended")
        again = listen(session)
        await trio.sleep(5)
    assert again.ids == list(range(40))
    assert again.sequence[0] == 40


async def test_a_large_recording_is_read_ahead_in_the_worker_thread(autojump_clock):
    bins = NamedBins(400, in_memory=False)
    session = Session("test", make_parts(bins))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        enough = trio.Event()
        sink = listen(session, on_offer=lambda r: r.packet.sequence_number == 900 and enough.set())
        await enough.wait()
        session.close(1001, "over")
    assert sink.ids == [k % 400 for k in range(len(sink.ids))]
    assert bins.reads[:11] == [(k, k + 40) for k in range(0, 400, 40)] + [(0, 40)]


async def test_an_unreadable_recording_is_an_error_and_never_zeros(autojump_clock):
    bins = NamedBins(400)
    session = Session("test", make_parts(bins))
    sink = None
    with pytest.RaisesGroup(RecordingError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            sink = listen(session)
            await trio.sleep(1)
            bins.fails = True
            await trio.sleep(100)
    assert sink.ids == list(range(len(sink.ids)))


async def test_ordinary_lateness_is_caught_up_and_moves_no_deadline(autojump_clock):
    async with running(clock=StallingClock(10, 0.09)) as session:
        sink = listen(session)
        await trio.sleep(2)
        assert session.main.timing.stalls == 0
    first = sink.deadlines[0]
    assert sink.deadlines == [first + k * 25_000_000 for k in range(len(sink.ids))]
    assert sink.ids == list(range(len(sink.ids)))


async def test_a_long_stall_moves_the_anchor_is_counted_and_sends_no_burst(autojump_clock):
    async with running(clock=StallingClock(10, 3.0)) as session:
        sink = listen(session)
        await trio.sleep(5)
        assert session.main.timing.stalls == 1
    assert sink.ids == list(range(len(sink.ids)))
    intervals = approx_intervals(sink.times)
    assert intervals[:8] == [1.0] * 8
    assert intervals[8] > 100
    assert intervals[9:] == [1.0] * len(intervals[9:])


async def test_a_sink_that_raises_ends_alone(autojump_clock, caplog):
    def boom(release):
        if release.packet.packet_id == 5:
            raise ZeroDivisionError("a bug")

    async with running() as session:
        bad, good = listen(session, on_offer=boom), listen(session)
        await trio.sleep(1)
    assert bad.ended == (1011, "internal error")
    assert good.ids[:20] == list(range(20))
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ZeroDivisionError]


async def test_closing_ends_every_sink_and_later_ones_at_once(autojump_clock):
    async with running(NamedBins(trials=trials())) as session:
        one, two = listen(session), listen(session, Filter(trial_id=1))
        await trio.sleep(0.2)
        session.close(4410, "session deleted")
        session.close(1001, "the first reason counts")
        late = listen(session)
        assert one.ended == two.ended == late.ended == (4410, "session deleted")
    assert session.sinks() == ()


async def test_status_says_what_is(autojump_clock):
    async with running(NamedBins(trials=trials())) as session:
        assert not session.status().is_running
        listen(session)
        listen(session, Filter(trial_id=1))
        await trio.sleep(0.51)
        status = session.status()
        main, other = status.playbacks
        assert (status.active_connections, status.is_running, status.is_paused) == (2, True, False)
        assert main.current_packet == main.sequence_number == main.packets
        assert main.is_playing
        assert other.filter == Filter(trial_id=1)
        assert other.current_packet == 80 + other.packets
        assert other.total_packets == 40
        session.pause()
        status = session.status()
        assert status.is_running
        assert status.is_paused
        assert not status.playbacks[0].is_playing


async def test_peek_is_the_next_packet_and_sends_nothing(autojump_clock):
    async with running() as session:
        session.seek(123)
        release = await session.main.peek()
        assert release.packet.packet_id == 123
        assert release.packet.sequence_number == 0
        assert session.main.playhead.bin_index == 123


async def test_speed_changes_from_the_next_packet_on_and_loses_none(autojump_clock):
    async with running() as session:
        sink, quiet = listen(session), ListSink()
        await trio.sleep(1.01)
        n = len(sink.packets)
        session.set_speed(Fraction(10))
        await trio.sleep(0.5)
        fast = len(sink.packets)
        session.set_speed(Fraction(1, 2))
        session.set_speed(Fraction(1, 2))
        await trio.sleep(2.0)
    assert sink.ids == [k % 400 for k in range(len(sink.ids))]
    assert sink.sequence == list(range(len(sink.ids)))
    assert approx_intervals(sink.times[:n]) == [1.0] * (n - 1)
    assert approx_intervals(sink.times[n:fast]) == [0.1] * (fast - n - 1)
    assert 200 <= fast - n <= 201
    assert approx_intervals(sink.times[fast:]) == [2.0] * (len(sink.times) - fast - 1)
    assert sink.changes == 2
    assert quiet.changes == 0


async def test_a_filtered_playhead_that_starts_later_has_the_speed_of_its_session(autojump_clock):
    async with running(NamedBins(trials=trials())) as session:
        session.set_speed(Fraction(4))
        sink = listen(session, Filter(trial_id=1))
        await trio.sleep(1)
    assert set(approx_intervals(sink.times)) == {0.25}


async def test_timing_says_what_went_wrong_and_when(autojump_clock):
    async with running(clock=StallingClock(10, 3.0)) as session:
        listen(session)
        await trio.sleep(5)
        timing = session.main.timing
        (event,) = timing.events
        assert event.kind is EventKind.STALL
        assert event.late_ns == pytest.approx(3e9, abs=1e6)
        assert event.sequence_number == 9
        assert timing.anchors == 2
        assert timing.lowest_depth is not None
