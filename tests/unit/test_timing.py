"""What a playback keeps of the ticks that went wrong."""

import pytest

from phantomlink.engine import timing
from phantomlink.engine.timing import (
    DriftGauge,
    EventKind,
    EventLog,
    TimingCounters,
    TimingEvent,
)


def event(n):
    kind = EventKind.STALL if n % 3 else EventKind.OVERRUN
    return TimingEvent(kind, 1_700_000_000.25 + n, n * 10**9, n)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000])
def test_the_latest_events_are_kept_oldest_first(n):
    log = EventLog()
    for k in range(n):
        log.append(event(k))
    assert len(log) == min(n, timing._EVENTS_KEPT)
    assert list(log) == [event(k) for k in range(max(0, n - 64), n)]


class TestDrift:
    def made(self, *windows):
        """A gauge after windows of 400 ticks, each with its least late tick: (deadline, by)."""
        gauge = DriftGauge()
        for deadline_ns, least_ns in windows:
            for n in range(400):
                is_least = n == 250
                gauge.record(deadline_ns if is_least else 0, least_ns + (0 if is_least else n + 1))
        return gauge

    def test_is_the_slope_between_the_least_late_of_the_first_and_of_the_latest_window(self):
        start = 3 * 10**9
        first, second = (start, 1_000), (start + 10**10, 4_000)
        third = (start + 2 * 10**10, 21_000)
        assert self.made().ppm is None
        assert self.made(first).ppm is None
        assert self.made(first, second).ppm == pytest.approx(3_000 / 10**10 * 1e6)
        assert self.made(first, second, third).ppm == pytest.approx(20_000 / (2 * 10**10) * 1e6)

    def test_a_window_is_of_400_ticks_and_counts_when_it_is_whole(self):
        gauge = self.made((0, 1_000))
        for n in range(399):
            gauge.record(10**10, 5_000 + n)
        assert gauge.ppm is None
        gauge.record(10**10, 9_000)
        assert gauge.ppm == pytest.approx(4_000 / 10**10 * 1e6)

    def test_of_two_that_are_equally_late_the_first_counts(self):
        gauge = self.made((0, 1_000))
        for n in range(400):
            gauge.record((n + 1) * 10**10, 2_000)
        assert gauge.ppm == pytest.approx(1_000 / 10**10 * 1e6)

    def test_a_new_grid_begins_anew(self):
        gauge = self.made((0, 1_000), (10**10, 4_000))
        gauge.record(10**10, 0)
        gauge.restart()
        assert gauge.ppm is None
        for n in range(2 * 400):
            gauge.record(n + 1, 7_000)
        assert gauge.ppm == 0.0


class TestCounters:
    def test_a_release_is_recorded_as_late_as_it_left_and_as_long_as_it_took(self):
        counters = TimingCounters()
        for n in range(3):
            counters.released(1_000 * n, 1_000 * n + 100, 1_000 * n + 107)
        assert counters.packets == 3
        assert (counters.lateness.count, counters.lateness.sum_ns) == (3, 300)
        assert (counters.handover.count, counters.handover.sum_ns) == (3, 21)
        # What the gauge is told is when the packet was due, and how late it left.
        assert counters.drift._window == (0, 100)

    def test_what_goes_wrong_is_counted_by_its_kind_and_kept(self):
        counters = TimingCounters()
        stall, overrun = event(1), event(3)
        for each in (stall, overrun, overrun):
            counters.went_wrong(each)
        assert (counters.stalls, counters.overruns) == (1, 2)
        assert list(counters.events) == [stall, overrun, overrun]

    def test_an_anchor_is_counted_and_begins_another_grid(self):
        counters = TimingCounters()
        assert counters.anchors == 0
        for n in range(800):
            counters.released(n, n + 5, n + 6)
        assert counters.drift.ppm == 0.0
        counters.anchored()
        assert (counters.anchors, counters.drift.ppm) == (1, None)
        counters.anchored()
        assert counters.anchors == 2

    def test_the_lowest_depth_and_the_latest(self):
        counters = TimingCounters()
        assert (counters.lowest_depth, counters.latest_depth) == (None, None)
        seen = []
        for bins in (7, 3, 5, 3, 0, 9):
            counters.depth(bins)
            seen.append((counters.lowest_depth, counters.latest_depth))
        assert seen == [(7, 7), (3, 3), (3, 5), (3, 3), (0, 0), (0, 9)]
