"""Views on virtual time: what viewers are told, and that watching changes nothing."""

from __future__ import annotations

from contextlib import asynccontextmanager
from fractions import Fraction

import msgpack
import numpy as np
import pytest
import trio

from phantomlink.engine.faults import Fault
from phantomlink.errors import InvalidParameterError, TooManyClientsError
from phantomlink.outputs.view.hub import MOST_QUERIES, VIEW_FEED, ViewHub
from phantomlink.outputs.view.session_list import SessionList
from phantomlink.outputs.view.view_request import ViewQuery
from phantomlink.outputs.view.viewer import serve_session_list, serve_session_view
from phantomlink.recordings.trials import Filter
from tests.fakes import NamedBins, listen, make_trial
from tests.virtual.test_session import running
from tests.virtual.test_transport_faults import planned

EVERYTHING = ViewQuery(Filter())
BIN = 0.025


class FakeSocket:
    """Keeps what it is sent; takes each message only when it is not told to wait."""

    def __init__(self, *, can_send_nowait=True):
        self.can_send_nowait = can_send_nowait
        self.n_nowait = 0
        self.messages = []
        self.times = []
        self.closed = None
        self.may_take = trio.Event()
        self.may_take.set()
        self.leave = trio.Event()

    async def send(self, message):
        await self.may_take.wait()
        self.messages.append(msgpack.unpackb(message))
        self.times.append(trio.current_time())

    @property
    def send_nowait(self):
        return self._take if self.can_send_nowait and self.may_take.is_set() else None

    def _take(self, message):
        assert self.may_take.is_set()
        self.messages.append(msgpack.unpackb(message))
        self.times.append(trio.current_time())
        self.n_nowait += 1

    async def until_closed(self):
        await self.leave.wait()

    async def close(self, code, reason):
        self.closed = (code, reason)

    def of(self, kind):
        return [message for message in self.messages if message["type"] == kind]

    @property
    def counts(self):
        """(packet_id, counts of unit 0) of each column, in order."""
        seen = []
        for message in self.of("columns"):
            counts = np.frombuffer(message["counts"], "u1").reshape(-1, 3)[:, 0].tolist()
            bins = message["bins_per_column"]
            seen += [(message["packet_id"] + i * bins, n) for i, n in enumerate(counts)]
        return seen


@asynccontextmanager
async def watched(session, query=EVERYTHING, hub=None, socket=None):
    """A session with a viewer; gives its socket."""
    socket = socket or FakeSocket()
    # Not in a thread: the clock would jump meanwhile.
    VIEW_FEED.load()
    async with trio.open_nursery() as nursery:
        if hub is None:
            hub = ViewHub(200)
            await nursery.start(hub.run)

        async def view():
            async with hub.watching(session, query, lambda _: {"dataset": "fake"}) as feed:
                await serve_session_view(socket, feed)

        nursery.start_soon(view)
        await trio.testing.wait_all_tasks_blocked()
        yield socket
        nursery.cancel_scope.cancel()


async def test_a_viewer_alone_starts_nothing_and_is_told_how_it_stands(autojump_clock):
    async with running() as session, watched(session) as socket:
        await trio.sleep(10)
        assert session.main.playhead.bin_index == 0
        assert session.main.timing.packets == 0
        assert not session.is_in_use
        assert session.n_listening == 0
    (hello,) = socket.of("hello")
    assert hello["unit_ids"] == [1011, 1012, 1013]
    assert (hello["bins_per_column"], hello["history"]) == (1, [])
    state = socket.of("state")[0]
    assert (state["state"]["is_playing"], state["state"]["viewers"]) == (False, 1)
    assert state["packet"]["packet_id"] == 0
    assert socket.counts == []


