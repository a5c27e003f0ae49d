"""Long work on the loop: when it is time to let the others have a turn."""

import pytest
import trio
import trio.testing

from phantomlink.scheduling import loop_budget
from phantomlink.scheduling.loop_budget import LONGEST_NS, LoopBudget, after_late_ticks


@pytest.fixture
def now(monkeypatch):
    """A clock of ns that stands still; its one item is the time."""
    time_ns = [1_000]
    monkeypatch.setattr(loop_budget, "_monotonic_ns", lambda: time_ns[0])
    return time_ns


async def test_it_is_over_when_it_has_taken_long_and_ends_with_a_checkpoint(now):
    mine = LoopBudget()
    assert not mine.is_over
    now[0] += LONGEST_NS - 1
    assert not mine.is_over
    now[0] += 1
    assert mine.is_over
    for end in (mine.end, mine.end_after_late_ticks):
        with trio.testing.assert_checkpoints():
            await end()
        assert not mine.is_over
        now[0] += LONGEST_NS
        assert mine.is_over


async def test_what_the_others_take_does_not_count(now):
    class Others(trio.abc.Instrument):
        def after_task_step(self, task):
            now[0] += 10 * LONGEST_NS

    mine, others = LoopBudget(), Others()
    trio.lowlevel.add_instrument(others)
    await mine.end()
    trio.lowlevel.remove_instrument(others)
    assert not mine.is_over


class Turns(trio.abc.Instrument):
    """Makes the turns of the loop take as long as told, and counts them."""

    def __init__(self, now, turns_ns):
        self.n = 0
        self._now = now
        self._turns_ns = turns_ns

    def after_io_wait(self, timeout):
        self._now[0] += self._turns_ns[min(self.n, len(self._turns_ns) - 1)]
        self.n += 1


@pytest.mark.parametrize(
    ("turns_ns", "expected"), [([10_000], 1), ([2 * 10**6] * 3 + [10_000], 4), ([2 * 10**6], 8)]
)
async def test_what_can_wait_comes_after_ticks_that_are_late_but_not_never(now, turns_ns, expected):
    turns = Turns(now, turns_ns)
    trio.lowlevel.add_instrument(turns)
    await after_late_ticks()
    trio.lowlevel.remove_instrument(turns)
    assert turns.n == expected
