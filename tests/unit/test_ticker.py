"""The ticks of many, from one task, on a time that stands still unless somebody looks at it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from contextvars import ContextVar

import pytest
import trio
import trio.testing

from phantomlink.scheduling import alarm, spin, ticker
from phantomlink.scheduling.spin import SpinGovernor, WakeMargin
from phantomlink.scheduling.ticker import Ticker
from phantomlink.scheduling.timerfd import Timerfd, timerfd

MS = 1_000_000
START = 1_000 * MS


class FakeTimer:
    """Time goes on by a microsecond at each look, and up to what a timer is armed for at once."""

    def __init__(self):
        self.now = START
        self.armed = []
        self.writing = []
        self.timer = Timerfd(self.create, self.arm)

    def now_ns(self):
        self.now += 1000
        return self.now

    def create(self):
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.writing.append(write)
        return read

    def arm(self, fd, at_ns):
        self.armed.append(at_ns)
        with contextlib.suppress(BlockingIOError):
            os.read(fd, 1)
        if at_ns < ticker._NEVER_NS:
            self.now = max(self.now, at_ns)
            os.write(self.writing[-1], b"!")


@pytest.fixture
def fake(monkeypatch):
    fake = FakeTimer()
    monkeypatch.setattr(ticker, "_monotonic_ns", fake.now_ns)
    monkeypatch.setattr(spin, "_monotonic_ns", fake.now_ns)
    yield fake
    for fd in fake.writing:
        os.close(fd)


@pytest.fixture
def made(fake):
    return Ticker(fake.timer, WakeMargin(), SpinGovernor())


def every(period_ns, times, called, name, took=lambda: None):
    """A tick that is called so many times, and writes down by whom and when."""
    due = None

    def tick(now_ns):
        nonlocal due
        called.append((name, now_ns))
        due = (now_ns if due is None else due) + period_ns
        took()
        return due if sum(by == name for by, _ in called) < times else None

    return tick


async def test_ticks_come_at_their_deadlines_and_in_their_order_whoever_asked_first(made):
    called = []
    due = {"c": START + 7 * MS, "a": START + 2 * MS, "b": START + 2 * MS + 50_000}
    with made.in_use():
        async with trio.open_nursery() as nursery:
            for name, at in due.items():
                nursery.start_soon(made.tick_from, at, every(MS, 1, called, name))
    assert [name for name, _ in called] == ["a", "b", "c"]
    for name, now in called:
        assert 0 <= now - due[name] <= 3000


async def test_what_a_tick_answers_is_when_it_is_called_next(made):
    called = []
    with made.in_use():
        await made.tick_from(START + MS, every(5 * MS, 4, called, "a"))
    times = [now for _, now in called]
    assert len(times) == 4
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx([5 * MS] * 3, abs=3000)


async def test_after_a_stall_those_who_have_waited_longest_come_first(made, fake):
    called = []

    def stall():
        if len(called) == 1:
            fake.now += 30 * MS

    with made.in_use():
        async with trio.open_nursery() as nursery:
            for k in (4, 1, 3, 0, 2):
                tick = every(100 * MS, 1, called, k, stall)
                nursery.start_soon(made.tick_from, START + (1 + k) * MS, tick)
    assert [name for name, _ in called] == [0, 1, 2, 3, 4]


async def test_ticks_that_follow_closely_share_a_wake_up(made, fake):
    called = []
    with made.in_use():
        async with trio.open_nursery() as nursery:
            for k in range(5):
                tick = every(MS, 1, called, k)
                nursery.start_soon(made.tick_from, START + 9 * MS + k * 75_000, tick)
    assert len(called) == 5
    assert len([at for at in fake.armed if START < at < ticker._NEVER_NS]) == 1


async def test_the_margin_is_told_how_much_of_the_share_is_being_spun(made, fake, monkeypatch):
    told = []
    monkeypatch.setattr(WakeMargin, "observe", lambda margin, *observed: told.append(observed))
    made._governor.last_share = made._governor.share / 4
    with made.in_use():
        await made.tick_from(START + 90 * MS, every(MS, 1, [], "a"))
    # A wake-up comes when it was asked for. Looking at the time takes a microsecond: before the
    # task that was woken goes on, and then.
    assert told == [(2000, 0.25)]


async def test_an_earlier_deadline_than_what_it_sleeps_for_is_not_slept_through(made, fake):
    called = []
    margin = made._margin.margin_ns
    with made.in_use():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.tick_from, START + 90 * MS, every(MS, 1, called, "late"))
            await trio.testing.wait_all_tasks_blocked(0.01)
            # Time has run up to the first one's wake-up; a deadline that is past comes at once.
            await made.tick_from(START + 5 * MS, every(MS, 1, called, "early"))
            assert [name for name, _ in called][-1] == "early"
    assert {name for name, _ in called} == {"late", "early"}
    assert START + 90 * MS - margin in fake.armed


@pytest.fixture
def asleep(fake):
    """One that its timer never wakes."""
    return Ticker(Timerfd(fake.create, lambda *_: None), WakeMargin(), SpinGovernor())


async def test_ticks_that_are_due_are_called_within_the_turn_of_a_task_with_much_to_do(
    asleep, fake
):
    called, seen = [], []
    with asleep.in_use():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asleep.tick_from, START + 50 * MS, every(MS, 4, called, "a"))
            await trio.testing.wait_all_tasks_blocked()
            for now_us in (0, 49_000, 50_010, 50_500, 52_020, 60_000):
                fake.now = START + now_us * 1000
                asleep.call_due()
                seen.append(len(called))
            nursery.cancel_scope.cancel()
    # Behind by more than a turn, it is not taken from others.
    assert seen == [0, 0, 1, 1, 3, 3]


async def test_a_tick_does_not_wait_for_all_tasks_that_are_ready(asleep, fake):
    called, seen = [], []

    async def busy():
        for _ in range(4):
            await trio.lowlevel.checkpoint()
            seen.append(len(called))
            fake.now += MS

    with asleep.in_use():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asleep.tick_from, START + MS, every(MS, 99, called, "a"))
            await trio.testing.wait_all_tasks_blocked()
            async with trio.open_nursery() as together:
                for _ in range(3):
                    together.start_soon(busy)
            nursery.cancel_scope.cancel()
    assert seen == list(range(12))


async def test_a_tick_that_raises_fails_its_own_task_alone(made):
    called = []

    def broken(now_ns):
        raise ValueError("broken")

    async def expect_failure():
        with pytest.raises(ValueError, match="broken"):
            await made.tick_from(START + 2 * MS, broken)
        called.append(("failed", 0))

    with made.in_use():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.tick_from, START + MS, every(2 * MS, 5, called, "a"))
            nursery.start_soon(expect_failure)
    assert sorted(name for name, _ in called) == ["a"] * 5 + ["failed"]


async def test_whoever_is_cancelled_by_anothers_tick_is_not_called_any_more(made):
    called, scope = [], trio.CancelScope()

    async def victim():
        with scope:
            await made.tick_from(START + MS + 50_000, every(MS, 9, called, "victim"))

    def kill(now_ns):
        scope.cancel()

    with made.in_use():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(victim)
            nursery.start_soon(made.tick_from, START + MS, kill)
    assert scope.cancelled_caught
    assert called == []


@pytest.mark.parametrize("answer", [START + 2 * MS, None])
async def test_a_tick_that_cancels_its_own_task_is_the_last(made, answer):
    called, scope = [], trio.CancelScope()

    def tick(now_ns):
        called.append(now_ns)
        scope.cancel()
        return answer

    with made.in_use(), scope:
        await made.tick_from(START + MS, tick)
    assert scope.cancelled_caught
    assert len(called) == 1


async def test_a_cancelled_task_never_begins(made):
    called = []
    with made.in_use(), trio.CancelScope() as scope:
        scope.cancel()
        await made.tick_from(START, every(MS, 1, called, "a"))
    assert scope.cancelled_caught
    assert called == []


async def test_others_have_a_turn_although_more_is_due_than_there_is_time_for(made, fake):
    called, seen = [], []

    def a_millisecond():
        fake.now += MS

    async def other():
        while len(called) < 100:
            await trio.lowlevel.checkpoint()
            seen.append(len(called))

    with made.in_use():
        async with trio.open_nursery() as nursery:
            for k in range(10):
                tick = every(MS, 10, called, k, a_millisecond)
                nursery.start_soon(made.tick_from, START, tick)
            nursery.start_soon(other)
    assert len(called) == 100
    assert max(b - a for a, b in itertools.pairwise(seen)) <= 4


@pytest.mark.parametrize("_", range(10))  # whoever comes first after a turn, comes first by chance
async def test_the_last_of_a_group_does_not_wait_for_whom_its_first_has_woken(made, fake, _):
    called, has_begun, seen = [], trio.Event(), []

    def took():
        has_begun.set()
        fake.now += 50_000

    async def build():
        await has_begun.wait()
        seen.append(len(called))
        fake.now += MS // 2

    due = {k: START + 9 * MS + k * 75_000 for k in range(25)}
    with made.in_use():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(build)
            for k, at in due.items():
                nursery.start_soon(made.tick_from, at, every(MS, 1, called, k, took))
    assert seen == [25]
    assert all(0 <= now - due[k] <= 3000 for k, now in called)


async def test_a_tick_runs_in_the_context_of_its_task(made):
    served, seen = ContextVar("served", default="nobody"), []

    async def serve(whom):
        served.set(whom)
        await made.tick_from(START + MS, lambda now_ns: seen.append(served.get()))

    with made.in_use():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, "a")
            nursery.start_soon(serve, "b")
    assert sorted(seen) == ["a", "b"]


async def test_its_task_and_its_timer_end_with_their_last_user_and_come_back(made, fake):
    def living():
        return trio.lowlevel.current_statistics().tasks_living

    before, called = living(), []
    for n in (1, 2):
        with made.in_use():
            with made.in_use():
                await made.tick_from(fake.now + MS, every(MS, 1, called, "a"))
            assert living() == before + 1
            fd = made._alarm._fd
            await made.tick_from(fake.now + MS, every(MS, 1, called, "b"))
        await trio.testing.wait_all_tasks_blocked()
        assert living() == before
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        assert len(called) == 2 * n


def refused(*_):
    raise OSError(errno.EMFILE, "timerfd: Too many open files")


@pytest.fixture
def monotonic(monkeypatch):
    """Time goes on by itself: trio's sleep is what wakes."""
    for module in (alarm, spin, ticker):
        monkeypatch.setattr(module, "_monotonic_ns", time.monotonic_ns)
    monkeypatch.setattr(alarm, "_TRY_AGAIN_SECONDS", 0.0)


