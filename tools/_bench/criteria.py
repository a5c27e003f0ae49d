"""What the server has to reach: each criterion, its figure, and whether it holds. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .names import (
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
from .slices import Measured, Results
from .stats import Estimate, median_over_slices
from .words import UNKNOWN, estimate_ratio, estimate_us, megabytes, number, percent, us

_US = 1e3


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


Criteria = Callable[[Results], list[Verdict]]


def single(results: Results) -> list[Verdict]:
    """One session, one client, 40 Hz."""
    against = results.ratio(ASYNCIO_DEADLINE, PHANTOMLINK, _interval_p50)
    return [
        *_against_floor(results, 150),
        _verdict(
            "interval error p50 at least 5x below the asyncio deadline loop's",
            estimate_ratio(against),
            against.median,
            lambda ratio: ratio >= 5,
        ),
        _server_p50(results, 20),
    ]


def ten(results: Results) -> list[Verdict]:
    """Ten sessions with a client each, 40 Hz."""
    return [*_rate_and_gaps(results, 39.98, 40.02), _server_p50(results, 60)]


def many(results: Results) -> list[Verdict]:
    """A hundred sessions with a client each, 40 Hz."""
    above = results.difference(PHANTOMLINK, FLOOR, lambda f: f.release.p99)
    cpu = _over(results, lambda m: m.usage.cpu)
    return [
        *_rate_and_gaps(results, 39.98, 40.02),
        _server_p50(results, 60),
        _verdict(
            "lateness p99 at most the floor's plus 500 us (from the stamps of both)",
            estimate_us(above),
            above.median,
            lambda ns: ns <= 500 * _US,
        ),
        _verdict("server CPU under one core", percent(cpu.median), cpu.median, lambda c: c < 1),
    ]


def crowd(results: Results) -> list[Verdict]:
    """One session with 200 clients, 40 Hz."""
    last = _over(results, lambda m: m.report.last_write_p50_ns)
    where = "the server says"
    if not last.n:
        # Arrivals come after writes: a bound that also holds the receivers' own time.
        last = median_over_slices(results.counting(PHANTOMLINK, lambda f: f.last.p50))
        where = "the server does not say; until the last client had it"
    return [
        *_rate_and_gaps(results, 39.98, 40.02),
        _verdict(
            "last accepted write within 3 ms of the tick at p50",
            f"{estimate_us(last)} ({where})",
            last.median,
            lambda ns: ns <= 3e6,
        ),
    ]


def busy(results: Results) -> list[Verdict]:
    """One session with 30 clients, 40 Hz, on a machine that computes."""
    transit = median_over_slices(results.counting(PHANTOMLINK, lambda f: f.transit.p50))
    return [
        *_rate_and_gaps(results, 39.98, 40.02),
        _verdict(
            "from stamp to client within 2 ms at p50",
            estimate_us(transit),
            transit.median,
            lambda ns: ns <= 2e6,
        ),
    ]


def fast(results: Results) -> list[Verdict]:
    """One session, one client, 1000 Hz."""
    cpu = _over(results, lambda m: m.usage.cpu)
    return [
        *_rate_and_gaps(results, 999.9, 1000.1),
        *_against_floor(results, 200),
        _verdict(
            "server CPU under 40 % of a core",
            percent(cpu.median),
            cpu.median,
            lambda c: c < 0.4,
        ),
    ]


def long(results: Results) -> list[Verdict]:
    """Ten minutes at 40 Hz."""
    return [*_rate_and_gaps(results, 39.98, 40.02), _drift(results), _seam(results)]


def churn(results: Results) -> list[Verdict]:
    """A running session while others come and go and REST is polled."""
    ratio = results.ratio(CHURNED, PHANTOMLINK, _interval_p99)
    done = results.of(CHURNED)
    failed = sum(m.notes["operations_failed"] + m.notes["requests_failed"] for m in done)
    per_second = [
        sum(m.notes[name] for m in done) / sum(m.notes["seconds"] for m in done)
        if done
        else math.nan
        for name in ("operations", "requests")
    ]
    return [
        _verdict(
            "interval error p99 at most triple of the undisturbed session's",
            estimate_ratio(ratio),
            ratio.median,
            lambda r: r <= 3,
        ),
        _verdict(
            "the disturbance was 10 operations and 50 requests a second, none refused",
            f"{number(per_second[0], '.1f')} and {number(per_second[1], '.1f')} a second, "
            f"{failed:.0f} failed",
            min(per_second[0] / 10, per_second[1] / 50),
            lambda share: share > 0.95 and not failed,
        ),
    ]


# What two slices of the same differ by at the least on a quiet machine; less is not later.
_NO_LATER_US = 10


def lsl(results: Results) -> list[Verdict]:
    """One session over LSL, and its clients over WebSocket with inlets beside them and without."""
    ratio = results.ratio(PHANTOMLINK_LSL, PYLSL_DEADLINE, _interval_p99)
    gaps = sum(m.raw.gaps for m in results.of(PHANTOMLINK_LSL))
    received = sum(m.raw.packets for m in results.of(PHANTOMLINK_LSL))
    return [
        _verdict(
            "over LSL, interval error p99 within 2x of the bare pylsl deadline loop's",
            estimate_ratio(ratio),
            ratio.median,
            lambda r: r <= 2,
        ),
        _verdict(
            "over LSL, no sample missing from the grid of timestamps",
            f"{gaps} missing in {received} samples",
            0.0 if received else math.nan,
            lambda _: not gaps,
        ),
        *(
            _no_later(results, what, pick)
            for what, pick in (
                ("interval error p99", _interval_p99),
                ("from stamp to client p50", lambda f: f.transit.p50),
                ("left late (stamps) p99", lambda f: f.release.p99),
            )
        ),
    ]


def _no_later(results: Results, what: str, pick: Callable[[Figures], float]) -> Verdict:
    """Whether clients over WebSocket are as punctual with inlets beside them as without."""
    more = results.difference(BESIDE_LSL, PHANTOMLINK, pick)
    return _verdict(
        f"WebSocket clients no later with LSL inlets than without: {what}",
        f"{estimate_us(more)} more; no later: the interval reaches 0, or the median is under "
        f"{_NO_LATER_US} us",
        more.median,
        lambda ns: more.low <= 0 or ns < _NO_LATER_US * _US,
    )


def perturbed(results: Results) -> list[Verdict]:
    """Ten sessions, 40 Hz, beside the same without a perturbation."""
    found = []
    for name, above_us in (("p50", 10), ("p99", 100)):
        above = results.difference(PERTURBED, PHANTOMLINK, lambda f, n=name: getattr(f.release, n))
        found.append(
            _verdict(
                f"lateness {name} at most {above_us} us above that of clean packets (from stamps)",
                estimate_us(above),
                above.median,
                lambda ns, us=above_us: ns <= us * _US,
            )
        )
    return found


def routes(cpu_seconds: dict[str, float]) -> list[Verdict]:
    """CPU of the server for one request to each route that is polled."""
    return [
        _verdict(f"{route} costs under 1 ms of loop time", us(s * 1e9), s, lambda s: s < 1e-3)
        for route, s in cpu_seconds.items()
    ]


def memory(rss_bytes: float, further_bytes: float) -> list[Verdict]:
    """Of the server with 10 sessions, and of each session more."""
    return [
        _verdict(
            "under 120 MB with 10 sessions",
            f"{megabytes(rss_bytes)} resident",
            rss_bytes,
            lambda b: b < 120e6,
        ),
        _verdict(
            "under 100 KB for each further session",
            f"{number(further_bytes / 1e3, '.1f')} KB",
            further_bytes,
            lambda b: b < 100e3,
        ),
    ]


def _interval_p50(figures: Figures) -> float:
    return figures.interval.p50


def _interval_p99(figures: Figures) -> float:
    return figures.interval.p99


def _against_floor(results: Results, above_us: float) -> list[Verdict]:
    ratio = results.ratio(PHANTOMLINK, FLOOR, _interval_p50)
    above = results.difference(PHANTOMLINK, FLOOR, _interval_p99)
    return [
        _verdict(
            "interval error p50 within 2x of the floor's",
            estimate_ratio(ratio),
            ratio.median,
            lambda r: r <= 2,
        ),
        _verdict(
            f"interval error p99 at most the floor's plus {above_us:g} us",
            estimate_us(above),
            above.median,
            lambda ns: ns <= above_us * _US,
        ),
    ]


def _rate_and_gaps(results: Results, low: float, high: float) -> list[Verdict]:
    measured = results.of(PHANTOMLINK)
    counting = [m.counting(lost=m.was_lost) for m in measured]
    # Over all slices: in one of 15 s, a stall of 8 ms at its end alone is 0.02 Hz.
    rates = [_mean(of_client) for of_client in zip(*(f.rates for f in counting), strict=True)]
    slowest, fastest = min(rates, default=math.nan), max(rates, default=math.nan)
    worst = min((f.rate_min for f in counting), default=math.nan)
    best = max((f.rate_max for f in counting), default=math.nan)
    gaps = sum(m.raw.gaps for m in measured)
    closed = sum(len(m.closed) for m in measured)
    return [
        _verdict(
            f"every client within {low:g} to {high:g} Hz",
            f"{number(slowest, '.4f')} to {number(fastest, '.4f')} Hz over all slices "
            f"(in a single one {number(worst, '.4f')} to {number(best, '.4f')})",
            slowest + fastest,
            lambda _: low <= slowest and fastest <= high,
        ),
        _verdict(
            "no gap",
            f"{gaps} missing in {sum(m.raw.packets for m in measured)} packets, "
            f"{_seconds(measured):g} s" + (f", {closed} connections ended" if closed else ""),
            0.0 if measured else math.nan,
            lambda _: not gaps and not closed,
        ),
    ]


def _server_p50(results: Results, limit_us: float) -> Verdict:
    said = _over(results, lambda m: m.report.lateness_p50_ns)
    source = next((m.report.source for m in results.of(PHANTOMLINK)), "")
    if not said.n:
        said = median_over_slices(results.counting(PHANTOMLINK, lambda f: f.release.p50))
        source = "from the stamps"
    return _verdict(
        f"server lateness p50 under {limit_us:g} us",
        f"{estimate_us(said)} ({source})",
        said.median,
        lambda ns: ns < limit_us * _US,
    )


def _drift(results: Results) -> Verdict:
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


def _seam(results: Results) -> Verdict:
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


def _over(results: Results, pick: Callable[[Measured], float]) -> Estimate:
    return median_over_slices([pick(m) for m in results.of(PHANTOMLINK)])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _seconds(measured: list[Measured]) -> float:
    return sum(m.lost.seconds for m in measured)


def _verdict(criterion: str, figure: str, value: float, holds: Callable[[float], bool]) -> Verdict:
    return Verdict(criterion, figure, None if math.isnan(value) else holds(value))
