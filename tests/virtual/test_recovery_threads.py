"""Reads that hang in real threads: in real time, and asserting nothing of it."""

import threading

import pytest
import trio

from phantomlink.engine.prefetch import BlockReader
from phantomlink.engine.recording_recovery import RecordingRecovery
from tests.fakes import FakeFile, NamedBins


class HangingBins(NamedBins):
    """The first read hangs until it is let go."""

    def __init__(self):
        super().__init__(in_memory=False)
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def read(self, start, stop):
        if not self.entered.is_set():
            self.entered.set()
            assert self.let_go.wait(20)
        return super().read(start, stop)


@pytest.fixture
def bins():
    made = HangingBins()
    yield made
    made.let_go.set()


async def test_who_does_not_want_a_read_any_more_does_not_wait_for_its_thread(bins):
    limiter = trio.CapacityLimiter(1)
    reader = BlockReader(bins, limiter, RecordingRecovery(FakeFile(), limiter))
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.read_patiently, 0, 40)
            await trio.to_thread.run_sync(bins.entered.wait)
            nursery.cancel_scope.cancel()
        assert limiter.borrowed_tokens == 1, "the thread is still at it: nobody reads beside it"
        bins.let_go.set()
        block = await reader.read_patiently(40, 80)
    assert block.counts[0, 0] == 40
    assert limiter.borrowed_tokens == 0


async def read(reader, scope):
    with scope:
        await reader.read_patiently(0, 40)


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_another_may_read_when_one_hangs_for_long(bins, monkeypatch, is_wanted):
    monkeypatch.setattr("phantomlink.engine.recording_recovery.STUCK_SECONDS", 0.3)
    limiter = trio.CapacityLimiter(1)
    recovery = RecordingRecovery(FakeFile(), limiter)
    reader, unwanted = BlockReader(bins, limiter, recovery), trio.CancelScope()
    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(recovery.run)
            nursery.start_soon(read, reader, unwanted)
            await trio.to_thread.run_sync(bins.entered.wait)
            if not is_wanted:
                # Its thread hangs all the same.
                unwanted.cancel()
            block = await reader.read_patiently(40, 80)
            assert block.counts[0, 0] == 40
            assert not bins.let_go.is_set()
            bins.let_go.set()
            while limiter.total_tokens > 1:  # noqa: ASYNC110 - nobody is told of it
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
