"""What was opened together does not expire together."""

import trio

from phantomlink.scheduling.spreading import SpreadRounds, spread_seconds


def test_a_thousand_deadlines_lie_apart_and_none_is_early():
    deadlines = sorted(spread_seconds(10.0) for _ in range(1000))
    assert deadlines[0] >= 10.0
    assert deadlines[-1] <= 11.0
    # In no hundredth of a second are there more than a few.
    most = max(
        sum(start <= each < start + 0.01 for each in deadlines)
        for start in (10 + k / 100 for k in range(100))
    )
    assert most <= 13


async def test_so_many_silent_connections_end_one_after_the_other(autojump_clock):
    ended = []

    async def connection():
        with trio.move_on_after(spread_seconds(10.0)):
            await trio.sleep_forever()
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(connection)
    assert max(ended.count(at) for at in ended) <= 2


def test_rounds_of_many_come_one_after_the_other_and_none_is_left_out():
    many = [SpreadRounds() for _ in range(100)]
    times = []
    for rounds in many:
        now = 1000.25
        for _ in range(3):
            now += rounds.seconds_to_next(now, 1.0)
            times.append(now)
    assert all(1000.26 < at < 1003.27 for at in times)
    for start in (1000.5 + k / 50 for k in range(100)):
        assert sum(start <= at < start + 0.02 for at in times) <= 4
