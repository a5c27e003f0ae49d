"""Faults of transport on virtual time: what is sent, in which order, and when, exactly."""

from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import trio

from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.faults import Fault
from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.compiled import TransportPlan
from tests.fakes import ListSink, VirtualClock, listen
from tests.perturbing import EXTREME, named_bins, running

PERIOD = 0.025


class PlannedFaults:
    """Leaves counts as they are, and does to packets what it was told, by (loop, packet_id)."""

    def __init__(self, faults):
        self.faults = faults

    def counts(self, counts, start, loop):
        return counts

    def transport(self, start, n, loop):
        told = [self.faults.get((loop, start + k), Fault()) for k in range(n)]
        return TransportPlan(
            lost=np.array([fault.lost for fault in told]),
            duplicated=np.array([fault.duplicated for fault in told]),
            swapped=np.array([fault.swapped for fault in told]),
            delay_ns=np.array([fault.delay_ns for fault in told], np.int64),
        )


def planned(faults):
    keyed = {key if isinstance(key, tuple) else (0, key): fault for key, fault in faults.items()}
    return AppliedPerturbation(EXTREME, 7, PlannedFaults(keyed), "planned")


@asynccontextmanager
async def faulty(faults, **kwargs):
    async with running(**kwargs) as session:
        session.apply(planned(faults), 7)
        yield session, listen(session)


def at_ticks(sink):
    """When each packet came, in periods from the first one."""
    return [round((time - sink.times[0]) / PERIOD, 6) for time in sink.times]


LOST, SWAPPED, TWICE = Fault(lost=True), Fault(swapped=True), Fault(duplicated=True)


def delayed(periods):
    return Fault(delay_ns=round(periods * PERIOD * 1e9))


def counted(session):
    injected = session.main.timing.injected
    return injected.lost, injected.duplicated, injected.reordered, injected.delays.count


def assert_on_time(session):
    """Nothing that was meant is counted against us."""
    timing = session.main.timing
    assert (timing.stalls, timing.overruns, timing.anchors) == (0, 0, 1)
    assert timing.lateness.summary().max_ns <= 1


async def test_a_lost_packet_leaves_a_gap_in_the_numbers_and_none_in_time(autojump_clock):
    async with faulty({2: LOST, 3: LOST, (1, 0): LOST}) as (session, sink):
        await trio.sleep(11)
        assert counted(session) == (3, 0, 0, 0)
        assert session.main.timing.packets == len(sink.ids)
        assert_on_time(session)
    assert sink.ids[:6] == [0, 1, 4, 5, 6, 7]
    assert sink.sequence == [0, 1, *range(4, 400), *range(401, sink.sequence[-1] + 1)]
    assert at_ticks(sink) == sink.sequence


async def test_a_lost_packet_is_not_sent_after_a_pause_either(autojump_clock):
    async with faulty({2: LOST, 3: LOST}) as (session, sink):
        await trio.sleep(3.5 * PERIOD)
        status = session.status().playbacks[0]
        assert (status.current_packet, status.sequence_number) == (4, 4)
        session.pause()
        await trio.sleep(1)
        session.resume()
        await trio.sleep(0.1)
    assert sink.ids[:5] == sink.sequence[:5] == [0, 1, 4, 5, 6]


async def test_a_duplicate_comes_twice_in_its_tick(autojump_clock):
    async with faulty({3: TWICE}) as (session, sink):
        await trio.sleep(0.26)
        assert counted(session) == (0, 1, 0, 0)
        assert session.main.timing.packets == len(sink.ids) - 1
        assert_on_time(session)
    assert sink.ids == sink.sequence == at_ticks(sink) == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10]


async def test_those_that_come_last_have_a_duplicate_twice_too(autojump_clock):
    """A client that is behind, inlets, and one that only observes."""
    async with faulty({3: TWICE}) as (session, sink):
        last = listen(session, is_deferred=True)
        watcher = ListSink()
        session.observe(NO_FILTER, watcher)
        await trio.sleep(0.26)
    assert last.ids == watcher.ids == sink.ids
    assert sink.ids.count(3) == 2


async def test_a_swapped_packet_comes_after_its_successor_in_that_ones_tick(autojump_clock):
    faults = {2: SWAPPED, 5: Fault(swapped=True, duplicated=True)}
    async with faulty(faults) as (session, sink):
        await trio.sleep(0.21)
        assert counted(session) == (0, 1, 2, 0)
        assert_on_time(session)
    assert sink.ids == sink.sequence == [0, 1, 3, 2, 4, 6, 5, 5, 7, 8]
    assert at_ticks(sink) == [0, 1, 3, 3, 4, 6, 6, 6, 7, 8]
    own = [sink.deadlines[0] + number * 25_000_000 for number in sink.sequence]
    assert sink.deadlines == own, "each keeps its own deadline"


