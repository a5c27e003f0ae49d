"""The report: tables of figures, ratios, and the criteria. Pure, but for asking what this is."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Sequence
from operator import attrgetter
from statistics import median

from .criteria import Verdict
from .names import FLOOR, PHANTOMLINK
from .series import Figures
from .slices import Measured, Results
from .stats import median_over_slices
from .words import UNKNOWN, estimate_ratio, megabytes, number, percent, table, us

_LABELS = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
# Of a core. The probes and the kernel's own work take less.
_QUIET_CPU = 0.15
_ERRORS = {
    "interval error": "interval",
    "late to the grid": "grid",
    "left late (stamps)": "release",
}


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
    parts.append(_heading("What was sent, and what it took (medians over the slices)"))
    parts.append(_usage(results))
    parts.append(_heading("All intervals (medians over the slices)"))
    parts.append(_figures(results, lambda m: m.raw))
    if not_permitted is None:
        parts.append(_heading("Without the packets that a stall of the host touched"))
        parts.append(_figures(results, lambda m: m.clean))
    if len(results.slices) > 1:
        parts.append(_heading("Ratios of paired slices: median [95 % interval]"))
        parts.append(_ratios(results))
    for name, reason in results.not_measured.items():
        parts.append(f"{name} was not measured: {reason}")
    return "\n\n".join(part for part in parts if part)


def verdicts(found: Sequence[Verdict], *, indication: bool) -> str:
    """The criteria and what came out."""
    words = {True: "PASS", False: "FAIL", None: "  ? "}
    head = "Criteria" + (" (a quick run: an indication, no measurement)" if indication else "")
    lines = [f"{words[v.passed]}  {v.criterion}: {v.figure}" for v in found]
    return "\n".join([_heading(head), *lines])


def progress(name: str, index: int, n_slices: int, measured: Measured) -> str:
    """A line about a slice that has just been measured."""
    interval = measured.raw.interval
    return (
        f"slice {index + 1}/{n_slices}  {name:<18} {measured.raw.packets:>7} packets  "
        f"interval error p50 {us(interval.p50):>10}  p99 {us(interval.p99):>10}  "
        f"lost to the host {percent(measured.lost.fraction)}"
    )


def _heading(words: str) -> str:
    return f"{words}\n{'-' * len(words)}"


def _host(results: Results, not_permitted: str | None) -> str:
    facts = environment()
    probe = (
        "a SCHED_FIFO probe on every CPU saw the stalls of the host above 0.5 ms"
        if not_permitted is None
        else f"no probe ({not_permitted}): steal time alone says what the host took, and no "
        "figure is freed of it"
    )
    return "\n".join(
        [
            f"{facts['cpus']} CPUs, {facts['machine']}, Python {facts['python']}",
            f"{probe}.",
            f"{results.n_lost} of {results.n_slices} slices lost more than a tenth to the host: "
            "there, and in what they are paired with, the figures without stalls count.",
            *_not_quiet(results),
        ]
    )


def _not_quiet(results: Results) -> list[str]:
    """A line of warning when other programs ran meanwhile."""
    everything = [m for slices in results.slices.values() for m in slices]
    others = _median(everything, _others_cpu)
    if not others > _QUIET_CPU:
        return []
    return [
        f"Other programs of this machine took {percent(others)} of a core meanwhile: it was not "
        "quiet, and no figure here says what a quiet one would."
    ]


def _receivers(results: Results) -> str:
    """What the receivers add by themselves."""
    lines = []
    for name, what in ((FLOOR, "the bare loop's write"), (PHANTOMLINK, "the server's stamp")):
        measured = results.of(name)
        if not measured:
            continue
        transit = [_median(measured, _counting(f"transit.{p}")) for p in ("p50", "p99")]
        waited = [_median(measured, _counting(f"waited.{p}")) for p in ("p50", "p99")]
        lines.append(
            f"From {what} to the receiver's clock: p50 {us(transit[0])}, p99 {us(transit[1])}; "
            f"of it in a receiver that was awake: p50 {us(waited[0])}, p99 {us(waited[1])}."
        )
    if results.of(FLOOR):
        lines.append(
            "The bare loop's spread there, p99 less p50, is the receiver's and the kernel's own."
        )
    return "\n".join(lines)


def _counting(path: str) -> Callable[[Measured], float]:
    """A figure of a slice, by its path in the figures, raw or clean as the rule says."""
    pick = _at(path)
    return lambda measured: pick(measured.counting(lost=measured.was_lost))


def _at(path: str) -> Callable[[Figures], float]:
    pick: Callable[[Figures], float] = attrgetter(path)
    return pick


def _figures(results: Results, side: Callable[[Measured], Figures | None]) -> str:
    """What the packets say: medians over the slices."""
    names = list(results.slices)

    def row(label: str, form: Callable[[float], str], path: str) -> list[str]:
        cells, pick = [], _at(path)
        for name in names:
            found = [f for m in results.of(name) if (f := side(m)) is not None]
            cells.append(form(median_over_slices([pick(f) for f in found]).median))
        return [label, *cells]

    rows = [
        row("intervals kept", percent, "kept"),
        row("rate, slowest (Hz)", _rate, "rate_min"),
        row("rate, fastest (Hz)", _rate, "rate_max"),
    ]
    for label, figure in _ERRORS.items():
        rows += [row(f"{label} {_LABELS[p]}", us, f"{figure}.{p}") for p in _LABELS]
    if any(m.raw.spread.count for name in names for m in results.of(name)):
        rows += [
            row(f"{label} {p}", us, f"{figure}.{p}")
            for label, figure in (
                ("first to last client", "spread"),
                ("stamp to last client", "last"),
            )
            for p in ("p50", "p99")
        ]
    rows += [
        row("drift (ppm)", _ppm, "drift_ppm"),
        row("  to be trusted to", _ppm, "drift_resolution_ppm"),
        row("re-anchors", _count, "reanchors"),
    ]
    return table(["", *names], rows)


def _usage(results: Results) -> str:
    """What was sent, what it took, and what the server says: medians over the slices."""
    names = list(results.slices)

    def row(
        label: str, form: Callable[[float], str], pick: Callable[[Measured], float]
    ) -> list[str]:
        return [label, *(form(_median(results.of(name), pick)) for name in names)]

    rows = [
        ["slices", *(str(len(results.of(name))) for name in names)],
        row("connections", _count, lambda m: m.raw.connections),
        row("packets in a slice", _count, lambda m: m.raw.packets),
        ["gaps, all slices", *(str(sum(m.raw.gaps for m in results.of(name))) for name in names)],
        row("received (kB/s)", _kilobytes, lambda m: m.bytes_per_second),
        row("first packet, median (ms)", _milliseconds, lambda m: median(m.first_packet_seconds)),
        row("first packet, last (ms)", _milliseconds, lambda m: max(m.first_packet_seconds)),
        row("CPU of the sender", percent, lambda m: m.usage.cpu),
        row("CPU of the receivers", percent, lambda m: m.receiver_cpu),
        row("CPU of all others", percent, _others_cpu),
        row("memory, resident", megabytes, lambda m: m.usage.rss_bytes),
        row("memory, its own (USS)", megabytes, lambda m: m.usage.uss_bytes),
        row("lost to the host", percent, lambda m: m.lost.fraction),
    ]
    if any(m.report.source != "none" for name in names for m in results.of(name)):
        rows += [
            row("server says: lateness p50", us, lambda m: m.report.lateness_p50_ns),
            row("server says: lateness p99", us, lambda m: m.report.lateness_p99_ns),
            row("server says: stalls", _count, lambda m: m.report.stalls),
            row("server says: overruns", _count, lambda m: m.report.overruns),
        ]
    return table(["", *names], rows)


def _others_cpu(measured: Measured) -> float:
    """Of a core, what the rest of this machine took, roughly: the kernel samples who is busy."""
    busy = measured.lost.busy_seconds / measured.lost.seconds
    return max(busy - measured.usage.cpu - measured.receiver_cpu, 0.0)


def _ratios(results: Results) -> str:
    names = list(results.slices)
    rows = []
    for base in (FLOOR, PHANTOMLINK):
        if base not in names:
            continue
        for label, figure in (("interval error", "interval"), ("late to the grid", "grid")):
            for p in ("p50", "p99"):
                pick = _at(f"{figure}.{p}")
                cells = [
                    UNKNOWN if name == base else estimate_ratio(results.ratio(name, base, pick))
                    for name in names
                ]
                rows.append([f"{label} {p}, to {base}", *cells])
    return table(["", *names], rows) if rows else ""


def _median(measured: Sequence[Measured], pick: Callable[[Measured], float]) -> float:
    return median_over_slices([pick(m) for m in measured]).median


def _count(value: float) -> str:
    return number(value, ".0f")


def _rate(value: float) -> str:
    return number(value, ".4f")


def _ppm(value: float) -> str:
    return number(value, ".3f") if math.isnan(value) or abs(value) < 100 else f"{value:.0f}"


def _kilobytes(per_second: float) -> str:
    return number(per_second / 1e3, ".1f")


def _milliseconds(seconds: float) -> str:
    return number(seconds * 1e3, ".1f")