async def test_what_is_sent_is_seen_at_most_twenty_times_a_second(autojump_clock):
    async with running() as session, watched(session) as socket:
        sink = listen(session)
        await trio.sleep(2)
        n = len(sink.packets)
    assert socket.counts == [(i, i % 256) for i in range(n)][: len(socket.counts)]
    assert len(socket.counts) >= n - 3
    assert len(socket.of("columns")) <= 2 * 20 + 2
    (state,) = [each for each in socket.of("state") if each["cause"] == "listener_came"]
    assert state["state"]["is_playing"]
    assert state["packet"] is None


@pytest.mark.parametrize("can_send_nowait", [True, False])
async def test_who_is_free_is_written_to_without_being_woken(autojump_clock, can_send_nowait):
    socket = FakeSocket(can_send_nowait=can_send_nowait)
    async with running() as session, watched(session, socket=socket):
        listen(session)
        await trio.sleep(1)
    assert [packet for packet, _ in socket.counts][:30] == list(range(30))
    n_other = len(socket.messages) - socket.n_nowait
    # What there was before it had had everything: the first message, the state, the figures.
    assert (n_other <= 4) is can_send_nowait


async def test_columns_come_a_moment_behind_the_tick_of_their_newest_packet(autojump_clock):
    async with running() as session, watched(session) as socket:
        sink = listen(session)
        await trio.sleep(2)
    behind = [
        time - 0.001 - sink.times[message["sequence"][1]]
        for message, time in zip(socket.messages, socket.times, strict=True)
        if message["type"] == "columns"
    ]
    assert max(behind[1:]) < 0.002


async def test_a_seek_a_pause_and_a_stop_are_told_with_the_packet_that_it_stands_on(autojump_clock):
    async with running() as session, watched(session) as socket:
        listen(session)
        await trio.sleep(1)
        session.seek(200)
        await trio.sleep(1)
        session.pause()
        await trio.sleep(1)
        paused = socket.of("state")[-1]
        session.seek(50)
        await trio.sleep(1)
        sought = socket.of("state")[-1]
    assert (paused["cause"], sought["cause"]) == ("pause", "seek")
    assert paused["state"]["is_paused"]
    assert paused["packet"]["packet_id"] == session_position(socket) + 1
    assert sought["packet"]["packet_id"] == 50
    assert np.frombuffer(sought["packet"]["counts"], "u1")[0] == 50
    ids = [packet for packet, _ in socket.counts]
    jump = next(i for i in range(1, len(ids)) if ids[i] != ids[i - 1] + 1)
    assert ids[jump] == 200
    assert ids[jump:] == list(range(200, 200 + len(ids) - jump))


def session_position(socket):
    return socket.counts[-1][0]


async def test_faults_on_purpose_are_seen_as_they_are(autojump_clock):
    faults = {3: Fault(lost=True), 5: Fault(swapped=True), 8: Fault(duplicated=True)}
    async with running() as session, watched(session) as socket:
        session.apply(planned(faults), 7)
        listen(session)
        await trio.sleep(1)
    assert socket.counts[:10] == [(i, 0 if i == 3 else i) for i in range(10)]
    lost = b"".join(message["lost"] for message in socket.of("columns"))
    assert list(lost[:10]) == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert {message["perturbation_id"] for message in socket.of("columns")} == {"planned"}


async def test_who_takes_nothing_is_told_less_and_nobody_else_is(autojump_clock):
    async with running(NamedBins(4000)) as session:
        hub = ViewHub(200)
        async with trio.open_nursery() as nursery:
            await nursery.start(hub.run)
            slow, quick = FakeSocket(), FakeSocket()
            async with (
                watched(session, hub=hub, socket=slow),
                watched(session, hub=hub, socket=quick),
            ):
                sink = listen(session)
                await trio.sleep(1)
                slow.may_take = trio.Event()
                await trio.sleep(10)
                taken = len(slow.messages)
                slow.may_take.set()
                await trio.sleep(0.2)
                assert slow.closed is None
                # What it was being sent when it stopped, and then at most 64 columns.
                news = slow.messages[taken + 1 :]
            nursery.cancel_scope.cancel()
        assert [packet for packet, _ in quick.counts][:400] == list(range(400))
        assert sink.sequence == list(range(len(sink.sequence)))
    columns = [each for each in news if each["type"] == "columns"]
    widths = [each["bins_per_column"] for each in columns]
    assert max(widths) >= 4
    sizes = [len(each["lost"]) * each["bins_per_column"] for each in columns]
    ends = [each["packet_id"] + size for each, size in zip(columns, sizes, strict=True)]
    assert [each["packet_id"] for each in columns[1:]] == ends[:-1]


