"""A recording that is lost while it plays, and comes back: on virtual time."""

from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio

from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.recording_recovery import MOST_STUCK
from phantomlink.engine.registry import Registry
from phantomlink.engine.timing import EventKind
from phantomlink.errors import RecordingError, TooManySpikesError
from phantomlink.recordings.trials import Filter
from tests.fakes import FakeFile, ListSink, NamedBins, VirtualSupply, make_parts, make_trial

PERIOD = 0.025


class Rig:
    """A registry over bins that can fail, and the file that they are read from."""

    def __init__(self, **kwargs):
        self.bins = NamedBins(4000, in_memory=False, trials=[make_trial(0, 1.0, 2.0)], **kwargs)
        self.file = FakeFile()
        self.recovery = VirtualSupply(self.file)
        parts = make_parts(self.bins, recovery=self.recovery)
        self.registry = Registry(lambda: parts, max_sessions=9, ttl_seconds=3600)

    def lose(self, reason="FILE: no such file"):
        self.bins.fails = True
        self.file.lost = reason

    def give_back(self):
        self.bins.fails = False
        self.file.lost = None

    def listen(self, code="a", wanted=NO_FILTER):
        session = self.registry.create(code)[0]
        sink = ListSink()
        session.subscribe(wanted, session.playback(wanted), sink)
        return session, sink


@asynccontextmanager
async def rigged(**kwargs):
    rig = Rig(**kwargs)
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.registry.run)
        nursery.start_soon(rig.recovery.run)
        yield rig
        nursery.cancel_scope.cancel()


def main_of(session):
    return session.status().playbacks[0]


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


async def test_what_was_read_ahead_is_played_on_time_then_it_waits_and_goes_on(
    autojump_clock, caplog
):
    async with rigged() as rig:
        session, sink = rig.listen()
        await trio.sleep(1.01)
        rig.lose()
        await trio.sleep(10)
        n = len(sink.packets)
        # One block was being played, one waited; a third may have been read already.
        assert 80 <= n <= 160
        assert all(round(b - a, 6) == PERIOD for a, b in pairwise(sink.times))
        status = main_of(session)
        assert not status.is_playing
        assert status.waiting_for == "FILE: no such file"
        assert rig.recovery.reason == "FILE: no such file"
        assert not session.is_paused
        assert sink.ended is None
        await trio.sleep(50)
        assert len(sink.packets) == n
        rig.give_back()
        back_at = trio.current_time()
        await trio.sleep(10)
        assert main_of(session).is_playing
        assert main_of(session).waiting_for is None
        assert rig.recovery.reason is None
    assert sink.ids == list(range(len(sink.ids))), "no bin was lost, and none sent twice"
    assert sink.sequence == sink.ids
    assert all(p.spike_counts[0] == p.packet_id for p in sink.packets), "and none was made up"
    # It is looked for every 2 s at most. Nothing that was due meanwhile is sent in a burst.
    assert back_at <= sink.times[n] <= back_at + 2.2
    assert all(round(b - a, 6) == PERIOD for a, b in pairwise(sink.times[n:]))
    assert len(warnings(caplog)) == 3, "lost, why it cannot be opened, back: once each"
    assert "the disk is gone; sessions play what has been read ahead" in warnings(caplog)[0]
    assert "FILE: no such file" in warnings(caplog)[1]
    assert "can be read again, after" in warnings(caplog)[2]


async def test_a_loss_that_is_over_before_the_data_run_out_costs_nothing(autojump_clock):
    async with rigged() as rig:
        _, sink = rig.listen()
        await trio.sleep(1.01)
        rig.bins.fails = True
        await trio.sleep(0.9)
        rig.bins.fails = False
        await trio.sleep(5)
    assert all(round(b - a, 6) == PERIOD for a, b in pairwise(sink.times))
    assert sink.ids == list(range(len(sink.ids)))
    assert len(sink.ids) > 270


async def test_opened_is_not_enough_what_failed_has_to_be_read(autojump_clock, caplog):
    async with rigged() as rig:
        session, _ = rig.listen()
        await trio.sleep(1)
        rig.bins.fails = True
        await trio.sleep(20)
        assert rig.file.opened > 3
        assert main_of(session).waiting_for == "the disk is gone"
        assert len(warnings(caplog)) == 1, "it was never taken for readable"


async def test_every_reason_is_logged_once(autojump_clock, caplog):
    async with rigged() as rig:
        rig.listen()
        rig.listen("b")
        await trio.sleep(1)
        rig.lose("FILE: no such file")
        await trio.sleep(60)
        rig.file.lost = "FILE: another file is in its place"
        await trio.sleep(60)
        assert rig.recovery.reason == "FILE: another file is in its place"
        rig.give_back()
        await trio.sleep(5)
    assert [line.partition(":")[2][:15] for line in warnings(caplog)[:3]] == [
        " the disk is go",
        " FILE: no such ",
        " FILE: another ",
    ]
    assert len(warnings(caplog)) == 4, "and that it is back"


