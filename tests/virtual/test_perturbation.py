"""Perturbed sessions on virtual time: what is sent, in which order, and when, exactly."""

import hashlib
from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import trio

from phantomlink.engine.assemble import PacketAssembler
from phantomlink.engine.digest import MAX_DIGEST_PACKETS, payload_digest, runs_within
from phantomlink.engine.faults import Fault
from phantomlink.engine.perturbed import AppliedPerturbation, SentRows, apply_perturbation
from phantomlink.engine.session import Session
from phantomlink.errors import InvalidParameterError
from phantomlink.source.perturb import (
    NO_PERTURBATION,
    PRESETS,
    Perturber,
    TransportPlan,
    parse_perturbation,
)
from phantomlink.source.trials import Filter
from phantomlink.wire.canonical import canonical_payload
from phantomlink.wire.packet import packet_data
from tests.fakes import NamedBins, TrioClock, VirtualClock, listen, make_parts, make_trial

PERIOD = 0.025
N_UNITS = 12
TRIALS = [make_trial(0, 0.0, 1.0, target_id=0), make_trial(1, 5.0, 6.0, target_id=0)]
EXTREME = PRESETS["extreme"]


def named_bins(n_bins=400, **kwargs):
    return NamedBins(n_bins, n_units=N_UNITS, trials=TRIALS, **kwargs)


