"""What the dashboard's tools leave out of their figures: what slow times of the host touched."""

from __future__ import annotations

import time
from typing import Any

from tools.dashboard.drawn_frames import DrawnFrames
from tools.dashboard.watching_cost import LATE_NS, Spent, Tick, untouched

_S = 1_000_000_000
_WALL_LESS_MONOTONIC_MS = 1.7e12


class FakePage:
    """A page whose frames begin at these seconds of CLOCK_MONOTONIC, and take so many ms."""

    def __init__(self, frames: list[tuple[float, float]]) -> None:
        self.frames = frames

    def evaluate(self, expression: str) -> Any:
        if "read()" not in expression:
            return time.monotonic_ns() / 1e6 + _WALL_LESS_MONOTONIC_MS
        return {
            "began_ms": [began * 1e3 + _WALL_LESS_MONOTONIC_MS for began, _ in self.frames],
            "draws_ms": [took for _, took in self.frames],
        }


def test_frames_that_a_slow_time_touched_are_told_apart() -> None:
    now = time.monotonic()
    # A thousand seconds apart: however long the page takes to tell its time, they stay apart.
    page = FakePage([(now - 1000, 5)])
    drawn = DrawnFrames(page)  # type: ignore[arg-type]
    page.frames += [(now + 1000 * n, took) for n, took in enumerate((1, 1, 9, 1, 7, 1), start=1)]
    drawn.read()
    drawn.read()
    stalls = [(int((now + at - 300) * _S), int((now + at + 300) * _S)) for at in (5000, 3000)]
    every, kept = drawn.figures(stalls)
    # The one from before is not of these; those read twice count once.
    assert (every.n, every.p50_ms) == (6, 1)
    assert every.p99_ms > 8
    assert (kept.n, kept.p50_ms, kept.p99_ms) == (4, 1, 1)
    assert drawn.figures([])[1] == every


def test_ticks_that_a_slow_time_touched_are_left_out_from_when_they_were_due() -> None:
    ticks = [
        Tick(100, 0, 10 * _S),
        Tick(500, 0, 20 * _S),
        # Due before the slow time ended, released long after.
        Tick(200, 2 * _S, 32 * _S),
        Tick(300, LATE_NS + 1, 40 * _S),
        Tick(200, LATE_NS, 50 * _S),
    ]
    stalls = [(19 * _S, 21 * _S), (29 * _S, 30 * _S + _S // 2)]
    kept = untouched(ticks, stalls)
    assert kept == [ticks[0], ticks[3], ticks[4]]
    assert untouched(ticks, ()) == ticks
    spent = Spent()
    spent.add(Spent(ticks, kept, 50_000, 60_000))
    found = spent.a_tick()
    assert (found["tick_us"], found["tick_us_of_all"]) == (200, 260)
    assert found["late_ticks_a_minute"] == 2400 / 3
    assert found["late_ticks_a_minute_of_all"] == 2 * 2400 / 5
    assert (found["thread_us_a_tick"], found["process_us_a_tick"]) == (10, 12)