async def test_a_kilohertz_is_merged(autojump_clock):
    bins = NamedBins(4000, rate_hz=1000)
    async with running(bins) as session, watched(session) as socket:
        listen(session)
        await trio.sleep(1)
    assert {message["bins_per_column"] for message in socket.of("columns")} <= {25, 1}
    counts = dict(socket.counts)
    assert counts[0] == min(255, sum(range(25)))
    assert len(socket.of("columns")) <= 22


async def test_a_filter_shows_its_own_playhead_when_somebody_listens_to_it(autojump_clock):
    trials = [make_trial(0, 0.0, 1.0, reach_id=0), make_trial(1, 1.0, 2.0, reach_id=1)]
    wanted = Filter(reach_id=1)
    async with running(NamedBins(trials=trials)) as session:
        async with watched(session, ViewQuery(wanted)) as socket:
            listen(session)
            await trio.sleep(0.5)
            assert socket.counts == []
            listen(session, wanted)
            await trio.sleep(0.5)
        assert [packet for packet, _ in socket.counts][:10] == list(range(40, 50))


async def test_units_are_those_asked_for(autojump_clock):
    query = ViewQuery(Filter(), None, (0, 0))
    async with running() as session, watched(session, query) as socket:
        listen(session)
        await trio.sleep(0.5)
    assert socket.of("hello")[0]["unit_ids"] == [1011]
    counts = b"".join(message["counts"] for message in socket.of("columns"))
    assert list(counts[:5]) == [0, 1, 2, 3, 4]


async def test_a_late_viewer_gets_the_history(autojump_clock):
    async with running() as session:
        hub = ViewHub(200)
        async with trio.open_nursery() as nursery:
            await nursery.start(hub.run)
            async with watched(session, hub=hub):
                listen(session)
                await trio.sleep(2)
                async with watched(session, hub=hub) as late:
                    await trio.sleep(0.3)
                (hello,) = late.of("hello")
                (history,) = hello["history"]
                assert history["packet_id"] == 0
                assert late.counts[0][0] == history["packet_id"] + len(history["lost"])
                assert hub.n_viewers == 1
            nursery.cancel_scope.cancel()
        assert hub.n_viewers == 0


async def test_the_end_of_a_session_closes_its_views(autojump_clock):
    async with running() as session, watched(session) as socket:
        session.close(4410, "deleted")
        await trio.sleep(1)
    assert socket.closed == (4410, "deleted")


async def test_speed_and_listeners_are_told(autojump_clock):
    async with running() as session, watched(session) as socket:
        sink = listen(session)
        await trio.sleep(0.2)
        session.set_speed(Fraction(2))
        await trio.sleep(0.2)
        session.unsubscribe(sink)
        await trio.sleep(0.2)
    causes = [each["cause"] for each in socket.of("state")]
    assert [each for each in causes if each != "arrival"] == [
        "listener_came",
        "speed",
        "listener_left",
    ]
    assert [each["state"]["listeners"] for each in socket.of("state")][-3:] == [1, 1, 0]
    assert socket.of("state")[-1]["state"]["speed"] == 2