async def test_all_playheads_of_all_sessions_wait_and_go_on(autojump_clock):
    async with rigged() as rig:
        _, plain = rig.listen()
        filtered_session, filtered = rig.listen("b", Filter(trial_id=0))
        await trio.sleep(1)
        rig.lose()
        await trio.sleep(30)
        n, m = len(plain.ids), len(filtered.ids)
        waiting = filtered_session.status().playbacks[1]
        assert waiting.filter == Filter(trial_id=0)
        assert waiting.waiting_for == "FILE: no such file"
        assert not waiting.is_playing
        rig.give_back()
        await trio.sleep(5)
        assert len(plain.ids) > n + 80
        assert len(filtered.ids) > m + 80
    assert filtered.ids == [40 + k % 40 for k in range(len(filtered.ids))]
    assert filtered.sequence == list(range(len(filtered.ids)))


async def test_it_can_be_sought_in_paused_and_deleted_while_it_waits(autojump_clock):
    async with rigged() as rig:
        session, sink = rig.listen()
        await trio.sleep(1)
        rig.lose()
        await trio.sleep(20)
        n = len(sink.ids)
        session.seek(2000)
        await trio.sleep(5)
        session.pause()
        await trio.sleep(1)
        assert main_of(session).waiting_for is None, "a session that is paused waits for nothing"
        rig.give_back()
        await trio.sleep(5)
        assert len(sink.ids) == n
        session.resume()
        await trio.sleep(1)
        assert sink.ids[n:] == list(range(2000, 2000 + len(sink.ids) - n))
        assert len(sink.ids) > n + 30
        rig.lose()
        await trio.sleep(10)
        rig.registry.delete("a")
        await trio.sleep(1)
        assert sink.ended == (4410, "session deleted")
        assert len(rig.registry) == 0


async def test_a_listener_that_comes_meanwhile_has_the_packet_at_the_playhead_when_it_is_there(
    autojump_clock,
):
    async with rigged() as rig:
        session, sink = rig.listen()
        await trio.sleep(1)
        rig.lose()
        await trio.sleep(10)
        peeked = []

        async def peek():
            peeked.append(await session.main.peek())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(peek)
            await trio.sleep(10)
            assert not peeked
            rig.give_back()
        # The playhead may have been let go on first.
        assert len(sink.ids) - 1 <= peeked[0].packet.packet_id <= len(sink.ids)


async def test_a_read_that_stalls_is_told_of_and_nothing_is_sent_in_a_burst(autojump_clock, caplog):
    async with rigged() as rig:
        session, sink = rig.listen()
        await trio.sleep(1.01)
        rig.recovery.stall = trio.Event()
        await trio.sleep(2.5)
        assert rig.recovery.reason == "a read of the recording takes longer than 1 s"
        await trio.sleep(4)
        n = len(sink.ids)
        assert main_of(session).waiting_for == rig.recovery.reason
        assert rig.recovery.lost is None
        stall, rig.recovery.stall = rig.recovery.stall, None
        stall.set()
        await trio.sleep(5)
        assert rig.recovery.reason is None
        assert main_of(session).is_playing
    assert sink.ids == list(range(len(sink.ids)))
    assert len(sink.ids) > n + 190
    assert all(round(b - a, 6) == PERIOD for a, b in pairwise(sink.times[n:]))
    assert len(warnings(caplog)) == 2


async def test_a_stall_shorter_than_what_is_ahead_costs_no_tick(autojump_clock):
    async with rigged() as rig:
        _, sink = rig.listen()
        await trio.sleep(1.01)
        for _ in range(3):
            stall = rig.recovery.stall = trio.Event()
            await trio.sleep(1.0)
            rig.recovery.stall = None
            stall.set()
            await trio.sleep(3.0)
    assert all(round(b - a, 6) == PERIOD for a, b in pairwise(sink.times))


