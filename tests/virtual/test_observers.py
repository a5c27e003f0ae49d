"""Observers of a session and followers of its events: they see all, and change nothing."""

from dataclasses import dataclass, field

import trio

from phantomlink.close_codes import CLOSE_INTERNAL_ERROR, CLOSE_NORMAL, CLOSE_SESSION_GONE
from phantomlink.engine.events import NO_FILTER, SessionEventKind
from phantomlink.engine.session import Session
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.trials import Filter
from tests.fakes import NamedBins, listen, make_parts, make_trial

TRIALS = (make_trial(0, 1.0, 2.0, target_id=0), make_trial(1, 3.0, 4.0, target_id=1))
LOSSES = {"transforms": [{"kind": "packet_loss", "probability": 0.3}]}


@dataclass(eq=False)
class Watcher:
    """Keeps what it is shown."""

    packets: list = field(default_factory=list)
    lost: list = field(default_factory=list)
    releases: list = field(default_factory=list)
    ended: tuple | None = None
    fails: bool = False

    def offer_nowait(self, release):
        if self.fails:
            raise RuntimeError("a bug")
        assert release.timestamp is not None
        self.packets.append(release.packet.sequence_number)
        self.releases.append(release)

    def lost_nowait(self, release):
        assert release.timestamp is None
        self.lost.append(release.packet.sequence_number)

    def end(self, code, reason):
        assert self.ended is None
        self.ended = (code, reason)


class Running:
    """A session that runs, with what its followers are told."""

    def __init__(self, nursery, bins=None, **kwargs):
        self.session = Session("a", make_parts(bins or NamedBins(400, trials=TRIALS), **kwargs))
        self.events = []
        nursery.start_soon(self.session.run)
        nursery.start_soon(self._follow)

    async def _follow(self):
        with self.session.followed_by(self.events.append):
            await trio.sleep_forever()

    @property
    def kinds(self):
        return [event.kind for event in self.events]


async def test_an_observer_starts_holds_and_keeps_nothing(nursery, autojump_clock):
    session = Running(nursery).session
    watcher = Watcher()
    used = session.last_used
    await trio.sleep(1)
    session.observe(NO_FILTER, watcher)
    await trio.sleep(5)
    assert session.main.playhead.bin_index == 0
    assert not session.is_in_use
    assert session.n_listening == 0
    assert session.last_used == used
    assert session.status().active_connections == 0
    sink = listen(session)
    await trio.sleep(1.01)
    assert watcher.packets == sink.sequence
    assert len(sink.sequence) == 41
    session.unsubscribe(sink)
    await trio.sleep(1)
    assert len(watcher.packets) == 41
    assert session.counters.n_sinks == 0


async def test_an_observer_comes_after_every_listener(nursery, autojump_clock):
    session = Running(nursery).session
    order = []
    watcher = Watcher()
    session.observe(NO_FILTER, watcher)
    watcher.offer_nowait = lambda release: order.append("observer")
    listen(session, is_deferred=True, on_offer=lambda release: order.append("slow"))
    listen(session, on_offer=lambda release: order.append("prompt"))
    await trio.sleep(0.01)
    assert order == ["prompt", "slow", "observer"]


async def test_an_observer_stays_over_stop_and_ends_with_the_session(nursery, autojump_clock):
    session = Running(nursery).session
    watcher, gone = Watcher(), Watcher()
    session.observe(NO_FILTER, watcher)
    session.observe(NO_FILTER, gone)
    listen(session)
    await trio.sleep(0.1)
    session.stop()
    assert watcher.ended is None
    session.unobserve(gone)
    n, n_gone = len(watcher.packets), len(gone.packets)
    assert n == n_gone > 0
    listen(session)
    await trio.sleep(0.1)
    assert len(watcher.packets) > n
    assert len(gone.packets) == n_gone
    session.close(CLOSE_SESSION_GONE, "session deleted")
    assert watcher.ended == (CLOSE_SESSION_GONE, "session deleted")
    assert gone.ended is None
    late = Watcher()
    session.observe(NO_FILTER, late)
    assert late.ended == watcher.ended


