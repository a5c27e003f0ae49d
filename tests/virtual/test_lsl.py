"""Sessions with LSL outlets, on virtual time and without liblsl."""

from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from phantomlink.engine.registry import Registry
from phantomlink.outputs.lsl.kind import LslOutputs
from phantomlink.recordings.trials import Filter
from phantomlink.settings import Settings
from tests.fake_lsl import FakeLibrary
from tests.fakes import NamedBins, listen, make_parts, make_trial

PERIOD = 0.025
TRIALS = (
    make_trial(0, 1.0, 2.0, target_id=0, x=10.0, y=0.0, reach_id=0),
    make_trial(1, 3.0, 4.0, target_id=1, x=0.0, y=10.0, reach_id=1),
)


async def at_once(call, *, may_be_left=False):
    """A worker thread would race with a clock that jumps. Destroying takes longer than a period."""
    await trio.lowlevel.checkpoint()
    result = call()
    if may_be_left:
        await trio.sleep(0.04)
    return result


class Rig:
    """A registry whose sessions have fake outlets."""

    def __init__(self, registry, kind, liblsl):
        self.registry, self.kind, self.liblsl = registry, kind, liblsl

    async def session(self, code="a", **kwargs):
        output = self.kind.output(**kwargs)
        session, created = self.registry.create(code, outputs=(output,))
        assert created
        with trio.fail_after(5):
            await output.settled.wait()
        return session, output

    def connect(self, code="a", *kinds):
        for kind, outlet in self.liblsl.of(code).items():
            if not kinds or kind in kinds:
                outlet.has_consumer = True
        return self.liblsl.of(code)

    def leave(self, code="a"):
        for outlet in self.liblsl.of(code).values():
            outlet.has_consumer = False