@pytest.mark.parametrize(("late_seconds", "is_stall"), [(0.01, False), (0.09, False), (0.15, True)])
async def test_a_packet_that_is_not_ready_in_time_is_an_overrun_and_leaves_when_it_is(
    autojump_clock, late_seconds, is_stall
):
    """Beyond 100 ms it is a stall, from which deadlines begin anew."""
    async with rigged() as rig:
        session, sink = rig.listen()
        await trio.sleep(1.01)
        rig.recovery.stall = trio.Event()
        is_late = lambda: trio.current_time() >= sink.times[-1] + PERIOD + late_seconds  # noqa: E731
        while not is_late():  # noqa: ASYNC110 - virtual time
            await trio.sleep(0.001)
        n, since = len(sink.ids), trio.current_time()
        stall, rig.recovery.stall = rig.recovery.stall, None
        stall.set()
        await trio.sleep(1)
        timing = session.main.timing
        assert (timing.stalls, timing.overruns) == (int(is_stall), int(not is_stall))
        (event,) = timing.events
        assert event.kind is (EventKind.STALL if is_stall else EventKind.OVERRUN)
        assert event.sequence_number == n
        assert event.late_ns == pytest.approx(late_seconds * 1e9, abs=1_100_000)
        assert (timing.anchors, timing.lowest_depth) == (1 + is_stall, 0)
    assert sink.ids == list(range(len(sink.ids)))
    if is_stall:
        assert min(b - a for a, b in pairwise(sink.times[n:])) > PERIOD - 1e-6
    else:
        # It is caught up with; the grid stays where it was.
        assert sink.times[n] == pytest.approx(since, abs=1e-6)
        steps = [(at - sink.times[0]) / PERIOD for at in sink.times[n + 4 :]]
        assert steps == pytest.approx([round(step) for step in steps], abs=1e-6)


async def test_a_read_that_hangs_holds_up_neither_its_session_nor_the_others(autojump_clock):
    async with rigged() as rig:
        hung = rig.listen("a")[1]
        await trio.sleep(1.01)
        # It never comes back: the thread keeps the token even when its session has gone.
        rig.recovery.stall = trio.Event()
        await trio.sleep(2)
        rig.recovery.stall = None
        _, other = rig.listen("b")
        await trio.sleep(2)
        assert other.ids == [], "one thread reads at a time, and that one hangs"
        await trio.sleep(15)
        assert len(other.ids) > 40, "after 10 s another may"
        assert len(hung.ids) < 170
        assert rig.recovery.limiter.total_tokens == 2
        assert rig.recovery.limiter.total_tokens <= 1 + MOST_STUCK


async def test_a_loss_that_nobody_has_read_yet_is_noticed(autojump_clock, caplog):
    async with rigged() as rig:
        rig.file.damage = rig.file.lost = "FILE: the file was cut while it was open"
        await trio.sleep(3)
        assert rig.recovery.reason == "FILE: the file was cut while it was open"
        rig.file.damage = rig.file.lost = None
        await trio.sleep(3)
        assert rig.recovery.reason is None
    assert len(warnings(caplog)) == 2


async def test_a_file_that_was_deleted_plays_on_and_is_told_of_once(autojump_clock, caplog):
    async with rigged() as rig:
        _, sink = rig.listen()
        rig.file.moved = "was deleted or moved away"
        await trio.sleep(30)
        assert rig.recovery.reason is None
        rig.file.moved = None
        await trio.sleep(5)
    assert len(sink.ids) > 1390
    assert all(round(b - a, 6) == PERIOD for a, b in pairwise(sink.times))
    assert warnings(caplog) == [
        "The recording's file was deleted or moved away; what is open plays on, a restart would "
        "miss it"
    ]


async def test_a_file_that_makes_opening_fail_in_any_way_ends_nothing(autojump_clock, caplog):
    async with rigged() as rig:
        session, sink = rig.listen()
        await trio.sleep(1)
        rig.bins.fails = True

        def reopen(sha256):
            raise AttributeError("nobody thought of this file")

        rig.file.reopen = reopen
        await trio.sleep(20)
        assert "nobody thought of this file" in main_of(session).waiting_for
        del rig.file.reopen
        rig.bins.fails = False
        await trio.sleep(5)
        assert main_of(session).is_playing
    assert sink.ids == list(range(len(sink.ids)))
    assert sum("Traceback" in (r.exc_text or "") for r in caplog.records) == 1


async def test_what_can_never_be_read_ends_its_session(autojump_clock, monkeypatch):
    async with rigged() as rig:
        _, sink = rig.listen()
        await trio.sleep(1)

        def read(start, stop):
            raise TooManySpikesError("more than 65535 spikes of one unit in one bin")

        monkeypatch.setattr(rig.bins, "read", read)
        await trio.sleep(10)
        assert sink.ended == (1013, "the recording cannot be read")
        assert rig.recovery.reason is None


async def test_who_does_not_want_to_wait_is_told(autojump_clock):
    async with rigged() as rig:
        session, _ = rig.listen()
        rig.lose()
        with pytest.raises(RecordingError, match="the disk is gone"):
            await session.parts.reader.read(0, 10)
        assert rig.recovery.lost == "the disk is gone"
