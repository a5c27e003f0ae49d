"""Figures as people read them."""

from __future__ import annotations

import math

from .stats import Estimate

UNKNOWN = "-"


def us(ns: float) -> str:
    """A duration: us below 10 ms, else ms."""
    if math.isnan(ns):
        return UNKNOWN
    if abs(ns) >= 1e7:
        return f"{ns / 1e6:.1f} ms"
    return f"{ns / 1e3:.1f} us" if abs(ns) < 1e6 else f"{ns / 1e3:.0f} us"


def number(value: float, form: str = ".3g") -> str:
    """A number."""
    return UNKNOWN if math.isnan(value) else format(value, form)


def megabytes(n_bytes: float) -> str:
    """Memory, MB of 10^6 bytes."""
    return UNKNOWN if math.isnan(n_bytes) else f"{n_bytes / 1e6:.1f} MB"


def percent(share: float) -> str:
    """A share."""
    return UNKNOWN if math.isnan(share) else f"{share * 100:.1f} %"


def estimate_us(estimate: Estimate) -> str:
    """A median with its interval, durations."""
    if not estimate.n:
        return UNKNOWN
    return f"{us(estimate.median)} [{us(estimate.low)}, {us(estimate.high)}]"


def estimate_ratio(estimate: Estimate) -> str:
    """A median with its interval, ratios."""
    if not estimate.n:
        return UNKNOWN
    median, low, high = estimate.median, estimate.low, estimate.high
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A plain table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = []
    for row in [head, *rows]:
        first, rest = row[0].ljust(widths[0]), zip(row[1:], widths[1:], strict=True)
        lines.append("  ".join([first, *(cell.rjust(width) for cell, width in rest)]).rstrip())
    return "\n".join(lines)
