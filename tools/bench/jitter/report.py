"""The report of a run: tables of figures, ratios, and the criteria."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from statistics import median
from typing import Any

import pandas as pd

from ..harness.text import (
    Verdict,
    heading,
    number,
    numbers,
    percent,
    table,
    us,
    with_interval,
)
from .contestants import FLOOR, PHANTOMLINK
from .slices import Measured, Results

# Of a core. The probes and the kernel's own work take less.
_QUIET_CPU = 0.15


def environment() -> dict[str, object]:
    """The machine and the interpreter."""
    settings = {
        k: v for k, v in os.environ.items() if k.startswith("PHANTOM_") and k != "PHANTOM_API_TOKEN"
    }
    return {
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "settings": settings,
    }


def about(found: Sequence[Verdict], not_measured: Mapping[str, str]) -> dict[str, object]:
    """Of a run, for programs."""
    return environment() | {
        "criteria": [asdict(verdict) for verdict in found],
        "not_measured": not_measured,
    }


def text(results: Results, *, not_permitted: str | None) -> str:
    """Everything measured, for people: medians over the slices."""
    parts = [_host(results, not_permitted)]
    if results.slices:
        parts += [heading("Medians over the slices"), _medians(results)]
        parts += [heading("Ratios of paired slices: median [95 % interval]"), _ratios(results)]
    parts += [f"{name} was not measured: {why}" for name, why in results.not_measured.items()]
    return "\n\n".join(parts)


def verdicts(found: Sequence[Verdict], *, indication: bool) -> str:
    """The criteria and what came out."""
    words = {True: "PASS", False: "FAIL", None: "  ? "}
    head = "Criteria" + (" (a quick run: an indication, no measurement)" if indication else "")
    lines = [f"{words[v.passed]}  {v.criterion}: {v.figure}" for v in found]
    return "\n".join([heading(head), *lines])


def progress(name: str, index: int, n_slices: int, measured: Measured) -> str:
    """A line about a slice that has just been measured."""
    interval = measured.raw.interval
    return (
        f"slice {index + 1}/{n_slices}  {name:<18} {measured.raw.packets:>7} packets  "
        f"interval error p50 {us(interval.p50):>10}  p99 {us(interval.p99):>10}  "
        f"lost to the host {percent(measured.lost.fraction)}"
    )


def _host(results: Results, not_permitted: str | None) -> str:
    everything = results.everything
    others = median(_others_cpu(m) for m in everything) if everything else 0.0
    facts = environment() | {
        "probe of the host's stalls": not_permitted or "SCHED_FIFO on every CPU",
        # There, and in what they are paired with, the figures without stalls count.
        "slices that lost more than a tenth to the host": sum(m.was_lost for m in everything),
        "others of this machine took meanwhile": f"{percent(others)} of a core"
        + (": it was not quiet" if others > _QUIET_CPU else ""),
    }
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def _medians(results: Results) -> str:
    """Every figure by its name in the JSON, but durations in us."""
    columns = {
        name: pd.DataFrame(dict(numbers(_flat(measured))) for measured in slices).median()
        for name, slices in results.slices.items()
    }
    figures, cell = pd.concat(columns, axis=1), number(".4g")
    return table(["", *columns], [[row, *map(cell, each)] for row, each in figures.iterrows()])


def _flat(measured: Measured) -> dict[str, Any]:
    first, rates = measured.first_packet_seconds, measured.raw.rates
    return asdict(measured) | {
        "lost_fraction": measured.lost.fraction,
        "first_packet_seconds": {"first": min(first), "last": max(first)},
        "rates_hz": {"slowest": min(rates), "fastest": max(rates)},
        "others_cpu": _others_cpu(measured),
    }


def _others_cpu(measured: Measured) -> float:
    """Of a core, what the rest of this machine took, roughly: the kernel samples who is busy."""
    busy = measured.lost.busy_seconds / measured.lost.seconds
    return max(busy - measured.usage.cpu - measured.receiver_cpu, 0.0)


def _ratios(results: Results) -> str:
    form = number(".2f")
    rows = [
        [
            f"{figure} {p}, to {base}",
            *(
                with_interval(results.ratio(name, base, attrgetter(f"{figure}.{p}")), form)
                for name in results.slices
            ),
        ]
        for base in (FLOOR, PHANTOMLINK)
        if base in results.slices
        for figure in ("interval", "grid")
        for p in ("p50", "p99")
    ]
    return table(["", *results.slices], rows) if rows else ""
