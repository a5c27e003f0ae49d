"""Time that stands still while the process does."""

import time

import pytest
import trio

from phantomlink.scheduling.running_time import (
    BEAT_SECONDS,
    MOST_SECONDS,
    RunningClock,
    RunningTime,
    StallGrace,
    keep_running_time,
    running_seconds,
    sleep_until_running,
)


class Wall:
    """A clock that is set by hand."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def test_a_stall_counts_as_no_more_than_a_late_beat():
    wall = Wall()
    running = RunningTime(wall)
    wall.seconds += 7  # nobody keeps it yet
    assert running.now() == 107.0
    running.beat()
    for _ in range(3):
        wall.seconds += 0.2  # a busy loop
        running.beat()
    assert running.now() == pytest.approx(107.6)
    wall.seconds += 3  # stopped
    assert running.now() == pytest.approx(107.6 + MOST_SECONDS)
    # Nobody can tell before the beat, nor does it jump with it.
    running.beat()
    assert running.now() == pytest.approx(107.6 + MOST_SECONDS)
    wall.seconds += 0.1
    assert running.now() == pytest.approx(107.7 + MOST_SECONDS)
    running.stop()
    wall.seconds += 3
    assert running.now() == pytest.approx(110.7 + MOST_SECONDS)


def test_after_a_stall_nothing_is_judged_for_a_while():
    wall, running = Wall(), Wall()
    grace = StallGrace(2.0, running)

    def passes(seconds, running_seconds):
        wall.seconds += seconds
        running.seconds += running_seconds
        return grace.is_over(wall.seconds)

    assert passes(0, 0)
    assert passes(1, 1)
    assert passes(1.4, 1)  # a busy loop
    assert not passes(3, MOST_SECONDS)  # stopped
    assert not passes(1, 1)
    assert not passes(3, MOST_SECONDS)  # and again
    assert not passes(1, 1)
    assert passes(1, 1)


class StallingClock(RunningClock):
    """A process whose clock jumps, as it does for one that was stopped."""

    def __init__(self):
        super().__init__()
        self.stalled = 0.0
        self.running = RunningTime(lambda: time.monotonic() + self.stalled)


async def answers_in_time(clock, limit_seconds, *, judge):
    """Whether one who answers at once is in time although everything stops in between."""
    answered = trio.Event()
    asked, told = trio.open_memory_channel(1)

    async def answer():
        async for _ in told:
            # By way of a few tasks, as bytes that are read, parsed and passed on.
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            answered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_running_time)
        nursery.start_soon(answer)
        await trio.sleep(2 * BEAT_SECONDS)
        in_time = await judge(clock, asked, answered, limit_seconds)
        nursery.cancel_scope.cancel()
    return in_time


async def by_scope(clock, asked, answered, limit_seconds):
    with trio.move_on_after(limit_seconds) as scope:
        clock.stalled += 10
        await asked.send(None)
        await answered.wait()
    return not scope.cancelled_caught


async def by_asking(clock, asked, answered, limit_seconds):
    due = running_seconds() + limit_seconds
    clock.stalled += 10
    await asked.send(None)
    await sleep_until_running(due)
    return answered.is_set()


@pytest.mark.parametrize("judge", [by_scope, by_asking])
def test_every_timeout_of_a_run_waits_for_what_was_pending(judge):
    clock = StallingClock()

    async def main():
        return await answers_in_time(clock, 1.0, judge=judge)

    assert trio.run(main, clock=clock)


async def test_where_nobody_keeps_it_it_is_the_time_of_the_run(autojump_clock):
    before = running_seconds()
    await sleep_until_running(before + 5)
    assert running_seconds() == before + 5 == trio.current_time()
