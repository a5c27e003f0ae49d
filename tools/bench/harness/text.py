"""Figures, tables and verdicts as people read them, and as JSON holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from .stats import Estimate

UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A criterion and what came out.

    Attributes:
        criterion: what has to hold.
        figure: what was measured.
        passed: None: it was not measured.
    """

    criterion: str
    figure: str
    passed: bool | None


def us(ns: float) -> str:
    """A duration: us below 10 ms, else ms."""
    if math.isnan(ns):
        return UNKNOWN
    if abs(ns) >= 1e7:
        return f"{ns / 1e6:.1f} ms"
    return f"{ns / 1e3:.1f} us" if abs(ns) < 1e6 else f"{ns / 1e3:.0f} us"


def number(form: str = ".3g", scale: float = 1.0, unit: str = "") -> Callable[[float], str]:
    """How to write numbers."""
    return lambda value: UNKNOWN if math.isnan(value) else f"{value * scale:{form}}{unit}"


megabytes = number(".1f", 1e-6, " MB")
"""Memory, MB of 10^6 bytes."""
percent = number(".1f", 100, " %")
"""A share."""


def with_interval(estimate: Estimate, form: Callable[[float], str]) -> str:
    """A median with its interval."""
    if not estimate.n:
        return UNKNOWN
    return f"{form(estimate.median)} [{form(estimate.low)}, {form(estimate.high)}]"


def heading(words: str) -> str:
    """Underlined."""
    return f"{words}\n{'-' * len(words)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = []
    for first, *others in cells:
        aligned = [other.rjust(width) for other, width in zip(others, widths[1:], strict=True)]
        lines.append("| " + " | ".join([first.ljust(widths[0]), *aligned]) + " |")
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def numbers(value: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested figures, by its dotted name; durations, which are ns, in us."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from numbers(item, f"{within}{name}.")
        elif isinstance(item, int | float):
            is_duration = name.endswith("_ns") or name in {"p50", "p99", "p999", "max"}
            label = f"{within}{name.removesuffix('_ns')}" + " (us)" * is_duration
            yield label, item / 1e3 if is_duration else item


def figures_table(figures: Mapping[str, Any]) -> str:
    """Every number in nested figures by its name."""
    return table(["", ""], [[name, f"{value:.5g}"] for name, value in numbers(figures)])


def as_json(value: object) -> bytes:
    """JSON, lines of it; null for NaN and infinity, which JSON does not have."""
    encoded = msgspec.json.encode(value, enc_hook=lambda scalar: scalar.item())
    return msgspec.json.format(encoded, indent=1) + b"\n"