async def test_the_end_of_the_recording_is_told_until_something_begins(autojump_clock):
    async with (
        running(NamedBins(40, trials=[make_trial(0, 0.0, 0.5)]), loop=False) as session,
        watched(session) as socket,
    ):
        listen(session)
        await trio.sleep(2)
        (end,) = [each for each in socket.of("state") if each["cause"] == "end"]
        session.set_speed(Fraction(2))
        await trio.sleep(0.2)
        still = socket.of("state")[-1]
        listen(session)
        await trio.sleep(0.2)
    shown = [each["state"] for each in (socket.of("state")[0], end, still, socket.of("state")[-1])]
    assert [each["is_ended"] for each in shown] == [False, True, True, False]
    assert [each["is_playing"] for each in shown] == [False, False, False, True]


async def test_punctuality_is_told_once_a_second(autojump_clock):
    async with running() as session, watched(session) as socket:
        listen(session)
        await trio.sleep(5)
    stats = socket.of("stats")
    assert 5 <= len(stats) <= 6
    assert stats[-1]["lateness_us"]["count"] in {39, 40, 41}
    assert stats[-1]["injected"]["lost"] == 0


async def test_there_are_so_many_ways_to_watch_and_so_many_viewers(autojump_clock):
    async with running() as session, trio.open_nursery() as nursery:
        hub = ViewHub(MOST_QUERIES + 1)
        await nursery.start(hub.run)
        queries = [ViewQuery(Filter(), 25.0 * (i + 1)) for i in range(MOST_QUERIES + 1)]
        for query in queries[:-1]:
            hub.check(session, query)
            await nursery.start(hold, hub, session, query)
        with pytest.raises(TooManyClientsError, match="4 ways") as caught:
            hub.check(session, queries[-1])
        assert caught.value.http_status == 429
        with pytest.raises(InvalidParameterError):
            hub.check(session, ViewQuery(Filter(), None, (0, 3)))
        hub.check(session, queries[0])
        await nursery.start(hold, hub, session, queries[0])
        with pytest.raises(TooManyClientsError, match="PHANTOM_MAX_VIEWERS") as caught:
            hub.check(session, queries[0])
        assert caught.value.http_status == 503
        nursery.cancel_scope.cancel()


async def test_viewers_of_other_processes_count_until_these_are_gone() -> None:
    hub, said = ViewHub(3), []
    hub.after_change = said.append
    hub.count_elsewhere("b", 1)
    hub.count_elsewhere("c", 1)
    with hub.counted():
        with pytest.raises(TooManyClientsError, match="there are 3 already, takes 3"):
            hub.check()
        hub.forget_elsewhere(("a", "b"))
        hub.check()
        hub.count_elsewhere("b", 2)
        with pytest.raises(TooManyClientsError, match="there are 3 already"):
            hub.check()
    hub.check()
    assert said == [1, 0]


async def hold(hub, session, query, task_status):
    async with hub.watching(session, query, lambda _: {"dataset": "fake"}):
        task_status.started()
        await trio.sleep_forever()


async def test_the_list_tells_what_has_changed(autojump_clock):
    async with running() as session, trio.open_nursery() as nursery:
        there = [session]
        told = {"position": 0, "last_accessed": 0}
        sessions = SessionList(lambda: there, lambda _: dict(told), lambda: {"listeners": 0})
        nursery.start_soon(sessions.run)
        socket = FakeSocket()
        await sessions.refresh()
        nursery.start_soon(serve_session_list, socket, sessions)
        await trio.sleep(0.1)
        hello = socket.messages[0]
        assert hello["sessions"] == {"test": {"position": 0}}
        told["position"] = 5
        told["last_accessed"] = 9
        await trio.sleep(1)
        assert socket.messages[-1]["changed"] == {"test": {"position": 5}}
        told["last_accessed"] = 10
        await trio.sleep(1)
        assert socket.messages[-1]["changed"] == {}
        there.clear()
        await trio.sleep(1)
        assert socket.messages[-1]["removed"] == ["test"]
        sessions.end(1001, "the server is going away")
        await trio.sleep(0.1)
        assert socket.closed == (1001, "the server is going away")
        nursery.cancel_scope.cancel()
