"""What became of a decoder's predictions, and how long they took."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

KEPT_LATENCIES = 4096
"""Percentiles are of so many latest answers."""


@dataclass(slots=True)
class AnswerCounters:
    """Counted since the run began.

    Attributes:
        closed: packets that were sent while the decoder was connected and are closed.
        answered: those of them that it answered.
        late: answers that took more than a period; scored all the same.
        out_of_order: answers to a packet before one that was answered already; scored.
        duplicate: further answers to the same packet; not scored.
        unknown: answers to packets never sent here, lost on the way, or closed; not scored.
        non_finite: answers with NaN, infinity or half a pair; not scored.
    """

    closed: int = 0
    answered: int = 0
    late: int = 0
    out_of_order: int = 0
    duplicate: int = 0
    unknown: int = 0
    non_finite: int = 0

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        coverage = self.answered / self.closed if self.closed else None
        return {"coverage": coverage, **asdict(self)}


class Latencies:
    """From a packet leaving the scheduler to the arrival of its answer."""

    def __init__(self) -> None:
        self._latest_ns: deque[int] = deque(maxlen=KEPT_LATENCIES)
        self._max_ns = 0

    def add(self, latency_ns: int) -> None:
        """One answer."""
        self._latest_ns.append(latency_ns)
        self._max_ns = max(self._max_ns, latency_ns)

    def figures(self) -> dict[str, float | None]:
        """p50 and p99 of the latest answers, the longest of all, ms; None without any."""
        if not self._latest_ns:
            return {"p50": None, "p99": None, "max": None}
        p50, p99 = np.percentile(np.array(self._latest_ns), (50, 99)) / 1e6
        return {"p50": float(p50), "p99": float(p99), "max": self._max_ns / 1e6}