@pytest.mark.parametrize(
    ("faults", "ids", "reordered"),
    [
        ({2: SWAPPED, 3: LOST}, [0, 1, 2, 4], 0),
        ({2: SWAPPED, 3: SWAPPED}, [0, 1, 2, 4, 3, 5], 1),
        ({2: Fault(swapped=True, lost=True)}, [0, 1, 3, 4], 0),
        ({2: SWAPPED, 3: TWICE}, [0, 1, 3, 3, 2, 4], 1),
    ],
)
async def test_faults_of_neighbours(autojump_clock, faults, ids, reordered):
    async with faulty(faults) as (session, sink):
        await trio.sleep(0.2)
        assert session.main.timing.injected.reordered == reordered
        assert_on_time(session)
    assert sink.ids[: len(ids)] == ids
    assert set(range(9)) - set(sink.ids) == {k for k, f in faults.items() if f.lost}


@pytest.mark.parametrize("fault", [SWAPPED, delayed(3), LOST, TWICE])
async def test_the_last_packet_of_all(autojump_clock, fault):
    async with faulty({38: SWAPPED, 39: fault}, bins=named_bins(40), loop=False) as (_, sink):
        await trio.sleep(5)
        assert sink.ended == (1000, "the recording ended")
    last = {SWAPPED: [39, 38], delayed(3): [39, 38], LOST: [38], TWICE: [39, 39, 38]}[fault]
    assert sink.ids == [*range(38), *last]


async def test_a_swap_across_the_end_of_a_loop(autojump_clock):
    async with faulty({39: SWAPPED}, bins=named_bins(40)) as (_, sink):
        await trio.sleep(2)
    assert [(p.loop, p.packet_id) for p in sink.packets[38:42]] == [
        (0, 38),
        (1, 0),
        (0, 39),
        (1, 1),
    ]
    assert sorted(sink.sequence) == list(range(len(sink.sequence)))


@pytest.mark.parametrize("act", ["pause", "seek", "perturb"])
async def test_a_packet_that_waits_for_its_successor_has_not_been_sent(autojump_clock, act):
    async with faulty({4: SWAPPED}) as (session, sink):
        await trio.sleep(4.5 * PERIOD)
        assert sink.ids == [0, 1, 2, 3]
        assert session.status().playbacks[0].current_packet == 4
        if act == "pause":
            session.pause()
            await trio.sleep(1)
            session.resume()
        elif act == "seek":
            session.seek(4)
        else:
            assert session.set_perturbation(NO_PERTURBATION) == 4
        await trio.sleep(0.2)
    following = [4, 5, 6] if act == "perturb" else [5, 4, 6]
    assert sink.ids[4:7] == sink.sequence[4:7] == following


async def test_a_delay_moves_one_packet_and_no_deadline(autojump_clock):
    async with faulty({3: delayed(0.4), 6: delayed(0.9)}) as (session, sink):
        await trio.sleep(0.26)
        assert counted(session) == (0, 0, 0, 2)
        assert session.main.timing.injected.delays.summary().max_ns == 22_500_000
        assert_on_time(session)
    assert at_ticks(sink) == [0, 1, 2, 3.4, 4, 5, 6.9, 7, 8, 9, 10]
    assert sink.ids == sink.sequence == list(range(11))


async def test_those_behind_a_long_delay_wait_and_then_leave_at_once(autojump_clock):
    async with faulty({3: delayed(40), 10: LOST, 12: SWAPPED}) as (session, sink):
        await trio.sleep(42 * PERIOD)
        assert sink.ids == [0, 1, 2]
        await trio.sleep(10 * PERIOD)
        assert_on_time(session)
        assert counted(session)[:3] == (1, 0, 1)
        assert session.main.timing.injected.delays.summary().max_ns == 1_000_000_000
    order = [*range(10), 11, 13, 12, *range(14, 50)]
    assert sink.ids[: len(order)] == order
    assert at_ticks(sink)[:50] == [0, 1, 2, *[43] * 39, *range(43, 51)][:50]


async def test_delays_are_times_of_the_stream(autojump_clock):
    async with faulty({3: delayed(0.4), 6: delayed(8)}) as (session, sink):
        session.set_speed(Fraction(5))
        await trio.sleep(0.2)
    ticks = [tick * 5 for tick in at_ticks(sink)]
    assert ticks[:16] == pytest.approx([0, 1, 2, 3.4, 4, 5, *[14] * 9, 15])