async def test_an_observer_of_a_filter_sees_each_playhead_that_plays_it(nursery, autojump_clock):
    session = Running(nursery).session
    wanted, watcher = Filter(trial_id=1), Watcher()
    session.observe(wanted, watcher)
    listen(session)
    await trio.sleep(0.2)
    assert watcher.packets == []
    assert list(session.playbacks()) == [NO_FILTER]
    for _ in range(2):
        sink = listen(session, wanted)
        await trio.sleep(0.2)
        assert watcher.packets == sink.sequence != []
        session.unsubscribe(sink)
        # It does not keep the playhead.
        assert list(session.playbacks()) == [NO_FILTER]
        watcher.packets.clear()


async def test_an_observer_sees_what_is_done_on_purpose(nursery, autojump_clock):
    session = Running(nursery).session
    watcher = Watcher()
    session.observe(NO_FILTER, watcher)
    session.set_perturbation(parse_perturbation(LOSSES), 5)
    sink = listen(session)
    await trio.sleep(5)
    assert watcher.packets == sink.sequence
    assert sorted(watcher.packets + watcher.lost) == list(range(session.main.playhead.position))
    assert len(watcher.lost) == session.main.timing.injected.lost > 20
    assert all(release.deadline_ns > 0 for release in watcher.releases)


async def test_an_observer_that_fails_costs_nobody_a_packet(nursery, autojump_clock, caplog):
    session = Running(nursery).session
    broken, other = Watcher(fails=True), Watcher()
    session.observe(NO_FILTER, broken)
    session.observe(NO_FILTER, other)
    sink = listen(session)
    await trio.sleep(0.2)
    assert sink.sequence == other.packets == list(range(len(sink.sequence)))
    assert broken.ended == (CLOSE_INTERNAL_ERROR, "internal error")
    assert len([r for r in caplog.records if r.exc_info]) == 1


async def test_every_event_has_its_time_and_the_packet_from_which_it_counts(
    nursery, autojump_clock
):
    running = Running(nursery, loop=False)
    session = running.session
    await trio.testing.wait_all_tasks_blocked()
    sink = listen(session)
    await trio.sleep(0.51)
    session.pause()
    session.seek(100)
    session.resume()
    session.set_speed(session.speed * 2)
    session.set_perturbation(parse_perturbation(LOSSES), 5)
    session.set_perturbation(NO_PERTURBATION)
    session.announce(SessionEventKind.CAPTURE, "2026-a")
    await trio.sleep(0.1)
    session.unsubscribe(sink)
    session.stop()
    listen(session, Filter(trial_id=0))
    session.close(CLOSE_NORMAL, "done")
    kind = SessionEventKind
    assert running.kinds == [
        *(kind.LISTENER_CAME, kind.ANCHORED, kind.PAUSED, kind.SOUGHT, kind.RESUMED, kind.PACED),
        *(kind.PERTURBED, kind.PERTURBED, kind.CAPTURE, kind.ANCHORED, kind.LISTENER_LEFT),
        kind.STOPPED,
        *(kind.LISTENER_CAME, kind.CLOSED),
    ]
    came, _, paused, sought, resumed = running.events[:5]
    assert (came.position.bin_index, came.position.sequence_number) == (0, 0)
    assert came.starts_main
    assert (paused.position.bin_index, paused.position.sequence_number) == (21, 21)
    assert paused.at_ns - came.at_ns == 510_000_000
    assert (sought.position.bin_index, sought.position.sequence_number) == (100, 21)
    assert resumed.position == sought.position
    assert running.events[6].detail != ""
    assert running.events[7].detail == ""
    assert running.events[8].detail == "2026-a"
    again = running.events[12]
    assert again.filter == Filter(trial_id=0)
    assert again.starts_main  # the session was stopped
    assert {event.code for event in running.events} == {"a"}


async def test_the_end_of_the_recording_is_told_of_each_playhead(nursery, autojump_clock):
    running = Running(nursery, loop=False)
    session = running.session
    await trio.testing.wait_all_tasks_blocked()
    listen(session, Filter(trial_id=1))
    await trio.sleep(2)
    (ended,) = [e for e in running.events if e.kind is SessionEventKind.ENDED]
    assert ended.filter == Filter(trial_id=1)


async def test_a_follower_that_fails_keeps_nobody_from_anything(nursery, autojump_clock, caplog):
    running = Running(nursery)
    session = running.session
    await trio.testing.wait_all_tasks_blocked()

    def broken(event):
        raise RuntimeError("a bug")

    with session.followed_by(broken):
        session.pause()
        session.resume()
    assert running.kinds == [SessionEventKind.PAUSED, SessionEventKind.RESUMED]
    assert len([r for r in caplog.records if r.exc_info]) == 1
