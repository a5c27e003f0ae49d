"""The report of a run: tables of figures, ratios, and the criteria."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any

from ..harness.stats import median_over_slices
from ..harness.text import (
    UNKNOWN,
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
from .series import Figures
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


def text(results: Results, *, not_permitted: str | None) -> str:
    """Everything measured, for people: medians over the slices."""
    parts = [_host(results, not_permitted), _receivers(results)]
    parts.append(heading("What was sent, and what it took"))
    parts.append(_table(results, _beside_packets))
    parts.append(heading("All intervals"))
    parts.append(_table(results, lambda m: _of_packets(m.raw)))
    if not_permitted is None:
        parts.append(heading("Without the packets that a stall of the host touched"))
        parts.append(_table(results, lambda m: _of_packets(m.clean)))
    if len(results.slices) > 1:
        parts.append(heading("Ratios of paired slices: median [95 % interval]"))
        parts.append(_ratios(results))
    for name, reason in results.not_measured.items():
        parts.append(f"{name} was not measured: {reason}")
    return "\n\n".join(part for part in parts if part)


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
    facts = environment()
    probe = (
        "a SCHED_FIFO probe on every CPU saw the stalls of the host above 0.5 ms"
        if not_permitted is None
        else f"no probe ({not_permitted}): steal time alone says what the host took, and no "
        "figure is freed of it"
    )
    lines = [
        f"{facts['cpus']} CPUs, {facts['machine']}, Python {facts['python']}",
        f"{probe}.",
        f"{results.n_lost} of {results.n_slices} slices lost more than a tenth to the host: "
        "there, and in what they are paired with, the figures without stalls count.",
    ]
    everything = [m for slices in results.slices.values() for m in slices]
    others = median_over_slices([_others_cpu(m) for m in everything]).median
    if others > _QUIET_CPU:
        lines.append(
            f"Other programs of this machine took {percent(others)} of a core meanwhile: it was "
            "not quiet, and no figure here says what a quiet one would."
        )
    return "\n".join(lines)


def _receivers(results: Results) -> str:
    """What the receivers add by themselves."""
    lines = []
    for name, what in ((FLOOR, "the bare loop's write"), (PHANTOMLINK, "the server's stamp")):
        if not results.of(name):
            continue
        transit_p50, transit_p99, waited_p50, waited_p99 = (
            us(results.counting(name, attrgetter(f"{figure}.{p}")).median)
            for figure in ("transit", "waited")
            for p in ("p50", "p99")
        )
        lines.append(
            f"From {what} to the receiver's clock: p50 {transit_p50}, p99 {transit_p99}; "
            f"of it in a receiver that was awake: p50 {waited_p50}, p99 {waited_p99}."
        )
    if results.of(FLOOR):
        lines.append(
            "The bare loop's spread there, p99 less p50, is the receiver's and the kernel's own."
        )
    return "\n".join(lines)


def _table(results: Results, side: Callable[[Measured], dict[str, Any]]) -> str:
    """Every figure by its name in the JSON, but durations in us: medians over the slices."""
    columns: dict[str, dict[str, float]] = {}
    for name, slices in results.slices.items():
        found = [dict(numbers(side(measured))) for measured in slices]
        columns[name] = {
            row: median_over_slices([figures[row] for figures in found if row in figures]).median
            for row in found[0]
        }
    names = list(dict.fromkeys(row for column in columns.values() for row in column))
    return table(
        ["", *columns],
        [
            [row, *(number(".4g")(column.get(row, math.nan)) for column in columns.values())]
            for row in names
        ],
    )


def _beside_packets(measured: Measured) -> dict[str, Any]:
    first = measured.first_packet_seconds
    return asdict(replace(measured, raw=None, clean=None, seams=())) | {
        "lost_fraction": measured.lost.fraction,
        "first_packet_seconds": {"first": min(first), "last": max(first)},
        "others_cpu": _others_cpu(measured),
    }


def _of_packets(figures: Figures | None) -> dict[str, Any]:
    if figures is None:
        return {}
    return asdict(figures) | {"rate_min": figures.rate_min, "rate_max": figures.rate_max}


def _others_cpu(measured: Measured) -> float:
    """Of a core, what the rest of this machine took, roughly: the kernel samples who is busy."""
    busy = measured.lost.busy_seconds / measured.lost.seconds
    return max(busy - measured.usage.cpu - measured.receiver_cpu, 0.0)


def _ratios(results: Results) -> str:
    rows = []
    for base in (FLOOR, PHANTOMLINK):
        if base not in results.slices:
            continue
        for label, figure in (("interval error", "interval"), ("late to the grid", "grid")):
            for p in ("p50", "p99"):
                pick = attrgetter(f"{figure}.{p}")
                cells = [
                    UNKNOWN
                    if name == base
                    else with_interval(results.ratio(name, base, pick), number(".2f"))
                    for name in results.slices
                ]
                rows.append([f"{label} {p}, to {base}", *cells])
    return table(["", *results.slices], rows) if rows else ""