@pytest.mark.parametrize("act", ["seek", "perturb", "pause"])
async def test_a_change_during_a_long_delay_ends_it_without_a_burst(autojump_clock, act):
    async with faulty({3: delayed(40)}) as (session, sink):
        await trio.sleep(20.5 * PERIOD)
        assert sink.ids == [0, 1, 2]
        if act == "seek":
            session.seek(100)
        elif act == "perturb":
            session.set_perturbation(NO_PERTURBATION)
        else:
            session.seek(100)
            session.pause()
            await trio.sleep(3)
            session.resume()
        await trio.sleep(10.5 * PERIOD)
        timing = session.main.timing
        assert (timing.stalls, timing.overruns) == (0, 0)
        assert timing.lateness.summary().max_ns <= 1
    first = 3 if act == "perturb" else 100
    assert sink.ids[3:13] == list(range(first, first + 10))
    intervals = [round((b - a) / PERIOD, 6) for a, b in pairwise(sink.times[3:])]
    assert intervals == [1.0] * len(intervals)
    assert sink.sequence == list(range(len(sink.sequence)))


async def test_a_pause_during_a_long_delay_sends_no_burst_and_loses_nothing(autojump_clock):
    async with faulty({3: delayed(40)}) as (session, sink):
        await trio.sleep(20.5 * PERIOD)
        session.pause()
        await trio.sleep(3)
        assert sink.ids == [0, 1, 2]
        session.resume()
        await trio.sleep(60 * PERIOD)
        assert session.main.timing.stalls == 0
    assert sink.ids == sink.sequence == list(range(len(sink.ids)))
    assert len(sink.ids) > 60


async def test_a_change_during_a_short_delay_keeps_the_deadlines(autojump_clock):
    async with faulty({3: delayed(0.8)}) as (session, sink):
        await trio.sleep(3.5 * PERIOD)
        session.set_perturbation(NO_PERTURBATION)
        await trio.sleep(3 * PERIOD)
        assert_on_time(session)
    assert at_ticks(sink)[:7] == [0, 1, 2, 3.5, 4, 5, 6]
    assert sink.deadlines == [sink.deadlines[0] + k * 25_000_000 for k in range(len(sink.ids))]


class LateClock(VirtualClock):
    """Wakes once so much later than it was asked to."""

    def __init__(self, at_wait, seconds):
        self.at_wait, self.seconds, self.waits = at_wait, seconds, 0

    async def wait_until(self, due_ns):
        self.waits += 1
        late_ns = self.seconds * 1e9 if self.waits == self.at_wait else 0
        return await super().wait_until(due_ns + late_ns)


async def test_a_stall_of_ours_is_one_beside_those_that_are_meant(autojump_clock):
    clock = LateClock(4, 2.0)
    async with faulty({3: delayed(10)}, clock=clock) as (session, sink):
        await trio.sleep(4)
        timing = session.main.timing
        assert timing.stalls == 1
        (event,) = timing.events
        assert event.late_ns == pytest.approx(2e9, abs=10)
        assert event.sequence_number == 3
    assert sink.sequence == list(range(len(sink.ids)))


async def test_lateness_of_ours_is_counted_from_when_a_packet_was_to_leave(autojump_clock):
    async with faulty({3: delayed(0.4)}, clock=LateClock(4, 0.002)) as (session, sink):
        await trio.sleep(0.2)
        late_ns = session.main.timing.lateness.summary().max_ns
        injected_ns = session.main.timing.injected.delays.summary().max_ns
    assert late_ns == pytest.approx(2_000_000, abs=10)
    assert injected_ns == 10_000_000
    assert at_ticks(sink)[:5] == [0, 1, 2, 3.48, 4]


async def test_a_sink_that_fails_twice_in_a_tick_ends_once(autojump_clock, caplog):
    def boom(release):
        raise ZeroDivisionError("a bug")

    async with faulty({0: TWICE, 1: SWAPPED}) as (session, sink):
        bad = listen(session, on_offer=boom)
        await trio.sleep(0.1)
    assert bad.ended == (1011, "internal error")
    assert sink.ids == [0, 0, 2, 1, 3, 4][: len(sink.ids)]


async def test_a_pause_from_within_a_tick_of_two(autojump_clock):
    async with faulty({2: SWAPPED}) as (session, sink):
        sink.on_offer = lambda release: release.packet.packet_id == 3 and session.pause()
        await trio.sleep(1)
        assert sink.ids == [0, 1, 3, 2]
        session.resume()
        await trio.sleep(0.1)
    assert sink.ids[:6] == [0, 1, 3, 2, 4, 5]


async def test_the_anchor_lies_on_one_grid_also_while_a_packet_waits_to_be_overtaken(
    autojump_clock,
):
    faults = {7: Fault(swapped=True), 9: Fault(lost=True), 20: Fault(swapped=True)}
    async with faulty(faults) as (session, _):
        await trio.sleep(0.01)
        firsts = set()
        for _ in range(40):
            anchor = session.main.anchor()
            firsts.add(anchor.due_ns - 25_000_000 * anchor.sequence_number)
            await trio.sleep(PERIOD)
    assert len(firsts) == 1
