"""An owner and a mirror on virtual time, with the real engine on both sides."""

from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
import trio

from phantomlink.cluster.announcements import Announcements
from phantomlink.cluster.course import SURE_NS
from phantomlink.cluster.kept_session import KeptSession
from phantomlink.cluster.messages import EndMirror, Mirror
from phantomlink.cluster.mirror_sessions import MirrorSessions
from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.registry import Registry
from phantomlink.engine.session import Session
from phantomlink.errors import UnavailableError
from tests.fakes import ListSink, NamedBins, VirtualClock, listen, make_parts, playing

TICKET = "b 1 1"
N_BINS = 4000


def parts_of(clock, **kwargs):
    recording = SimpleNamespace(
        dataset="named", memory_bytes=0, identity=SimpleNamespace(size=1, mtime_ns=1)
    )
    return make_parts(
        NamedBins(N_BINS), has_records=True, clock=clock, recording=recording, **kwargs
    )


class Directory:
    """What the owner has written, and when; what the mirror asks."""

    def __init__(self):
        self.log = []

    def newest(self):
        return self.log[-1] if self.log else None


class Owned:
    """As `WorkerOwnership`, of one session."""

    def __init__(self, session, directory):
        self._kept = KeptSession(session)
        self._directory = directory
        self._waiting = None
        self.is_away = False
        self.takes_seconds = 0.001
        self._kept.following.enter_context(session.followed_by(self._follow))

    def kept(self, code):
        return self._kept

    def each_kept(self):
        return [self._kept]

    def write(self, kept):
        self._waiting = kept.record()

    async def written(self):
        await trio.sleep(self.takes_seconds)
        if self.is_away:
            raise UnavailableError("away")
        self.flush()

    def flush(self):
        if self._waiting is not None and not self.is_away:
            self._directory.log.append(self._waiting)
            self._waiting = None

    async def flush_always(self):
        while True:
            self.flush()
            await trio.sleep(0.001)

    def _follow(self, event):
        if self._kept.told(event):
            self.write(self._kept)


class Links:
    def __init__(self):
        self.said = []

    def say_mirror(self, says):
        self.said.append(says)

    def say_answers(self, code, address):
        pass

    @property
    def plays(self):
        return bool(self.said) and self.said[-1].plays


class Making:
    """Makes the session in the registry of mirrors."""

    def __init__(self, registry, clock):
        self.registry = registry
        self.clock = clock

    async def made(self, record, mirrors):
        fence, outputs = mirrors
        parts = parts_of(self.clock, fence=fence)
        session, _ = self.registry.create(
            record.code, parts=parts, speed=Fraction(record.speed), outputs=outputs
        )
        return session


class Scene:
    """Both nodes."""

    def __init__(self, nursery, session, clock):
        self.nursery = nursery
        self.clock = clock
        self.session = session
        self.directory = Directory()
        self.owned = Owned(session, self.directory)
        self.announcements = Announcements(self.owned, self.owned.written)
        self.links = Links()
        self.mirrored = Registry(lambda: None, max_sessions=9, ttl_seconds=1e9)
        service = SimpleNamespace(mirrored=self.mirrored)
        self.mirrors = MirrorSessions(
            service, Making(self.mirrored, clock), self.links, nursery, lambda session: 0
        )
        self.polls = trio.CancelScope()

    async def begin(self, ask_seconds=0.02):
        """Let the mirror play; a client of it."""
        await self.nursery.start(self.mirrored.run)
        self.nursery.start_soon(self.owned.flush_always)
        self.announcements.set_mirrors({"s": (TICKET,)}, {})
        await trio.sleep(0.2)
        self.nursery.start_soon(self._ask, ask_seconds)
        await trio.sleep(1)
        assert self.links.plays
        session = self.mirrored.find("s")
        sink = ListSink()
        session.subscribe(NO_FILTER, session.main, sink)
        return sink

    async def _ask(self, seconds):
        told = None
        with self.polls:
            while True:
                newest, asked_ns = self.directory.newest(), self.clock.now_ns()
                await trio.sleep(0.002)
                record = None if newest is told else newest
                self.mirrors.tell(Mirror("s", TICKET, asked_ns, record, "ws://a"))
                told = newest
                await trio.sleep(seconds)

    async def command(self, call):
        async with self.announcements.changing("s"):
            call()
        await self.owned.written()


@asynccontextmanager
async def scene():
    clock = VirtualClock()
    async with trio.open_nursery() as nursery:
        parts = parts_of(clock)
        async with playing(Session("s", parts)) as session:
            yield Scene(nursery, session, clock)
        nursery.cancel_scope.cancel()


def said(sink):
    return {
        packet.sequence_number: (packet.packet_id, packet.loop, deadline)
        for packet, deadline in zip(sink.packets, sink.deadlines, strict=True)
    }


def assert_same(owner, mirror, *, whole):
    """Where both sent a packet it was the same, at the same time; and the mirror left none out."""
    one, other = said(owner), said(mirror)
    common = set(one) & set(other)
    assert {number: one[number] for number in common} == {n: other[n] for n in common}
    if whole:
        assert list(other) == list(range(min(other), max(other) + 1))
    return len(common)


