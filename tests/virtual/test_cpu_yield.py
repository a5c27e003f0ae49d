"""When a tick lets those whom it has sent something have the CPU."""

import pytest
import trio

from phantomlink.engine.registry import Registry
from tests.fakes import NamedBins, VirtualClock, listen, make_parts


class PoliteClock(VirtualClock):
    """Writes down when it gives way."""

    def __init__(self):
        self.order = []

    def yield_cpu(self, *, others_wait=True):
        self.order.append("way" if others_wait else "leisure")


async def two_ticks(rate_hz, is_deferred):
    """What happened in two ticks of a session with three listeners, in order."""
    clock = PoliteClock()
    parts = make_parts(NamedBins(10_000, rate_hz=rate_hz), clock=clock)
    registry = Registry(lambda: parts, max_sessions=1, ttl_seconds=100.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(registry.run)
        session, _ = registry.create("a")
        for name, last in zip("abc", is_deferred, strict=True):
            listener = listen(session, is_deferred=last)
            listener.on_offer = lambda _, name=name: clock.order.append(name)
        await trio.sleep(1.5 / rate_hz)
        registry.close()
        nursery.cancel_scope.cancel()
    assert len(clock.order) % 2 == 0
    middle = len(clock.order) // 2
    assert clock.order[:middle] == clock.order[middle:]
    return clock.order[:middle]


@pytest.mark.parametrize(
    ("rate_hz", "is_deferred", "order"),
    [
        (40, (False, False, False), ["a", "way", "b", "way", "c", "leisure"]),
        (40, (True, False, False), ["b", "way", "c", "leisure", "a"]),
        (40, (False, True, True), ["a", "leisure", "b", "c"]),
        (40, (True, True, True), ["a", "b", "c"]),
        (1000, (False, False, False), ["a", "way", "b", "way", "c", "leisure"]),
        # So many ticks a second that it would be at the cost of the next ones.
        (2000, (True, False, False), ["b", "c", "a"]),
    ],
)
async def test_whom_a_write_has_woken_reads_before_the_next_one_has_its_packet(
    autojump_clock, rate_hz, is_deferred, order
):
    assert await two_ticks(rate_hz, is_deferred) == order