@pytest.mark.parametrize("failing", ["create", "arm"])
async def test_where_the_kernel_refuses_a_timer_ticks_go_on_and_one_line_says_so(
    failing, caplog, monotonic
):
    """A session that begins to play while no descriptor is left, beside those that play."""
    caplog.set_level("INFO")
    kernel = timerfd()
    works = {"create": kernel.create, "arm": kernel.arm}
    made = Ticker(Timerfd(**works | {failing: refused}), WakeMargin(), SpinGovernor())
    called = []
    before = os.listdir("/proc/self/fd")
    with made.in_use():
        async with trio.open_nursery() as nursery:
            for name in "ab":
                due_ns = time.monotonic_ns() + 2 * MS
                nursery.start_soon(made.tick_from, due_ns, every(2 * MS, 5, called, name))
        assert sorted(name for name, _ in called) == ["a"] * 5 + ["b"] * 5
        assert caplog.text.count("The kernel's timer fails ([Errno 24]") == 1
        # As soon as it gives one, ticks are by the timer again.
        made._alarm._timer = Timerfd(**works)
        await made.tick_from(time.monotonic_ns() + 2 * MS, every(2 * MS, 3, called, "c"))
        assert made._alarm.is_precise
        assert caplog.text.count("The kernel gives timers again") == 1
    await trio.testing.wait_all_tasks_blocked()
    assert os.listdir("/proc/self/fd") == before
    assert [name for name, _ in called].count("c") == 3


