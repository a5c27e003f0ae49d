"""How long frames took to draw, with and without those that the host's slow times touched."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

from tools.bench.jitter.series import touched

_READ = "window.phantomlink.read().then(({ frames }) => frames)"
_PAGE_MS = "performance.timeOrigin + performance.now()"
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Drawn:
    """Of some frames, ms.

    Attributes:
        n: how many.
        p50_ms, p99_ms: of the time that one is drawn.
    """

    n: int
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.1f}, p99 {self.p99_ms:.1f}, {self.n} frames"


class DrawnFrames:
    """Frames of a page that shows a session, from now on.

    Args:
        page: it keeps its last 600 frames (10 s); `read` it more often than that.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._drawn_ms: dict[float, float] = {}
        self._begin_ms = float(page.evaluate(_PAGE_MS))

    def read(self) -> None:
        """Add the frames since the last time."""
        frames = self._page.evaluate(_READ)
        pairs = zip(frames["began_ms"], frames["draws_ms"], strict=True)
        self._drawn_ms |= {began: took for began, took in pairs if began > self._begin_ms}

    def figures(self, stalls: Sequence[tuple[int, int]]) -> tuple[Drawn, Drawn]:
        """Of all frames, and of those that no stall touched.

        Args:
            stalls: [begin, end) of the host's, CLOCK_MONOTONIC ns.
        """
        began_ms, took_ms = np.array(sorted(self._drawn_ms.items())).reshape(-1, 2).T
        took_ns = (took_ms * 1e6).astype(np.int64)
        ended_ns = ((began_ms - wall_less_monotonic_ms(self._page)) * 1e6).astype(
            np.int64
        ) + took_ns
        is_left_out = touched(ended_ns, took_ns, int(took_ns.max()), stalls)
        return _of(took_ms), _of(took_ms[~is_left_out])


def wall_less_monotonic_ms(page: Page) -> float:
    """Between the page's clock (Unix ms) and CLOCK_MONOTONIC, from the quickest of some answers."""
    answers = []
    for _ in range(_TRIES):
        asked_ns = time.monotonic_ns()
        page_ms = float(page.evaluate(_PAGE_MS))
        answered_ns = time.monotonic_ns()
        answers.append((answered_ns - asked_ns, page_ms - (asked_ns + answered_ns) / 2e6))
    return min(answers)[1]


def _of(took_ms: NDArray[np.float64]) -> Drawn:
    if not len(took_ms):
        return Drawn(0, float("nan"), float("nan"))
    p50, p99 = np.percentile(took_ms, [50, 99])
    return Drawn(len(took_ms), float(p50), float(p99))