@asynccontextmanager
async def running(bins=None, *, perturbation=NO_PERTURBATION, seed=7, **kwargs):
    parts = make_parts(bins or named_bins(), **kwargs)
    session = Session("test", parts, perturbation=perturbation, seed=seed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        yield session
        session.close(1001, "test over")


def expected_counts(bins, perturbation, seed, loop):
    """Of a whole loop in one go: however the packets came to be built, these are their counts."""
    perturber = Perturber(perturbation, seed=seed, unit_ids=bins.unit_ids, grid=bins.grid)
    return perturber.counts(bins.read(0, bins.grid.n_bins).counts, 0, loop)


def assert_as_expected(packets, bins, perturbation, seed):
    loops = {packet.loop for packet in packets}
    expected = {loop: expected_counts(bins, perturbation, seed, loop) for loop in loops}
    for packet in packets:
        assert packet.spike_counts.tolist() == expected[packet.loop][packet.packet_id].tolist()
        assert packet.x == packet.packet_id, "kinematics are the truth"


# --- Counts ------------------------------------------------------------------------------------


async def test_packets_have_the_counts_of_their_loop_and_bin(autojump_clock):
    bins = named_bins()
    async with running(bins, perturbation=EXTREME) as session:
        sink, part = listen(session), listen(session, Filter(target_id=0))
        await trio.sleep(25)
    assert sink.packets[-1].loop == 2
    assert part.packets[-1].loop > 5, "a filtered playhead has loops of its own"
    for packets in (sink.packets, part.packets):
        assert_as_expected(packets, bins, EXTREME, 7)
    raw = bins.read(0, 400).counts
    changed = [p for p in sink.packets if p.spike_counts.tolist() != raw[p.packet_id].tolist()]
    assert len(changed) > 0.9 * len(sink.packets)
    assert len({p.perturbation_id for p in (*sink.packets, *part.packets)}) == 1


async def test_pauses_seeks_speeds_and_clients_change_no_payload(autojump_clock):
    bins = named_bins()
    async with running(bins, perturbation=EXTREME) as session:
        sink = listen(session)
        for seconds, act in (
            (0.31, session.pause), (1.0, session.resume), (0.72, lambda: session.seek(77)),
            (0.4, lambda: listen(session)), (0.1, lambda: session.seek(76)),
            (0.3, lambda: session.set_speed(Fraction(3))), (0.25, lambda: session.seek(13)),
            (3.4, session.pause), (0.2, session.resume), (4.0, session.pause),
        ):  # fmt: skip
            await trio.sleep(seconds)
            act()
    assert len(sink.packets) > 500
    assert_as_expected(sink.packets, bins, EXTREME, 7)


async def test_a_perturbation_counts_from_the_next_packet_on(autojump_clock):
    bins = named_bins()
    async with running(bins) as session:
        sink = listen(session)
        await trio.sleep(0.51)
        n = len(sink.packets)
        assert session.set_perturbation(EXTREME) == n
        await trio.sleep(0.5)
        m = len(sink.packets)
        assert session.set_perturbation(EXTREME, 8) == m
        await trio.sleep(0.5)
        k = len(sink.packets)
        assert session.set_perturbation(NO_PERTURBATION) == k
        assert (session.applied, session.seed) == (None, 8)
        await trio.sleep(0.5)
    raw = bins.read(0, 400).counts
    for packet in (*sink.packets[:n], *sink.packets[k:]):
        assert packet.perturbation_id is None
        assert packet.spike_counts.tolist() == raw[packet.packet_id].tolist()
    assert_as_expected(sink.packets[n:m], bins, EXTREME, 7)
    assert_as_expected(sink.packets[m:k], bins, EXTREME, 8)
    assert sink.changes == 3
    assert sink.ids == sink.sequence == list(range(len(sink.ids))), "no packet is skipped or twice"
    first = sink.deadlines[0]
    assert sink.deadlines == [first + i * 25_000_000 for i in range(len(sink.ids))]


async def test_the_snapshot_is_perturbed_as_the_packet_will_be(autojump_clock):
    bins = named_bins()
    async with running(bins, perturbation=EXTREME) as session:
        session.seek(123)
        release = await session.main.peek()
        sink = listen(session)
        await trio.sleep(0.01)
    assert release.packet.spike_counts.tolist() == sink.packets[0].spike_counts.tolist()
    assert_as_expected([release.packet], bins, EXTREME, 7)
    assert release.packet.perturbation_id == sink.packets[0].perturbation_id is not None


async def test_what_changes_nothing_is_not_applied(autojump_clock):
    nothing = parse_perturbation({"transforms": [{"kind": "gaussian_noise", "noise_std": 0}]})
    async with running(perturbation=nothing) as session:
        assert session.applied is None
        session.set_perturbation(EXTREME)
        assert session.applied is not None
        session.set_perturbation(nothing)
        sink = listen(session)
        await trio.sleep(0.1)
    assert {packet.perturbation_id for packet in sink.packets} == {None}


async def test_what_does_not_fit_the_recording_is_refused_and_changes_nothing(autojump_clock):
    wrong = parse_perturbation({"transforms": [{"kind": "dead_units", "unit_ids": [5]}]})
    async with running(perturbation=EXTREME) as session:
        before = session.applied
        with pytest.raises(InvalidParameterError, match="5"):
            session.set_perturbation(wrong, 99)
        assert (session.applied, session.seed) == (before, 7)


def test_an_id_names_what_is_done_and_the_seed_not_what_it_is_called():
    bins = named_bins()
    said = EXTREME.as_json()
    renamed = parse_perturbation({"name": "mine", "transforms": said["transforms"]})
    ids = [
        apply_perturbation(perturbation, seed, bins).perturbation_id
        for perturbation, seed in (
            (EXTREME, 7), (renamed, 7), (EXTREME, 8), (PRESETS["intense"], 7),
        )
    ]  # fmt: skip
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_rows_of_a_long_block_are_the_same_in_whichever_order_they_are_asked_for():
    """Counts are made some rows ahead and faults some more: of 300 rows that is often."""
    bins = named_bins()
    perturbation = PRESETS["weak_link"].as_json()["transforms"] + EXTREME.as_json()["transforms"]
    applied = apply_perturbation(parse_perturbation({"transforms": perturbation}), 7, bins)
    counts = applied.perturber.counts(bins.read(50, 350).counts, 50, 2)
    plan = applied.perturber.transport(50, 300, 2)
    faults = [
        Fault(*each) if any(each) else None
        for each in zip(
            plan.lost.tolist(),
            plan.duplicated.tolist(),
            plan.swapped.tolist(),
            plan.delay_ns.tolist(),
            strict=True,
        )
    ]
    for order in (range(300), range(299, -1, -1), [7 * k % 300 for k in range(300)]):
        rows = SentRows(PacketAssembler(bins), bins.read(50, 350), 2, applied)
        for row in order:
            assert (rows.packet(row, 0).spike_counts == counts[row]).all()
            assert rows.fault(row) == faults[row]


# --- Faults of transport -----------------------------------------------------------------------


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


# --- Digests -----------------------------------------------------------------------------------


def digest_of(packets, header):
    digest = hashlib.sha256()
    for packet in packets:
        digest.update(canonical_payload(packet_data(packet, header, 1.5)))
    return digest.hexdigest()


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("perturbation", [EXTREME, NO_PERTURBATION])
async def test_a_digest_is_that_of_what_is_sent(perturbation, in_memory):
    bins = named_bins(400, in_memory=in_memory)
    parts = make_parts(bins, clock=TrioClock())
    limiter = trio.CapacityLimiter(1)
    applied = apply_perturbation(perturbation, 7, bins)
    with trio.fail_after(60):
        session = Session("test", parts, Fraction(100), perturbation=perturbation, seed=7)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            enough = trio.Event()
            sink = listen(session, on_offer=lambda r: r.packet.loop == 2 and enough.set())
            part = listen(session, Filter(target_id=0))
            await enough.wait()
            session.close(1001, "over")
        whole, filtered = session.main.playhead.selection, part.packets
        for loop in (0, 1):
            sent = [packet for packet in sink.packets if packet.loop == loop]
            assert len(sent) == 400
            for start, stop in ((0, 400), (37, 250), (399, 400)):
                runs = runs_within(whole, start, stop)
                got = await payload_digest(parts, applied, runs, loop, limiter)
                assert got == digest_of(sent[start:stop], parts.encoders.header)
            runs = list(bins.trials.ranges(Filter(target_id=0), bins.grid))
            mine = [packet for packet in filtered if packet.loop == loop]
            assert len(mine) == 80
            got = await payload_digest(parts, applied, runs, loop, limiter)
            assert got == digest_of(mine, parts.encoders.header)


async def test_a_digest_of_too_much_is_refused():
    bins = named_bins()
    runs = [(0, MAX_DIGEST_PACKETS + 1)]
    with pytest.raises(InvalidParameterError, match=r"65537 packets, takes at most 65536"):
        await payload_digest(make_parts(bins), None, runs, 0, trio.CapacityLimiter(1))


async def test_ticks_go_on_while_a_digest_is_computed(autojump_clock):
    bins = named_bins(2000, in_memory=False)
    async with running(bins, perturbation=EXTREME) as session:
        sink = listen(session)
        await payload_digest(
            session.parts, session.applied, [(0, 2000)], 0, trio.CapacityLimiter(1)
        )
        await trio.sleep(0.5)
        assert_as_expected(sink.packets, bins, EXTREME, 7)
