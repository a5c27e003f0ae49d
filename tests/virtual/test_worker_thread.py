"""What needs a thread, while the system has none left."""

import threading

import pytest
import trio

from phantomlink.errors import ThreadLimitError
from phantomlink.scheduling.worker_thread import run_in_thread, run_in_thread_patiently


@pytest.fixture
def no_threads(monkeypatch):
    """Refuse new threads, as Python does when the system has; those of before may be there."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        # All idle ones of Trio's are taken by what is busy in the tests.
        patch.setattr("trio._core._thread_cache.THREAD_CACHE._idle_workers", {})
        patch.setattr(threading.Thread, "start", refuse)
        yield patch


async def test_who_asks_is_told(no_threads):
    limiter, called = trio.CapacityLimiter(1), []
    with pytest.raises(ThreadLimitError, match="no thread can be started"):
        await run_in_thread(called.append, 1, limiter=limiter)
    assert (called, limiter.borrowed_tokens) == ([], 0)
    no_threads.undo()
    await run_in_thread(called.append, 2, limiter=limiter)
    assert called == [2]


async def test_what_nobody_waits_for_waits_and_says_so_once_a_minute(
    no_threads, autojump_clock, caplog
):
    called = []
    async with trio.open_nursery() as nursery:
        for n in range(3):
            nursery.start_soon(run_in_thread_patiently, called.append, n)
        await trio.sleep(150)
        assert called == []
        no_threads.undo()
    assert sorted(called) == [0, 1, 2]
    # Once a minute, however many they are.
    assert caplog.text.count("no thread can be started") == 3


async def test_a_cancelled_one_that_waits_never_calls(no_threads, autojump_clock):
    called = []
    with trio.move_on_after(5):
        await run_in_thread_patiently(called.append, 1)
    no_threads.undo()
    await trio.sleep(5)
    assert called == []


@pytest.mark.parametrize("run", [run_in_thread, run_in_thread_patiently])
async def test_an_error_of_the_call_itself_is_its_own(run):
    def fail():
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        await run(fail)
