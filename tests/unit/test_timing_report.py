"""Each figure that the timing report has of a playhead is the one that was counted."""

from __future__ import annotations

from types import SimpleNamespace

from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.timing import EventKind, TimingCounters, TimingEvent
from phantomlink.rest.timing_report import _playhead

PERIOD_NS = 25_000_000
WINDOW = 400


def counted():
    """Late by 1 us in a first window of ticks, and by 3 us in a second one."""
    counters = TimingCounters()
    counters.anchored()
    for tick in range(2 * WINDOW):
        due_ns = tick * PERIOD_NS
        late_ns = 1_000 if tick < WINDOW else 3_000
        counters.released(due_ns, due_ns + late_ns, due_ns + late_ns + 7_000)
    counters.went_wrong(TimingEvent(EventKind.STALL, 10.5, 200_000, 17))
    for number in (18, 19):
        counters.went_wrong(TimingEvent(EventKind.OVERRUN, 11.0, 300_000, number))
    for depth in (80, 30, 50):
        counters.depth(depth)
    counters.injected.lost += 4
    counters.injected.duplicated += 5
    counters.injected.reordered += 6
    counters.injected.delays.record(8_000)
    return counters


def test_a_playhead_is_told_as_it_was_counted():
    told = _playhead(SimpleNamespace(timing=counted()), NO_FILTER)
    assert (told.packets, told.anchors, told.stalls, told.overruns) == (2 * WINDOW, 1, 1, 2)
    assert told.lowest_prefetch_depth_bins == 30
    assert (told.lateness_us.count, told.lateness_us.mean, told.lateness_us.max) == (800, 2, 3)
    assert (told.handover_us.count, told.handover_us.mean) == (800, 7)
    # 2 us more in the 400 ticks between the first of each window.
    assert told.drift_ppm == 2_000 / (WINDOW * PERIOD_NS) * 1e6
    assert [(event.kind, event.late_us, event.sequence_number) for event in told.events] == [
        ("stall", 200, 17),
        ("overrun", 300, 18),
        ("overrun", 300, 19),
    ]
    assert told.events[0].at == "1970-01-01T00:00:10.500Z"
    injected = told.injected
    counts = (injected.lost, injected.duplicated, injected.reordered, injected.delayed)
    assert counts == (4, 5, 6, 1)
    assert (injected.delay_us.count, injected.delay_us.max) == (1, 8)


def test_what_is_not_known_yet_is_null():
    told = _playhead(SimpleNamespace(timing=TimingCounters()), NO_FILTER)
    assert (told.drift_ppm, told.lowest_prefetch_depth_bins) == (None, None)
    assert (told.packets, told.stalls, told.overruns, told.events) == (0, 0, 0, [])
    assert (told.lateness_us.count, told.lateness_us.mean, told.lateness_us.max) == (0, None, None)
