"""When a lost recording is looked for, and what is said of reads that take long: virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio

from phantomlink.engine.recording_recovery import MOST_STUCK
from phantomlink.errors import RecordingError
from tests.fakes import FakeFile, VirtualSupply

LOST = RecordingError("the disk is gone")


class File(FakeFile):
    """Writes down when it was to be opened again; nothing that it says is said twice alike."""

    def __init__(self):
        super().__init__()
        self.tried_at, self.looked_at = [], []

    def reopen(self, sha256):
        assert sha256 == "ab" * 32
        self.tried_at.append(trio.current_time())
        super().reopen(sha256)

    def check(self):
        self.looked_at.append(trio.current_time())
        super().check()

    def whereabouts(self):
        return self.moved and self.moved[:1] + self.moved[1:]


class SlowSupply(VirtualSupply):
    """Every read takes so long."""

    takes_seconds = 0.0

    async def _call(self, read, work):
        await trio.sleep(self.takes_seconds)
        return await super()._call(read, work)


@asynccontextmanager
async def looked_after():
    """A recovery and its file, from time 0 on."""
    recovery = SlowSupply(File())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recovery.run)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == 0
        yield recovery, recovery._recording, nursery
        nursery.cancel_scope.cancel()


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


def hang(recovery, nursery, work=lambda: None):
    """Begin a read that comes back when what is returned is set."""
    stall = trio.Event()

    async def read():
        recovery.stall = stall
        await recovery.read(work, patiently=True)

    nursery.start_soon(read)
    return stall


@pytest.mark.parametrize(
    ("takes_seconds", "pauses"),
    [
        (0.0, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]),
        # A fifth of the time at most.
        (0.3, [0.1, 1.5, 2.0, 2.0]),
        (1.0, [0.1, 5.0, 5.0]),
        # But not for ever.
        (30.0, [0.1, 10.0, 10.0]),
    ],
)
async def test_it_is_looked_for_at_once_then_less_often(autojump_clock, takes_seconds, pauses):
    async with looked_after() as (recovery, file, _):
        file.lost = "FILE: no such file"
        recovery.takes_seconds = takes_seconds
        recovery.failed(LOST, file.check)
        await trio.sleep(sum(pauses) + len(pauses) * takes_seconds + 0.01)
        begun = [-takes_seconds, *(at - takes_seconds for at in file.tried_at)]
        assert [b - a - takes_seconds for a, b in pairwise(begun)] == pytest.approx(pauses)


async def test_each_loss_is_looked_for_at_once_and_told_with_how_long_it_took(
    autojump_clock, caplog
):
    async with looked_after() as (recovery, file, _):
        for seconds, said in ((0.05, "0.1"), (3.05, "3.1")):
            lost_at = trio.current_time()
            file.lost = "FILE: no such file"
            recovery.failed(LOST, file.check)
            # Others find the same, and it is not another loss.
            recovery.failed(RecordingError("another reason"), file.check)
            assert recovery.lost == "the disk is gone"
            await trio.sleep(seconds)
            file.lost = None
            await trio.sleep(5)
            assert recovery.lost is None
            assert min(at for at in file.tried_at if at > lost_at) == pytest.approx(lost_at + 0.1)
            back = [line for line in warnings(caplog) if "can be read again" in line]
            assert back[-1] == f"The recording can be read again, after {said} s"
        assert len(back) == 2


@pytest.mark.parametrize("reasons", [["a", "b"], ["b", "a"], ["a", "a"]])
async def test_another_reason_is_told_whatever_it_is(autojump_clock, caplog, reasons):
    async with looked_after() as (recovery, file, _):
        for reason in reasons:
            file.lost = reason
            recovery.failed(LOST, file.check)
            await trio.sleep(5)
            assert recovery.lost == reason
    said = [f"The recording still cannot be read: {reason}" for reason in dict.fromkeys(reasons)]
    assert warnings(caplog)[1:] == said


async def test_a_read_is_slow_when_it_takes_longer_than_a_second(autojump_clock, caplog):
    async with looked_after() as (recovery, _, nursery):
        # Late enough that a time is no age.
        await trio.sleep(20.1)
        stall = hang(recovery, nursery)
        # It is first seen at 20.25.
        await trio.sleep(1.3)
        assert recovery.reason is None, "a second is not longer than a second"
        await trio.sleep(0.2)
        assert recovery.reason == "a read of the recording takes longer than 1 s"
        assert recovery.lost is None
        await trio.sleep(3)
        stall.set()
        recovery.stall = None
        await trio.sleep(0.3)
        assert recovery.reason is None
    assert warnings(caplog) == [
        "The recording is slow: a read of the recording takes longer than 1 s",
        "The slow read has come back, after 3.2 s more",
    ]


async def test_many_short_reads_are_not_one_that_is_slow(autojump_clock, caplog):
    async with looked_after() as (recovery, _, nursery):
        for _ in range(30):
            stall = hang(recovery, nursery)
            await trio.sleep(0.99)
            stall.set()
            await trio.testing.wait_all_tasks_blocked()
            assert recovery.limiter.total_tokens == 1
    assert warnings(caplog) == []


async def test_beside_reads_that_hang_a_few_others_may_read_and_no_more(autojump_clock):
    async with looked_after() as (recovery, _, nursery):
        await trio.sleep(20.1)
        stalls, allowed = [], []
        for _ in range(MOST_STUCK + 2):
            stalls.append(hang(recovery, nursery))
            await trio.sleep(10.3)
            assert recovery.limiter.total_tokens == (allowed or [1])[-1]
            await trio.sleep(0.2)
            allowed.append(recovery.limiter.total_tokens)
        assert allowed == [2, 3, 4, 4, 4]
        for stall in stalls:
            stall.set()
        recovery.stall = None
        await trio.sleep(0.3)
        assert recovery.limiter.total_tokens == 1
        assert recovery.reason is None


async def lose_and_find(recovery, file):
    """While something hangs that began before: after 10 s another may read."""
    await trio.sleep(11)
    recovery.stall = None
    recovery.failed(LOST, file.check)
    await trio.sleep(1)
    assert recovery.lost is None


async def test_a_read_that_fails_in_what_is_open_no_more_says_nothing_of_what_is(
    autojump_clock, caplog
):
    async with looked_after() as (recovery, file, nursery):
        results = [LOST, None]

        def work():
            if error := results.pop(0):
                raise error

        stall = hang(recovery, nursery, work)
        await lose_and_find(recovery, file)
        n = len(warnings(caplog))
        stall.set()
        await trio.sleep(0.3)
        assert results == [], "it was read once more"
        assert recovery.lost is None
        assert not [line for line in warnings(caplog)[n:] if "cannot be read" in line]


async def test_a_look_at_a_file_that_is_open_no_more_says_nothing_of_what_is(
    autojump_clock, caplog
):
    async with looked_after() as (recovery, file, _):
        recovery.stall = stall = trio.Event()
        await trio.sleep(2.1)
        # Only the look that hangs will see it.
        looks = [LOST]
        probe, file.check = file.check, lambda: None
        await lose_and_find(recovery, file)

        def check():
            if looks:
                raise looks.pop()
            probe()

        file.check = check
        stall.set()
        await trio.sleep(0.3)
        assert looks == []
        assert recovery.lost is None
        assert len([line for line in warnings(caplog) if "cannot be read:" in line]) == 1


async def test_a_file_that_moves_is_told_of_once_each_time(autojump_clock, caplog):
    async with looked_after() as (_, file, _):
        for place in ("was deleted", None, "was deleted", "is another one"):
            file.moved = place
            await trio.sleep(7)
    assert [line.split(";")[0] for line in warnings(caplog)] == [
        "The recording's file was deleted",
        "The recording's file was deleted",
        "The recording's file is another one",
    ]


async def test_the_file_is_looked_at_every_two_seconds_while_it_can_be_read(autojump_clock):
    async with looked_after() as (recovery, file, nursery):
        await trio.sleep(5.4)
        recovery.failed(LOST, lambda: None)
        file.lost = "FILE: no such file"
        await trio.sleep(10)
        file.lost = None
        await trio.sleep(5)
        stall = hang(recovery, nursery)
        await trio.sleep(10)
        recovery.stall = None
        stall.set()
        await trio.sleep(5)
        # It was lost from 5.4 to 16.5, and slow from 21.75 to 30.5.
        assert file.looked_at == [2, 4, 18, 20, 32, 34]


async def test_after_a_loss_all_is_looked_after_as_before(autojump_clock):
    async with looked_after() as (recovery, file, nursery):
        file.lost = "FILE: no such file"
        recovery.failed(LOST, lambda: None)
        await trio.sleep(3)
        file.lost = None
        await trio.sleep(3)
        assert recovery.reason is None
        stall = hang(recovery, nursery)
        await trio.sleep(2)
        assert recovery.reason == "a read of the recording takes longer than 1 s"
        recovery.stall = None
        stall.set()
        await trio.sleep(1)
        for _ in range(2):
            file.damage = file.lost = "FILE: the file was cut"
            await trio.sleep(2.1)
            assert recovery.lost == "FILE: the file was cut"
            file.damage = file.lost = None
            await trio.sleep(5)
            assert recovery.lost is None


async def test_a_read_that_waits_for_another_does_not_hang(autojump_clock):
    async with looked_after() as (recovery, _, nursery):
        await trio.sleep(20.1)
        hang(recovery, nursery)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(10.5):
            await recovery.read(lambda: None, patiently=True)
        assert recovery.limiter.total_tokens == 2, "one hangs"


async def test_who_does_not_wait_for_a_read_any_more_leaves_nothing_behind(autojump_clock):
    async with looked_after() as (recovery, _, nursery):
        hang(recovery, nursery)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(10):
            with trio.move_on_after(0.1):
                await recovery.read(lambda: None, patiently=True)
        await trio.sleep(0.3)
        assert len(recovery._reads) == 1
