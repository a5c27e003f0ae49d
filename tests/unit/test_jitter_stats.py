"""Percentiles and bootstrap intervals of the benchmark."""

import math

import numpy as np
import pytest

from tools.bench.harness.stats import (
    median_over_slices,
    paired_difference,
    paired_ratio,
    pooled_difference,
    quantiles,
)


def test_percentiles_are_values_that_occurred() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1, 1001))
    found = quantiles(values)
    assert (found.count, found.p50, found.p99, found.p999, found.max) == (1000, 500, 990, 999, 1000)


def test_percentiles_of_nothing_are_not_numbers() -> None:
    found = quantiles(np.empty(0, dtype=np.int64))
    assert found.count == 0
    assert math.isnan(found.p50)
    assert math.isnan(found.max)


def test_one_slice_has_no_spread() -> None:
    found = median_over_slices([7.0])
    assert (found.median, found.low, found.high, found.n) == (7.0, 7.0, 7.0, 1)


def test_slices_without_a_figure_are_left_out() -> None:
    found = median_over_slices([1.0, math.nan, 3.0, 2.0])
    assert (found.median, found.n) == (2.0, 3)
    nothing = median_over_slices([math.nan])
    assert nothing.n == 0
    assert math.isnan(nothing.median)


def test_the_same_figures_give_the_same_interval() -> None:
    values = list(np.random.default_rng(2).exponential(size=20))
    assert median_over_slices(values) == median_over_slices(values)


def test_pairs_are_of_the_same_slices() -> None:
    assert paired_difference([3.0, 5.0], [1.0, 1.0]).median == 3.0
    assert paired_ratio([3.0, 5.0], [1.0, 2.0]).median == 2.75
    assert math.isnan(paired_ratio([1.0], [0.0]).median)
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])


def test_a_pooled_percentile_is_of_all_values_and_its_interval_of_pairs_of_slices() -> None:
    slices = [np.arange(1, 101, dtype=np.int64) + 1000 * (k == 0) for k in range(10)]
    later = [values + 7 for values in slices]
    first, second, more = pooled_difference(later, slices, 0.5)
    assert second.median == np.quantile(slices, 0.5, method="inverted_cdf") == 56
    assert first.median == 63
    # Whatever is drawn, it is drawn for both.
    assert (more.median, more.low, more.high, more.n) == (7, 7, 7, 10)
    assert second.low < second.high


def test_a_pooled_percentile_without_pairs_is_no_number() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert all(each.n == 0 for each in pooled_difference([nothing], [np.arange(3)], 0.99))
