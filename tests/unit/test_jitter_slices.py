"""Which of two figures counts, and what a slice has lost."""

import math
from dataclasses import replace
from operator import attrgetter

import pytest

from tools.bench.harness.host import Lost, within
from tools.bench.harness.stats import Quantiles
from tools.bench.jitter.series import Figures
from tools.bench.jitter.slices import MAX_LOST, Measured, Results, Usage

EMPTY = Quantiles(0, math.nan, math.nan, math.nan, math.nan)


def a_figure(p50: float) -> Figures:
    alike = ("interval", "grid", "release", "transit", "waited")
    quantiles = dict.fromkeys(alike, Quantiles(100, p50, p50, p50, p50))
    counts = {"connections": 1, "packets": 101, "gaps": 0, "reanchors": 0, "kept": 1.0}
    drift = {"drift_ppm": 0.0, "drift_resolution_ppm": 0.1}
    return Figures(rates=(40.0,), spread=EMPTY, last=EMPTY, **quantiles, **counts, **drift)


def lost(fraction: float, *, probe: bool = True) -> Lost:
    stalls = ((0, int(fraction * 1e10)),) if probe else None
    return Lost(10.0, (fraction * 10, 0.0), 1.0, stalls, (0.0, 0.0) if probe else None)


def a_slice(raw: float, clean: float | None, lost_fraction: float) -> Measured:
    return Measured(
        raw=a_figure(raw),
        clean=None if clean is None else a_figure(clean),
        lost=lost(lost_fraction, probe=clean is not None),
        usage=Usage(),
        receiver_cpu=0.01,
        bytes_per_second=1.0,
        first_packet_seconds=(0.01,),
    )


p50 = attrgetter("interval.p50")


def test_raw_counts_until_more_than_a_tenth_is_lost() -> None:
    found = Results({"a": [a_slice(10, 5, MAX_LOST), a_slice(20, 6, 0.11)]})
    assert found.counting("a", p50).median == 8
    assert [each.was_lost for each in found.everything] == [False, True]


def test_both_sides_of_a_pair_are_treated_alike() -> None:
    found = Results(
        {
            "a": [a_slice(10, 5, 0.0), a_slice(30, 6, 0.5), a_slice(50, 7, 0.0)],
            "b": [a_slice(2, 1, 0.0), a_slice(4, 2, 0.0), a_slice(9, 3, 0.5)],
        }
    )
    # The pairs are (10, 2), (6, 2), (7, 3).
    assert found.difference("a", "b", p50).median == 4
    assert found.ratio("a", "b", p50).median == 3


def test_without_a_probe_there_is_only_raw() -> None:
    found = Results({"a": [a_slice(10, None, 0.9)], "b": [a_slice(2, 1, 0.9)]})
    assert found.counting("a", p50).median == 10
    assert found.difference("a", "b", p50).median == 8
    assert found.difference("b", "a", p50).median == -8


def test_what_was_not_measured_has_no_ratio() -> None:
    found = Results({"a": [a_slice(10, 5, 0.0)]}).ratio("a", "nobody", p50)
    assert found.n == 0
    assert math.isnan(found.median)


def test_the_cpu_that_lost_most_says_how_much_was_lost() -> None:
    measured = lost(0.0)
    assert measured.fraction == 0
    assert replace(measured, steal_seconds=(0.5, 2.0)).fraction == pytest.approx(0.2)
    assert replace(measured, stalled_seconds=(3.0, 0.1)).fraction == pytest.approx(0.3)
    assert replace(measured, steal_seconds=(), stalled_seconds=None).fraction == 0


def test_stalls_are_cut_to_the_slice() -> None:
    stalls = [(0, 5), (8, 12), (15, 30), (40, 50)]
    assert within(stalls, 10, 20) == [(10, 12), (15, 20)]
    assert within([], 0, 1) == []
