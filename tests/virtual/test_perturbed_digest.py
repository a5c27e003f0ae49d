"""Digests on virtual time: of what is sent, of how much, and beside the ticks."""

import hashlib
from fractions import Fraction

import pytest
import trio

from phantomlink.engine.digest import MAX_DIGEST_PACKETS, payload_digest, runs_within
from phantomlink.engine.perturbed import apply_perturbation
from phantomlink.engine.session import Session
from phantomlink.errors import InvalidParameterError
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.recordings.trials import Filter
from phantomlink.wire.canonical import canonical_payload
from phantomlink.wire.packet import packet_data
from tests.fakes import TrioClock, listen, make_parts
from tests.perturbing import EXTREME, assert_as_expected, named_bins, running


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
