"""A process whose lease ends sends nothing more until it is renewed, and then what is due."""

import trio

from phantomlink.close_codes import CLOSE_MOVED, CLOSE_NOT_HERE
from phantomlink.engine.fence import Fence
from phantomlink.engine.registry import Registry
from phantomlink.engine.session import Session
from phantomlink.perturbation import NO_PERTURBATION
from tests.fakes import NamedBins, StallingClock, VirtualClock, listen, make_parts, playing

S = 1_000_000_000


def running(fence, clock=None):
    clock = clock or VirtualClock()
    parts = make_parts(NamedBins(), has_records=True, fence=fence, clock=clock)
    return playing(Session("test", parts))


async def test_nothing_leaves_behind_the_fence_and_then_what_is_due(autojump_clock):
    fence, clock = Fence(), VirtualClock()
    start_ns = clock.now_ns()
    fence.move(start_ns + 1 * S)
    async with running(fence, clock) as session:
        sink = listen(session)
        await trio.sleep(3)
        assert 39 <= len(sink.packets) <= 41
        assert all(deadline <= start_ns + S for deadline in sink.deadlines)
        fence.move(start_ns + 10 * S)
        await trio.sleep(1)
    first = sink.deadlines[0]
    assert sink.deadlines == [first + k * 25_000_000 for k in sink.sequence]
    assert sink.ids == sink.sequence
    jumps = [b - a for a, b in zip(sink.sequence, sink.sequence[1:], strict=False) if b - a != 1]
    assert len(jumps) == 1
    assert 78 <= jumps[0] <= 82


async def test_a_fence_that_moves_in_time_is_not_noticed(autojump_clock):
    fence, clock = Fence(), VirtualClock()
    fence.move(clock.now_ns() + S)
    async with running(fence, clock) as session:
        sink = listen(session)
        for _ in range(20):
            await trio.sleep(0.25)
            fence.move(clock.now_ns() + S)
    assert len(sink.packets) >= 199
    assert sink.sequence == list(range(len(sink.sequence)))


async def test_what_is_due_at_the_fence_leaves(autojump_clock):
    fence, clock = Fence(), VirtualClock()
    fence.move(clock.now_ns() + 100_000_000)
    async with running(fence, clock) as session:
        sink = listen(session)
        await trio.sleep(2)
    assert sink.deadlines[-1] == fence.until_ns
    assert len(sink.packets) == 5


async def test_what_was_frozen_sends_nothing_though_its_tick_was_waited_for(autojump_clock):
    # Frozen for less than a stall: no skipping hides what the fence has to stop.
    fence, clock = Fence(), StallingClock(10, 0.09)
    start_ns = clock.now_ns()
    async with running(fence, clock) as session:
        fence.move(start_ns + S)
        sink = listen(session)
        await trio.sleep(0.2)
        sent = len(sink.packets)
        fence.move(clock.now_ns() + 60_000_000)
        until_ns = fence.until_ns
        await trio.sleep(2)
        assert sent == len(sink.packets) == 9
        assert all(int(at * S) <= until_ns for at in sink.times)


async def test_a_session_that_another_node_has_ends_with_what_clients_need(autojump_clock, nursery):
    parts = make_parts(NamedBins())
    registry = Registry(
        lambda: parts, max_sessions=9, ttl_seconds=3600, perturbation=NO_PERTURBATION, seed=0
    )
    await nursery.start(registry.run)
    url = "ws://node/stream/"
    ends = {}
    for code, moved_to in (("a", None), ("b", url + "b"), ("c", url + "x" * 200)):
        session, _ = registry.create(code)
        sink = listen(session)
        registry.give_up(code, moved_to)
        ends[code] = sink.ended
        assert registry.find(code) is None
    registry.give_up("nobody", None)
    assert ends["a"] == (CLOSE_NOT_HERE, "this node may no longer serve the session")
    assert ends["b"] == (CLOSE_MOVED, url + "b")
    assert ends["c"] == (CLOSE_MOVED, "")
