"""What is read ahead of a playhead: how much at a time, in which thread, and until when."""

from fractions import Fraction

import pytest
import trio

from phantomlink.engine.prefetch import BlockReader, prefetch
from phantomlink.engine.selection import Selection
from phantomlink.engine.session import Session
from phantomlink.errors import RecordingError
from tests.fakes import FakeFile, NamedBins, VirtualSupply, listen, make_parts, playing


@pytest.fixture
def reader():
    """Of a recording that lies in memory."""
    return BlockReader(NamedBins(), trio.CapacityLimiter(1))


def first_bins(blocks):
    return [(block.start, len(block.counts)) for block in blocks]


async def read_ahead(reader, selection, position, **kwargs):
    """What comes until the channel is closed, at most five blocks."""
    send, receive = trio.open_memory_channel(0)
    blocks = []
    # On virtual time, at once, where nothing comes.
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def fill():
                await prefetch(reader, selection, position, send, **kwargs)

            nursery.start_soon(fill)
            async for block in receive:
                blocks.append(block)
                if len(blocks) == 5:
                    break
            nursery.cancel_scope.cancel()
    return first_bins(blocks)


@pytest.mark.parametrize(
    ("n_units", "rate_hz", "n_bins"),
    [
        (3, Fraction(40), 40),
        (3, Fraction(81, 2), 40),
        # At least one bin, however slow or wide.
        (3, Fraction(1, 10), 1),
        (1 << 21, Fraction(40), 1),
        # 2**20 counts at most.
        (1 << 16, Fraction(40), 16),
        (1 << 10, Fraction(10_000), 1 << 10),
        (1000, Fraction(10_000), 1048),
    ],
)
def test_a_block_is_a_second_and_bounded(n_units, rate_hz, n_bins):
    bins = NamedBins()
    bins.unit_ids = range(n_units)
    assert BlockReader(bins, trio.CapacityLimiter(1)).block_bins(rate_hz) == n_bins


def test_what_lies_in_memory_needs_no_waiting(reader):
    assert reader.read_nowait(3, 7).start == 3
    assert reader.bins.reads == [(3, 7)]


def test_what_lies_in_a_file_is_not_read_at_once():
    bins = NamedBins(in_memory=False)
    assert BlockReader(bins, trio.CapacityLimiter(1)).read_nowait(3, 7) is None
    assert bins.reads == []


@pytest.mark.parametrize("how", ["read", "read_patiently"])
@pytest.mark.parametrize("in_memory", [True, False])
async def test_both_ways_read_the_bins_that_were_asked_for(how, in_memory):
    reader = BlockReader(NamedBins(in_memory=in_memory), trio.CapacityLimiter(1))
    with trio.fail_after(20):
        block = await getattr(reader, how)(3, 7)
    assert block.counts[:, 0].tolist() == [3, 4, 5, 6]


async def test_reading_from_memory_lets_others_run_and_takes_no_thread(reader):
    limiter = trio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody who reads")
    reader = BlockReader(NamedBins(), limiter)
    with trio.fail_after(20), trio.testing.assert_checkpoints():
        await reader.read(0, 1)


async def test_a_read_waits_for_the_others_of_its_recording():
    limiter = trio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody who reads")
    reader = BlockReader(NamedBins(in_memory=False), limiter)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.read, 0, 1)
            await trio.testing.wait_all_tasks_blocked()
            assert reader.bins.reads == []
            limiter.release_on_behalf_of("somebody who reads")
    assert reader.bins.reads == [(0, 1)]


async def test_only_the_patient_wait_for_a_file_that_comes_back(autojump_clock):
    file = FakeFile()
    file.lost = "it is gone"
    bins = NamedBins(in_memory=False)
    bins.fails = True
    recovery = VirtualSupply(file)
    reader = BlockReader(bins, recovery.limiter, recovery)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recovery.run)
        with pytest.raises(RecordingError):
            await reader.read(0, 1)
        with trio.move_on_after(60) as patience:
            await reader.read_patiently(0, 1)
        assert patience.cancelled_caught
        nursery.cancel_scope.cancel()


async def test_runs_follow_one_another_and_the_end_closes(autojump_clock, reader):
    selection = Selection([(10, 15), (100, 103)])
    found = await read_ahead(reader, selection, 2, block_bins=2, loop=False)
    assert found == [(12, 2), (14, 1), (100, 2), (102, 1)]


async def test_with_a_loop_the_first_comes_after_the_last(autojump_clock, reader):
    found = await read_ahead(reader, Selection([(10, 13)]), 2, block_bins=10, loop=True)
    assert found == [(12, 1), (10, 3), (10, 3), (10, 3), (10, 3)]


async def test_it_waits_where_nobody_takes_what_it_read(reader):
    send, receive = trio.open_memory_channel(1)
    async with trio.open_nursery() as nursery:

        async def fill():
            await prefetch(reader, Selection([(0, 400)]), 0, send, block_bins=10, loop=True)

        nursery.start_soon(fill)
        await trio.testing.wait_all_tasks_blocked()
        # One in the channel, one in hand.
        assert reader.bins.reads == [(0, 10), (10, 20)]
        with trio.fail_after(20):
            assert (await receive.receive()).start == 0
        await trio.testing.wait_all_tasks_blocked()
        assert reader.bins.reads == [(0, 10), (10, 20), (20, 30)]
        nursery.cancel_scope.cancel()


async def test_a_failed_read_is_told_and_nothing_stands_in_for_it(reader):
    send, receive = trio.open_memory_channel(1)
    reader.bins.fails = True
    with pytest.raises(RecordingError, match="the disk is gone"):
        await prefetch(reader, Selection([(0, 400)]), 0, send, block_bins=10, loop=True)
    with trio.fail_after(20), pytest.raises(trio.EndOfChannel):
        await receive.receive()


async def test_while_one_block_is_played_one_waits_and_one_is_read(autojump_clock):
    bins = NamedBins()
    async with playing(Session("test", make_parts(bins))) as session:
        listen(session)
        await trio.sleep(0.01)
        assert bins.reads == [(0, 40), (40, 80), (80, 120)]
