"""Long work on the loop: when it is time to let the others have a turn."""

import pytest
import trio
import trio.testing

from phantomlink.scheduling import loop_budget
from phantomlink.scheduling.loop_budget import LONGEST_NS, LoopBudget


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
    with trio.testing.assert_checkpoints():
        await mine.end()
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
