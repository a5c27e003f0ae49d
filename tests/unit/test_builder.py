"""What a builder builds, skips and waits for, from blocks that a test sends."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import trio
import trio.testing

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.builder import PacketBuilder
from phantomlink.engine.fanout import Release
from phantomlink.engine.selection import Playhead, Selection
from phantomlink.engine.timing import TimingCounters
from tests.fakes import NamedBins

AHEAD = 5


class Depths(TimingCounters):
    """What is told of how much is ahead, in order."""

    def __init__(self):
        super().__init__()
        self.told = []

    def depth(self, bins_ahead):
        self.told.append(bins_ahead)


class Rig:
    """A builder over bins that name themselves, and the channel that its blocks come from."""

    def __init__(self, n_bins=400, *, at=0, first=0, loop=0, until=None, blocks=200):
        self.bins = NamedBins(n_bins)
        self.head = Playhead(Selection([(0, n_bins)]), at)
        self.head.sequence_number, self.head.loop = first, loop
        self.blocks, receive = trio.open_memory_channel(blocks)
        self.timing = Depths()
        self.dry = []
        self.made = []
        self.builder = PacketBuilder(
            self.head,
            receive,
            self.build,
            self.timing,
            self.running_dry,
            assembler=PacketAssembler(self.bins),
            applied=None,
            until=until,
        )

    def build(self, rows, row, sequence_number):
        release = Release(rows.packet(row, sequence_number), None)
        self.made.append(release.packet.packet_id)
        return release

    @contextmanager
    def running_dry(self):
        self.dry.append("dry")
        try:
            yield
        finally:
            self.dry.append("over")

    def send(self, start, stop):
        self.blocks.send_nowait(self.bins.read(start, stop))

    def take(self, n):
        """The tick lets so many leave: (loop, packet, number) of each."""
        left = [self.builder.built.popleft().packet for _ in range(n)]
        return [(p.loop, p.packet_id, p.sequence_number) for p in left]

    @property
    def ready(self):
        return [release.packet.packet_id for release in self.builder.built]


def expected(n, *, at=0, first=0, loop=0, length=400):
    return [(loop + (at + k) // length, (at + k) % length, first + k) for k in range(n)]


async def test_five_are_built_when_one_is_left_and_none_before():
    rig = Rig()
    rig.send(0, 40)
    assert rig.builder.is_low
    await rig.builder.fill()
    assert rig.ready == [0, 1, 2, 3, 4]
    for left in (4, 3, 2):
        assert rig.take(1) == expected(1, at=AHEAD - 1 - left, first=AHEAD - 1 - left)
        assert not rig.builder.is_low
        await rig.builder.fill()
        assert len(rig.ready) == left
    rig.take(1)
    assert rig.builder.is_low
    await rig.builder.fill()
    assert rig.ready == [4, 5, 6, 7, 8]
    assert rig.made == list(range(9)), "each is built once"


@pytest.mark.parametrize(("at", "first", "loop"), [(0, 0, 0), (30, 7, 3), (39, 100, 0)])
@pytest.mark.parametrize("block", [1, 3, 7, 40])
async def test_packets_follow_each_other_across_blocks_and_loops(at, first, loop, block):
    rig = Rig(40, at=at, first=first, loop=loop)
    starts = [*range(at, 40, block), *range(0, 40, block), *range(0, 40, block)]
    for start in starts:
        rig.send(start, min(start + block, 40))
    found = []
    while len(found) < 60:
        await rig.builder.fill()
        assert 1 <= len(rig.ready) <= AHEAD
        found += rig.take(1)
    assert found == expected(60, at=at, first=first, loop=loop, length=40)
    assert rig.head.sequence_number == first, "the playhead advances as they leave, not here"


@pytest.mark.parametrize("until", [1, 4, 5, 6, 11])
async def test_nothing_is_built_from_a_sequence_number_on(until):
    rig = Rig(first=20, until=20 + until)
    rig.send(0, 40)
    found = []
    for _ in range(20):
        await rig.builder.fill()
        found += rig.take(min(len(rig.ready), 1))
    assert found == expected(until, first=20)


async def test_it_waits_for_a_block_only_when_there_is_nothing_to_send():
    rig = Rig()
    rig.send(0, 3)
    await rig.builder.fill()
    assert (rig.ready, rig.builder.waited, rig.dry) == ([0, 1, 2], False, [])
    rig.take(2)
    with trio.fail_after(0):
        await rig.builder.fill()
    assert (rig.ready, rig.builder.waited, rig.dry) == ([2], False, [])
    rig.take(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.builder.fill)
        await trio.testing.wait_all_tasks_blocked()
        assert (rig.builder.waited, rig.dry) == (True, ["dry"])
        rig.send(3, 40)
    assert (rig.ready, rig.builder.waited, rig.dry) == ([3, 4, 5, 6, 7], True, ["dry", "over"])
    await rig.builder.fill()
    assert not rig.builder.waited, "of the last time only"


@pytest.mark.parametrize("is_waiting", [False, True])
async def test_the_end_of_the_blocks_is_the_end(is_waiting):
    rig = Rig()
    rig.send(0, 3)
    await rig.builder.fill()
    rig.take(3)
    async with trio.open_nursery() as nursery:
        if is_waiting:
            nursery.start_soon(rig.builder.fill)
            await trio.testing.wait_all_tasks_blocked()
        rig.blocks.close()
    await rig.builder.fill()
    assert rig.ready == []
    assert not rig.builder.waited


async def test_how_much_is_ahead_is_told_when_a_block_has_been_used_up():
    rig = Rig()
    told = rig.timing.told
    rig.send(0, 7)
    await rig.builder.fill()
    assert told == [], "the first block is none that is used up"
    rig.take(4)
    rig.send(7, 20)
    await rig.builder.fill()
    # 4, 5 and 6 are built by then.
    assert told == [3 + 13]
    for _ in range(11):
        rig.take(1)
        await rig.builder.fill()
    assert told == [16]
    rig.take(len(rig.ready))
    # No block waits.
    await rig.builder.fill()
    assert (rig.ready, told) == ([17, 18, 19], [16, 3])
    rig.take(2)
    await rig.builder.fill()
    assert told == [16, 3, 1]


@pytest.mark.parametrize("n", [0, 1, 4, 5, 6, 20, 35])
async def test_what_is_skipped_is_not_sent_and_what_follows_is(n):
    rig = Rig(400)
    rig.send(0, 40)
    rig.send(40, 80)
    await rig.builder.fill()
    made = len(rig.made)
    assert rig.builder.skip(n)
    found = []
    while len(found) < 30:
        await rig.builder.fill()
        found += rig.take(1)
    assert found == expected(30, at=n, first=n)
    assert rig.made[made] == max(n, AHEAD), "none that is skipped is built"


@pytest.mark.parametrize("n_built", [5, 2])
async def test_what_is_not_read_yet_cannot_be_skipped(n_built):
    rig = Rig(400)
    assert not rig.builder.skip(1)
    rig.send(0, 10)
    await rig.builder.fill()
    rig.take(5 - n_built)
    assert not rig.builder.skip(n_built + 6)
    assert rig.ready == list(range(5 - n_built, 5)), "and nothing has changed"
    assert rig.builder.skip(n_built + 5)
    assert rig.ready == []
    rig.send(10, 20)
    await rig.builder.fill()
    assert rig.take(5) == expected(5, at=10, first=10)


async def test_a_skip_does_not_go_beyond_the_end_of_a_loop():
    rig = Rig(10, at=2)
    rig.send(2, 10)
    await rig.builder.fill()
    assert not rig.builder.skip(8)
    assert rig.builder.skip(7)
    rig.send(0, 10)
    await rig.builder.fill()
    assert rig.take(3) == [(0, 9, 7), (1, 0, 8), (1, 1, 9)]