@asynccontextmanager
async def rig(bins=None, *, loop=True, library=None, max_sessions=20, **settings):
    bins = bins or NamedBins(400, trials=TRIALS)
    behaviour = SimpleNamespace(position=None, velocity=None)
    info = SimpleNamespace(identifier="", subject="", is_synthetic=True)
    recording = SimpleNamespace(
        behaviour=behaviour,
        info=info,
        unit_ids=bins.unit_ids,
        dataset="named",
        path=SimpleNamespace(name="named.nwb"),
    )

    parts = make_parts(bins, loop=loop, recording=recording)
    told = Settings(**settings)
    library = library or FakeLibrary()
    kind = LslOutputs(told, library.load, at_once)
    registry = Registry(lambda: parts, max_sessions=max_sessions, ttl_seconds=100.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(kind.run, registry)
        await nursery.start(registry.run)
        yield Rig(registry, kind, library)
        registry.close()
        await trio.sleep(1)
        assert library.n_living == 0, "outlets outlive their sessions"
        nursery.cancel_scope.cancel()


def ids(outlets):
    return [row[0] for row in outlets["neural"].values]


async def test_the_session_plays_while_an_inlet_is_connected_and_not_without(autojump_clock):
    async with rig() as it:
        session, output = await it.session()
        await trio.sleep(5)
        assert session.main.timing.packets == 0
        assert not session.is_in_use
        outlets = it.connect("a", "kinematics")
        assert output.has_consumers
        await trio.sleep(1)
        assert session.n_listening == 1
        assert 35 <= len(outlets["kinematics"].pushed) <= 41
        it.leave()
        await trio.sleep(0.2)
        n = session.main.timing.packets
        assert session.n_listening == 0
        await trio.sleep(5)
        assert session.main.timing.packets == n


async def test_inlets_get_every_packet_with_its_deadline_as_a_listener_does(autojump_clock):
    async with rig() as it:
        session, _ = await it.session()
        sink = listen(session)
        outlets = it.connect()
        await trio.sleep(20)
        sink_packets = {packet.sequence_number: packet for packet in sink.packets}
        first = len(sink.packets) - len(ids(outlets))
        assert 0 <= first <= 5
        got = [sink_packets[first + n] for n in range(len(ids(outlets)))]
        assert ids(outlets) == [packet.packet_id for packet in got]
        deadlines = [ns * 1e-9 for ns in sink.deadlines[first:]]
        for kind in ("neural", "kinematics", "intention"):
            assert outlets[kind].stamps == deadlines
        assert all(b > a for a, b in pairwise(outlets["neural"].stamps))
        in_trial = next(n for n, packet in enumerate(got) if packet.trial_id == 1)
        assert outlets["intention"].values[in_trial] == [1.0, 0.0, 10.0, 1.0]
        outside = next(n for n, packet in enumerate(got) if packet.trial_id is None)
        assert all(value != value for value in outlets["intention"].values[outside])
        vx, vy, x, y = outlets["kinematics"].values[7]
        assert vx != vx
        assert vy != vy
        assert y != y
        assert x == got[7].packet_id


async def test_only_outlets_with_an_inlet_are_pushed_to(autojump_clock):
    async with rig() as it:
        await it.session()
        outlets = it.connect("a", "neural")
        await trio.sleep(2)
        assert len(outlets["neural"].pushed) > 60
        # The fake refuses what is pushed to an outlet without one.
        assert outlets["markers"].pushed == []


async def test_markers_come_with_the_bin_that_holds_them(autojump_clock):
    async with rig(NamedBins(200, trials=TRIALS)) as it:
        await it.session()
        outlets = it.connect()
        await trio.sleep(11)
        by_stamp = dict(zip(outlets["neural"].stamps, ids(outlets), strict=True))
        told = [(name, by_stamp[stamp]) for name, stamp in outlets["markers"].pushed]
        of_a_loop = [
            ("trial_start", 40),
            ("trial_end", 80),
            ("trial_start", 120),
            ("trial_end", 160),
        ]
        assert told[:9] == [*of_a_loop, ("loop", 0), *of_a_loop]


async def test_pause_resume_and_seek_are_told_when_they_happen(autojump_clock):
    async with rig() as it:
        session, _ = await it.session()
        outlets = it.connect()
        await trio.sleep(0.51)
        session.resume()
        session.pause()
        paused_at = trio.current_time()
        session.pause()
        await trio.sleep(3)
        session.seek(300)
        session.resume()
        resumed_at = trio.current_time()
        await trio.sleep(0.51)
        session.seek(0)
        sought_at = trio.current_time()
        await trio.sleep(0.3)
        told = [(name, round(stamp, 6)) for name, stamp in outlets["markers"].pushed]
        assert told == [
            ("pause", round(paused_at, 6)),
            ("seek", round(resumed_at, 6)),
            ("resume", round(resumed_at, 6)),
            ("seek", round(sought_at, 6)),
        ]
        at_300 = ids(outlets).index(300)
        assert resumed_at <= outlets["neural"].stamps[at_300] <= resumed_at + PERIOD + 1e-6
        assert all(b > a for a, b in pairwise(outlets["neural"].stamps))


async def test_after_stop_inlets_that_stay_do_not_start_it_again(autojump_clock):
    async with rig() as it:
        session, _ = await it.session()
        outlets = it.connect()
        await trio.sleep(1)
        session.stop()
        n = len(outlets["neural"].pushed)
        await trio.sleep(30)
        assert len(outlets["neural"].pushed) == n
        assert session.is_stopped
        assert outlets["markers"].values == ["stop"]
        session.resume()
        await trio.sleep(1)
        assert ids(outlets)[n : n + 3] == [0, 1, 2]
        assert outlets["markers"].values[:2] == ["stop", "resume"]


async def test_after_stop_an_arriving_inlet_starts_it_again(autojump_clock):
    async with rig() as it:
        session, _ = await it.session()
        outlets = it.connect("a", "neural")
        await trio.sleep(1)
        session.stop()
        await trio.sleep(30)
        n = len(ids(outlets))
        it.connect("a", "markers")
        await trio.sleep(1)
        assert ids(outlets)[n : n + 2] == [0, 1]
        assert not session.is_stopped


async def test_after_stop_all_leaving_and_one_coming_back_starts_it_again(autojump_clock):
    async with rig() as it:
        session, _ = await it.session()
        outlets = it.connect("a", "neural")
        await trio.sleep(1)
        session.stop()
        it.leave()
        await trio.sleep(5)
        assert session.is_stopped
        n = len(ids(outlets))
        it.connect("a", "neural")
        await trio.sleep(1)
        assert ids(outlets)[n : n + 2] == [0, 1]


async def test_after_stop_another_listener_starts_it_for_the_inlets_too(autojump_clock):
    async with rig() as it:
        session, _ = await it.session()
        outlets = it.connect("a", "neural")
        await trio.sleep(1)
        session.stop()
        await trio.sleep(1)
        n = len(ids(outlets))
        listen(session, Filter(trial_id=1))
        await trio.sleep(1)
        assert ids(outlets)[n : n + 2] == [0, 1]


async def test_an_inlet_that_came_just_before_the_stop_is_one_that_stays(autojump_clock):
    async with rig() as it:
        session, _ = await it.session()
        it.connect()
        session.stop()
        await trio.sleep(10)
        assert session.is_stopped
        assert session.main.timing.packets == 0


async def test_the_end_is_told_and_nothing_is_replayed(autojump_clock):
    async with rig(NamedBins(100), loop=False) as it:
        session, _ = await it.session()
        outlets = it.connect()
        await trio.sleep(60)
        assert ids(outlets) == list(range(100))
        assert outlets["markers"].values == ["end"]
        # Somebody who listens to one trial does not start the whole.
        session.resume()
        await trio.sleep(1)
        assert ids(outlets)[100:102] == [0, 1]
        assert outlets["markers"].values == ["end", "resume"]
        await trio.sleep(60)
        assert len(ids(outlets)) == 200
        session.stop()
        await trio.sleep(5)
        it.leave()
        await trio.sleep(5)
        assert len(ids(outlets)) == 200
        it.connect()
        await trio.sleep(1)
        assert ids(outlets)[200:202] == [0, 1]


async def test_after_the_end_a_filtered_listener_does_not_start_the_whole(autojump_clock):
    async with rig(NamedBins(200, trials=TRIALS), loop=False) as it:
        session, _ = await it.session()
        outlets = it.connect()
        await trio.sleep(60)
        assert len(ids(outlets)) == 200
        listen(session, Filter(trial_id=1))
        await trio.sleep(5)
        assert len(ids(outlets)) == 200
        whole = listen(session)
        await trio.sleep(1)
        assert whole.ids[:2] == [0, 1]
        # They join at the next packet or the one behind it.
        assert ids(outlets)[200] <= 2
        assert ids(outlets)[200:] == whole.ids[ids(outlets)[200] :]


async def test_another_speed_has_other_outlets_of_the_same_names(autojump_clock):
    async with rig() as it:
        session, output = await it.session()
        old = it.connect()
        await trio.sleep(1)
        session.set_speed(Fraction(2))
        await trio.sleep(1)
        new = it.liblsl.of("a")
        assert all(outlet.is_destroyed for outlet in old.values())
        assert new["neural"] is not old["neural"]
        assert [o.spec.source_id for o in new.values()] == [o.spec.source_id for o in old.values()]
        assert new["neural"].spec.nominal_rate_hz == 80.0
        assert output.as_json()["streams"][0]["nominal_rate_hz"] == 80.0
        # Nobody else listens: it holds until the inlets are back, and goes on where it was.
        assert session.n_listening == 0
        it.connect()
        await trio.sleep(1)
        assert ids(new)[0] == ids(old)[-1] + 1
        steps = {round(b - a, 9) for a, b in pairwise(new["neural"].stamps)}
        assert steps == {0.0125}


async def test_inlets_that_come_back_after_a_change_of_speed_do_not_end_a_stop(autojump_clock):
    async with rig() as it:
        session, _ = await it.session()
        it.connect("a", "neural", "markers")
        await trio.sleep(1)
        session.stop()
        n = session.main.timing.packets
        session.set_speed(Fraction(2))
        await trio.sleep(1)
        it.connect("a", "neural", "markers")
        await trio.sleep(5)
        assert session.is_stopped
        assert session.main.timing.packets == n
        it.connect("a", "kinematics")
        await trio.sleep(1)
        assert not session.is_stopped


async def test_a_session_with_an_inlet_is_neither_evicted_nor_expired(autojump_clock):
    async with rig(max_sessions=2) as it:
        heard, _ = await it.session("heard")
        it.connect("heard", "markers")
        await trio.sleep(0.2)
        quiet, _ = await it.session("quiet")
        await it.session("another")
        assert quiet.is_closed
        await trio.sleep(1000)
        assert [session.code for session in it.registry] == ["heard"]
        assert not heard.is_closed


async def test_the_cap_is_on_sessions_that_live(autojump_clock):
    async with rig(lsl_max_sessions=2) as it:
        _, one = await it.session("one")
        _, two = await it.session("two")
        _, three = await it.session("three")
        assert [c.reason for c in (one, two)] == [None, None]
        assert "2 sessions have outlets already" in three.reason
        assert "PHANTOM_LSL_MAX_SESSIONS" in three.reason
        assert three.as_json()["streams"] == []
        assert three.as_json()["is_available"] is False
        it.registry.delete("one")
        _, four = await it.session("four")
        assert four.reason is None
        assert three.reason is not None
        assert it.liblsl.n_living == 8


async def test_a_session_can_be_made_without(autojump_clock):
    async with rig() as it:
        session, output = await it.session("a", is_wanted=False)
        assert output.reason == "the session was asked for without"
        assert it.liblsl.made == []
        sink = listen(session)
        await trio.sleep(1)
        assert len(sink.packets) >= 40


async def test_switched_off_nothing_is_loaded(autojump_clock):
    async with rig(lsl_enabled=False) as it:
        _, output = await it.session()
        assert "PHANTOM_LSL_ENABLED" in output.reason
        assert it.liblsl.scopes == []


async def test_an_outlet_that_cannot_be_made_costs_the_session_only_its_outlets(
    autojump_clock, caplog
):
    library = FakeLibrary(can_make=lambda spec: spec.kind != "intention")
    async with rig(library=library) as it:
        session, output = await it.session()
        assert "cannot make PhantomLink-Intention-a" in output.reason
        assert library.n_living == 0
        sink = listen(session)
        await trio.sleep(1)
        assert len(sink.packets) >= 40
    assert caplog.text.count("cannot make") == 1


async def test_a_push_that_fails_costs_only_the_outlets(autojump_clock, caplog):
    async with rig() as it:
        session, output = await it.session()
        sink = listen(session)
        it.connect()
        await trio.sleep(1)
        it.liblsl.of("a")["neural"].fails = True
        await trio.sleep(1)
        assert output.reason == "pushing to them has failed; the log says how"
        assert it.liblsl.n_living == 0
        assert sink.ids == list(range(len(sink.ids)))
        assert len(sink.ids) >= 79
        assert session.n_listening == 1
    assert caplog.text.count("A sink failed and is dropped") == 1


async def test_a_code_used_again_at_once_waits_for_the_old_outlets(autojump_clock):
    async with rig() as it:
        await it.session("a")
        it.connect("a")
        await trio.sleep(0.3)
        old = it.liblsl.of("a")
        it.registry.delete("a")
        output = it.kind.output()
        session, _ = it.registry.create("a", outputs=(output,))
        with trio.fail_after(5):
            await output.settled.wait()
        assert all(outlet.is_destroyed for outlet in old.values())
        new = it.connect("a")
        await trio.sleep(1)
        assert len(ids(new)) >= 35
        assert session.n_listening == 1


@pytest.mark.parametrize("n_first", [0, 1])
async def test_listeners_on_sockets_have_each_packet_before_the_inlets(autojump_clock, n_first):
    order = []
    async with rig() as it:
        session, _ = await it.session()
        outlets = it.connect("a", "neural")
        push = outlets["neural"].push
        outlets["neural"].push = lambda row, stamp: (order.append("lsl"), push(row, stamp))
        await trio.sleep(0.3)
        order.clear()
        for _ in range(n_first):
            sink = listen(session)
            sink.on_offer = lambda release: order.append("socket")
        await trio.sleep(0.5)
    assert order[: 1 + n_first] == ["socket"] * n_first + ["lsl"]
    assert set(pairwise(order)) <= (
        {("socket", "lsl"), ("lsl", "socket")} if n_first else {("lsl", "lsl")}
    )