async def test_an_alarm_that_fails_when_it_is_set_anew_wakes_who_sleeps_by_it(monotonic):
    """As when a session begins to play, and its first tick is earlier than what is slept for."""
    kernel = timerfd()
    armed = []

    def arm(fd, at_ns):
        if armed:
            refused()
        armed.append(at_ns)
        kernel.arm(fd, at_ns)

    made = alarm.Alarm(Timerfd(kernel.create, arm))
    made.open()
    made.set(ticker._NEVER_NS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.wait)
        await trio.testing.wait_all_tasks_blocked()
        made.set(time.monotonic_ns() + 2 * MS)
        assert not made.is_precise
    made.close()
    # It sleeps by trio's clock, and is set anew there too.
    asleep = alarm.Alarm(Timerfd(refused, kernel.arm))
    asleep.set(ticker._NEVER_NS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asleep.wait)
        await trio.testing.wait_all_tasks_blocked()
        asleep.set(time.monotonic_ns() + 2 * MS)


async def test_an_alarm_whose_descriptor_cannot_be_waited_for_is_none_of_the_kernels(monotonic):
    """Epoll has limits of its own."""
    closed = []

    def create():
        # A regular file: epoll refuses those.
        closed.append(os.open(__file__, os.O_RDONLY))
        return closed[-1]

    made = alarm.Alarm(Timerfd(create, lambda fd, at_ns: None))
    made.set(time.monotonic_ns() + 2 * MS)
    await made.wait()
    assert not made.is_precise
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(closed[0])


@pytest.mark.skipif(timerfd() is None, reason="this system has no timerfd: nothing is to be tested")
async def test_on_a_timer_of_the_kernel_no_tick_is_early_and_none_is_missing():
    made = Ticker(timerfd(), WakeMargin(), SpinGovernor())
    start = time.monotonic_ns() + 5 * MS
    called = []

    def playing(phase):
        due = start + phase

        def tick(now_ns):
            nonlocal due
            called.append((due, now_ns))
            due += 5 * MS
            return due if due < start + 50 * MS else None

        return tick

    with made.in_use():
        async with trio.open_nursery() as nursery:
            for phase in (0, 75_000, 2 * MS):
                nursery.start_soon(made.tick_from, start + phase, playing(phase))
    assert len(called) == 30
    assert all(due <= now for due, now in called)
    assert [due for due, _ in called] == sorted(due for due, _ in called)
