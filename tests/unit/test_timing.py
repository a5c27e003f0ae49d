"""What a playback keeps of the ticks that went wrong."""

import pytest

from phantomlink.engine import timing
from phantomlink.engine.timing import EventKind, EventLog, TimingEvent


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
