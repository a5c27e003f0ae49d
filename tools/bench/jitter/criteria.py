"""What the server has to reach: each criterion, its figure, and whether it holds. Pure.

A criterion takes the results of a run; its verdict is None where nothing was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ..harness.stats import Estimate
from ..harness.text import UNKNOWN, Verdict, megabytes, number, percent, us, with_interval
from .contestants import (
    ASYNCIO_DEADLINE,
    BESIDE_LSL,
    CHURNED,
    FLOOR,
    PERTURBED,
    PHANTOMLINK,
    PHANTOMLINK_LSL,
    PYLSL_DEADLINE,
)
from .series import Figures
from .slices import Pick, Results

Criterion = Callable[[Results], Verdict]
Measure = Callable[[Results], Estimate]
Form = Callable[[float], str]

_US = 1e3
_RATIO = number(".2f")
# What two slices of the same differ by at the least on a quiet machine; less is not later.
_NO_LATER_US = 10


def judged(
    criterion: str, figure: str, value: float, holds: Callable[[float], bool] = bool
) -> Verdict:
    """A verdict; NaN was not measured."""
    return Verdict(criterion, figure, None if math.isnan(value) else holds(value))


def at_most(criterion: str, measure: Measure, limit: float, form: Form = us) -> Criterion:
    """A median that has a limit."""

    def judge(results: Results) -> Verdict:
        found = measure(results)
        return judged(criterion, with_interval(found, form), found.median, lambda v: v <= limit)

    return judge


def ratio(a: str, b: str, pick: Pick) -> Measure:
    """Of two contestants."""
    return lambda results: results.ratio(a, b, pick)


def difference(a: str, b: str, pick: Pick) -> Measure:
    """Of two contestants."""
    return lambda results: results.difference(a, b, pick)


def interval_p50(figures: Figures) -> float:
    """Of the interval error."""
    return figures.interval.p50


def interval_p99(figures: Figures) -> float:
    """Of the interval error."""
    return figures.interval.p99


def asyncio_is_worse(results: Results) -> Verdict:
    """By how much."""
    against = results.ratio(ASYNCIO_DEADLINE, PHANTOMLINK, interval_p50)
    return judged(
        "interval error p50 at least 5x below the asyncio deadline loop's",
        with_interval(against, _RATIO),
        against.median,
        lambda times: times >= 5,
    )


FLOOR_P50 = at_most(
    "interval error p50 within 2x of the floor's",
    ratio(PHANTOMLINK, FLOOR, interval_p50),
    2,
    _RATIO,
)
MANY_P99 = at_most(
    "lateness p99 at most the floor's plus 500 us (from the stamps of both)",
    difference(PHANTOMLINK, FLOOR, lambda f: f.release.p99),
    500 * _US,
)
TRANSIT_P50 = at_most(
    "from stamp to client within 2 ms at p50",
    lambda results: results.counting(PHANTOMLINK, lambda f: f.transit.p50),
    2e6,
)
CHURNED_P99 = at_most(
    "interval error p99 at most triple of the undisturbed session's",
    ratio(CHURNED, PHANTOMLINK, interval_p99),
    3,
    _RATIO,
)
LSL_P99 = at_most(
    "over LSL, interval error p99 within 2x of the bare pylsl deadline loop's",
    ratio(PHANTOMLINK_LSL, PYLSL_DEADLINE, interval_p99),
    2,
    _RATIO,
)
PERTURBED_P50 = at_most(
    "lateness p50 at most 10 us above that of clean packets (from stamps)",
    difference(PERTURBED, PHANTOMLINK, lambda f: f.release.p50),
    10 * _US,
)
PERTURBED_P99 = at_most(
    "lateness p99 at most 100 us above that of clean packets (from stamps)",
    difference(PERTURBED, PHANTOMLINK, lambda f: f.release.p99),
    100 * _US,
)


def floor_p99(above_us: float) -> Criterion:
    """So far above the floor."""
    return at_most(
        f"interval error p99 at most the floor's plus {above_us:g} us",
        difference(PHANTOMLINK, FLOOR, interval_p99),
        above_us * _US,
    )


def server_p50(limit_us: float) -> Criterion:
    """What the server says of its lateness."""

    def judge(results: Results) -> Verdict:
        said = results.median(PHANTOMLINK, lambda m: m.report.lateness_p50_ns)
        source = next((m.report.source for m in results.of(PHANTOMLINK)), "")
        figure = f"{with_interval(said, us)} ({source})"
        criterion = f"server lateness p50 under {limit_us:g} us"
        return judged(criterion, figure, said.median, lambda ns: ns < limit_us * _US)

    return judge


def cpu_under(share: float, words: str) -> Criterion:
    """Of a core."""

    def judge(results: Results) -> Verdict:
        cpu = results.median(PHANTOMLINK, lambda m: m.usage.cpu).median
        return judged(f"server CPU under {words}", percent(cpu), cpu, lambda c: c < share)

    return judge


def rates(low: float, high: float) -> Criterion:
    """Of each client, over all slices: in one of 15 s, a stall of 8 ms at its end is 0.02 Hz."""

    def judge(results: Results) -> Verdict:
        counting = [m.counting(lost=m.was_lost) for m in results.of(PHANTOMLINK)]
        of_clients = [_mean(of_one) for of_one in zip(*(f.rates for f in counting), strict=True)]
        slowest, fastest = min(of_clients, default=math.nan), max(of_clients, default=math.nan)
        worst = min((f.rate_min for f in counting), default=math.nan)
        best = max((f.rate_max for f in counting), default=math.nan)
        hz = number(".4f")
        return judged(
            f"every client within {low:g} to {high:g} Hz",
            f"{hz(slowest)} to {hz(fastest)} Hz over all slices "
            f"(in a single one {hz(worst)} to {hz(best)})",
            slowest + fastest,
            lambda _: low <= slowest and fastest <= high,
        )

    return judge


def no_gap(results: Results) -> Verdict:
    """Over every packet of every slice."""
    measured = results.of(PHANTOMLINK)
    gaps, closed = sum(m.raw.gaps for m in measured), sum(len(m.closed) for m in measured)
    packets, seconds = sum(m.raw.packets for m in measured), sum(m.lost.seconds for m in measured)
    return judged(
        "no gap",
        f"{gaps} missing in {packets} packets, {seconds:g} s"
        + (f", {closed} connections ended" if closed else ""),
        0.0 if measured else math.nan,
        lambda _: not gaps and not closed,
    )


def last_write(results: Results) -> Verdict:
    """To the last of many clients."""
    last = results.median(PHANTOMLINK, lambda m: m.report.last_write_p50_ns)
    return judged(
        "last accepted write within 3 ms of the tick at p50",
        f"{with_interval(last, us)} (the server says)",
        last.median,
        lambda ns: ns <= 3e6,
    )


def disturbance(results: Results) -> Verdict:
    """Whether the disturbed session was disturbed."""
    done = [m.notes for m in results.of(CHURNED)]
    failed = sum(notes["operations_failed"] + notes["requests_failed"] for notes in done)
    seconds = sum(notes["seconds"] for notes in done) or math.nan
    operations, requests = (
        sum(notes[name] for notes in done) / seconds for name in ("operations", "requests")
    )
    per_second = number(".1f")
    return judged(
        "the disturbance was 10 operations and 50 requests a second, none refused",
        f"{per_second(operations)} and {per_second(requests)} a second, {failed:.0f} failed",
        min(operations / 10, requests / 50),
        lambda share: share > 0.95 and not failed,
    )


def lsl_is_whole(results: Results) -> Verdict:
    """Every sample is there."""
    gaps = sum(m.raw.gaps for m in results.of(PHANTOMLINK_LSL))
    received = sum(m.raw.packets for m in results.of(PHANTOMLINK_LSL))
    return judged(
        "over LSL, no sample missing from the grid of timestamps",
        f"{gaps} missing in {received} samples",
        0.0 if received else math.nan,
        lambda _: not gaps,
    )


def no_later(what: str, pick: Pick) -> Criterion:
    """Whether clients over WebSocket are as punctual with inlets beside them as without."""

    def judge(results: Results) -> Verdict:
        more = results.difference(BESIDE_LSL, PHANTOMLINK, pick)
        return judged(
            f"WebSocket clients no later with LSL inlets than without: {what}",
            f"{with_interval(more, us)} more; no later: the interval reaches 0, or the median is "
            f"under {_NO_LATER_US} us",
            more.median,
            lambda ns: more.low <= 0 or ns < _NO_LATER_US * _US,
        )

    return judge


def drift(results: Results) -> Verdict:
    """Of the slice with the largest."""
    measured = [m.counting(lost=m.was_lost) for m in results.of(PHANTOMLINK)]
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
        (seam, m.counting(lost=m.was_lost).interval.p999)
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


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