async def test_a_mirror_sends_what_its_owner_sends_over_every_command(autojump_clock):
    async with scene() as played:
        owner = listen(played.session)
        await trio.sleep(1)
        mirror = await played.begin()
        session = played.session
        await trio.sleep(1)
        for call in (
            lambda: session.seek(1000),
            session.pause,
            lambda: session.seek(50),
            session.resume,
            lambda: session.set_speed(Fraction(2)),
            lambda: session.seek(3990),
            lambda: session.set_speed(Fraction(1)),
            lambda: None,
        ):
            before = played.clock.now_ns()
            was_playing = session.main.is_playing
            await played.command(call)
            # At a packet that was due 100 ms later, where anything was sent.
            took_ns = played.clock.now_ns() - before
            assert (60e6 < took_ns < 250e6) if was_playing else took_ns < 100e6
            await trio.sleep(1)
        assert played.links.plays
        assert assert_same(owner, mirror, whole=True) > 200
        assert max(mirror.sequence) >= max(owner.sequence) - 1


@pytest.mark.parametrize("ask_seconds", [0.001, 0.05, 0.12, 0.4])
async def test_a_mirror_that_hears_late_sends_nothing_else(autojump_clock, ask_seconds):
    async with scene() as played:
        owner = listen(played.session)
        await trio.sleep(0.5)
        mirror = await played.begin(ask_seconds)
        for number in range(8):
            await played.command(lambda number=number: played.session.seek(300 * number))
            await trio.sleep(0.13 * number)
        await trio.sleep(1)
        assert assert_same(owner, mirror, whole=False) > 0


async def test_a_mirror_that_hears_nothing_plays_no_longer_than_what_is_certain(autojump_clock):
    async with scene() as played:
        listen(played.session)
        await trio.sleep(0.5)
        mirror = await played.begin()
        await trio.sleep(1)
        played.polls.cancel()
        now_ns = played.clock.now_ns()
        await trio.sleep(2)
        assert now_ns < max(mirror.deadlines) <= now_ns + SURE_NS


async def test_without_the_directory_a_command_is_refused_and_not_carried_out(autojump_clock):
    async with scene() as played:
        owner = listen(played.session)
        await trio.sleep(0.5)
        await played.begin()
        played.owned.is_away = True
        with pytest.raises(UnavailableError):
            await played.command(lambda: played.session.seek(3000))
        await trio.sleep(0.5)
        assert max(owner.ids) < 1000


async def test_a_slow_directory_takes_a_packet_further_ahead(autojump_clock):
    async with scene() as played:
        owner = listen(played.session)
        await trio.sleep(0.5)
        mirror = await played.begin()
        played.owned.takes_seconds = 0.1
        before = played.clock.now_ns()
        await played.command(lambda: played.session.seek(3000))
        assert played.clock.now_ns() - before > 200e6
        await trio.sleep(1)
        assert assert_same(owner, mirror, whole=True) > 20
        played.owned.takes_seconds = 3
        with pytest.raises(UnavailableError, match="in time"):
            await played.command(lambda: played.session.seek(10))


async def test_a_stop_ends_the_clients_of_a_mirror_as_the_owners(autojump_clock):
    async with scene() as played:
        owner = listen(played.session)
        await trio.sleep(0.5)
        mirror = await played.begin()
        await played.command(played.session.stop)
        await trio.sleep(0.5)
        assert owner.ended[0] == mirror.ended[0] == 1000
        assert not played.links.plays
        assert played.mirrored.find("s") is None
        # Nobody plays it behind the owner's back.
        played.announcements.look()
        assert played.owned.kept("s").mirrors == ()


async def test_steps_are_for_the_owner_alone(autojump_clock):
    async with scene() as played:
        listen(played.session)
        await trio.sleep(0.5)
        mirror = await played.begin()
        await played.command(played.session.pause)
        await trio.sleep(0.2)
        await played.command(lambda: played.session.step(3))
        await trio.sleep(0.5)
        assert mirror.ended == (4412, "ws://a/stream/s")
        assert played.session.is_paused


async def test_what_changes_unannounced_ends_a_mirror(autojump_clock):
    async with scene() as played:
        listen(played.session)
        await trio.sleep(0.5)
        mirror = await played.begin()
        # A bug of the owner.
        played.session.seek(2000)
        await trio.sleep(0.5)
        assert mirror.ended == (4412, "ws://a/stream/s")
        assert not played.links.plays


async def test_a_session_that_has_ended_or_moved_says_so_to_the_clients(autojump_clock):
    for message, ended in (
        (EndMirror("s", None, has_ended=True), 4410),
        (EndMirror("s", None), 4411),
        (EndMirror("s", "ws://c"), 4412),
    ):
        async with scene() as played:
            listen(played.session)
            await trio.sleep(0.5)
            mirror = await played.begin()
            played.mirrors.end(message)
            await trio.sleep(0.1)
            assert mirror.ended[0] == ended
            assert played.mirrored.find("s") is None


async def test_an_heir_begins_with_the_mirrors_that_there_were(autojump_clock):
    async with scene() as played:
        listen(played.session)
        await trio.sleep(0.5)
        await played.begin()
        record = played.directory.newest()
        assert record.mirrors == (TICKET,)
        parts = parts_of(played.clock)
        async with playing(Session("s", parts)) as heir:
            kept = KeptSession(heir, replace(record, course=5))
            assert kept.record().mirrors == (TICKET,)
            assert kept.record().course >= 5
            assert heir.n_listening == 1
            assert kept.set_mirrors(())
            assert heir.n_listening == 0
