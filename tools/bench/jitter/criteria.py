"""What the server has to reach: each criterion, its figure, and whether it holds. Pure.

A criterion takes the results of a run; its verdict is None where nothing was measured.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from operator import attrgetter

import numpy as np

from ..harness.stats import Estimate
from ..harness.text import UNKNOWN, Verdict, megabytes, number, percent, us, with_interval
from .contestants import BESIDE_LSL, CHURNED, PHANTOMLINK
from .slices import Results

Criterion = Callable[[Results], Verdict]

_US = 1e3
# What two slices of the same differ by at the least on a quiet machine; less is not later.
_NO_LATER_US = 10
# Figures by their names in the JSON, as criteria call them.
FIGURES = {
    "interval.p50": "interval error p50",
    "interval.p99": "interval error p99",
    "release.p50": "lateness p50 (from stamps)",
    "release.p99": "lateness p99 (from stamps)",
    "transit.p50": "from stamp to client p50",
}


def judged(
    criterion: str, figure: str, value: float, holds: Callable[[float], bool] = bool
) -> Verdict:
    """A verdict; NaN was not measured."""
    return Verdict(criterion, figure, None if math.isnan(value) else holds(value))


def bounded(
    criterion: str,
    measure: Callable[[Results], Estimate],
    limit: float,
    form: Callable[[float], str] = us,
    is_within: Callable[[float, float], bool] = operator.le,
) -> Criterion:
    """A median that has a limit."""

    def judge(results: Results) -> Verdict:
        found = measure(results)
        figure = with_interval(found, form)
        return judged(criterion, figure, found.median, lambda value: is_within(value, limit))

    return judge


def ratio(a: str, b: str, figure: str, limit: float) -> Criterion:
    """Of two contestants, at most."""
    criterion = f"{FIGURES[figure]} of {a} at most {limit:g}x of {b}'s"
    return bounded(criterion, lambda r: r.ratio(a, b, attrgetter(figure)), limit, number(".2f"))


def more(a: str, b: str, figure: str, limit_us: float) -> Criterion:
    """By how much a figure of one is above that of another, at most."""
    criterion = f"{FIGURES[figure]} of {a} at most {limit_us:g} us above {b}'s"
    return bounded(criterion, lambda r: r.difference(a, b, attrgetter(figure)), limit_us * _US)


def transit_p50(limit_ms: float) -> Criterion:
    """How soon clients have their packets."""
    criterion = f"from stamp to client within {limit_ms:g} ms at p50"
    pick = attrgetter("transit.p50")
    return bounded(criterion, lambda r: r.counting(PHANTOMLINK, pick), limit_ms * 1e6)


def server_says(what: str, figure: str, limit_us: float) -> Criterion:
    """What the server says of itself."""
    pick = attrgetter(f"report.{figure}")
    criterion = f"{what} under {limit_us:g} us (the server says)"
    return bounded(
        criterion, lambda r: r.median(PHANTOMLINK, pick), limit_us * _US, us, operator.lt
    )


def cpu_under(share: float, words: str) -> Criterion:
    """Of a core."""
    pick = attrgetter("usage.cpu")
    criterion = f"server CPU under {words}"
    return bounded(criterion, lambda r: r.median(PHANTOMLINK, pick), share, percent, operator.lt)


def rates(low: float, high: float) -> Criterion:
    """Of each client, over all slices: in one of 15 s, a stall of 8 ms at its end is 0.02 Hz."""

    def judge(results: Results) -> Verdict:
        criterion = f"every client within {low:g} to {high:g} Hz"
        found = [m.counting().rates for m in results.of(PHANTOMLINK)]
        known = np.ma.masked_invalid(np.atleast_2d(found))
        if not known.count():
            return Verdict(criterion, UNKNOWN, None)
        of_clients = known.mean(axis=0)
        slowest, fastest = of_clients.min(), of_clients.max()
        return Verdict(
            criterion,
            f"{slowest:.4f} to {fastest:.4f} Hz over all slices "
            f"(in a single one {known.min():.4f} to {known.max():.4f})",
            bool(low <= slowest and fastest <= high),
        )

    return judge


def no_gap(criterion: str, contestant: str) -> Criterion:
    """Over every packet of every slice."""

    def judge(results: Results) -> Verdict:
        measured = results.of(contestant)
        gaps, closed = sum(m.raw.gaps for m in measured), sum(len(m.closed) for m in measured)
        packets = sum(m.raw.packets for m in measured)
        return judged(
            criterion,
            f"{gaps} missing in {packets} packets, {sum(m.lost.seconds for m in measured):g} s"
            + (f", {closed} connections ended" if closed else ""),
            1.0 if measured else math.nan,
            lambda _: packets > 0 and not gaps and not closed,
        )

    return judge


def disturbance(results: Results) -> Verdict:
    """Whether the disturbed session was disturbed."""
    done = [m.notes for m in results.of(CHURNED)]
    failed = sum(notes["operations_failed"] + notes["requests_failed"] for notes in done)
    seconds = sum(notes["seconds"] for notes in done) or math.nan
    operations, requests = (
        sum(notes[name] for notes in done) / seconds for name in ("operations", "requests")
    )
    return judged(
        "the disturbance was 10 operations and 50 requests a second, none refused",
        f"{operations:.1f} and {requests:.1f} a second, {failed:.0f} failed",
        min(operations / 10, requests / 50),
        lambda share: share > 0.95 and not failed,
    )


def no_later(figure: str) -> Criterion:
    """Whether clients over WebSocket are as punctual with inlets beside them as without."""

    def judge(results: Results) -> Verdict:
        found = results.difference(BESIDE_LSL, PHANTOMLINK, attrgetter(figure))
        return judged(
            f"WebSocket clients no later with LSL inlets than without: {FIGURES[figure]}",
            f"{with_interval(found, us)} more; no later: the interval reaches 0, or the median is "
            f"under {_NO_LATER_US} us",
            found.median,
            lambda ns: found.low <= 0 or ns < _NO_LATER_US * _US,
        )

    return judge


def drift(results: Results) -> Verdict:
    """Of the slice with the largest."""
    measured = [m.counting() for m in results.of(PHANTOMLINK)]
    known = [f for f in measured if not math.isnan(f.drift_ppm)]
    worst = max(known, key=lambda f: abs(f.drift_ppm), default=None)
    criterion = "drift under 1 ppm against CLOCK_MONOTONIC, between re-anchors"
    if worst is None:
        return Verdict(criterion, UNKNOWN, None)
    figure = (
        f"{worst.drift_ppm:+.3f} ppm, to be trusted to {worst.drift_resolution_ppm:.2g} ppm; "
        f"{sum(f.reanchors for f in measured)} re-anchors"
    )
    # A slice too short for the arrivals' scatter says nothing either way.
    known_well = worst.drift_resolution_ppm < 1
    return Verdict(criterion, figure, abs(worst.drift_ppm) < 1 if known_well else None)


def seam(results: Results) -> Verdict:
    """Where the recording began again."""
    found = [
        (seam, m.counting().interval.p999)
        for m in results.of(PHANTOMLINK)
        for seam in m.seams
        if not (m.was_lost and seam.stalled)
    ]
    shown = ", ".join(
        f"{us(seam.error_ns)} at {seam.at_seconds:.1f} s (p99.9 {us(bound)})"
        for seam, bound in found
    )
    return Verdict(
        "the seam of the loop within p99.9 of all intervals",
        shown or "no seam was played",
        all(seam.error_ns <= bound for seam, bound in found) if found else None,
    )


def routes(cpu_seconds: Mapping[str, float]) -> list[Verdict]:
    """CPU of the server for one request to each route that is polled."""
    return [
        judged(f"{route} costs under 1 ms of loop time", us(s * 1e9), s, lambda s: s < 1e-3)
        for route, s in cpu_seconds.items()
    ]


def memory(rss_bytes: float, further_bytes: float) -> list[Verdict]:
    """Of the server with 10 sessions, and of each session more."""
    resident = f"{megabytes(rss_bytes)} resident"
    each = f"{number('.1f', 1e-3)(further_bytes)} KB"
    return [
        judged("under 120 MB with 10 sessions", resident, rss_bytes, lambda b: b < 120e6),
        judged("under 100 KB for each further session", each, further_bytes, lambda b: b < 100e3),
    ]
