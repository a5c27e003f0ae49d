"""Counts of perturbed sessions on virtual time: which packets have which, exactly."""

from fractions import Fraction

import pytest
import trio

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.faults import Fault
from phantomlink.engine.perturbed import SentRows, apply_perturbation
from phantomlink.errors import InvalidParameterError
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import PRESETS, parse_perturbation
from phantomlink.recordings.trials import Filter
from tests.fakes import listen
from tests.perturbing import EXTREME, assert_as_expected, named_bins, running


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
