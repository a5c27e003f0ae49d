import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.metrics import Histogram, Summary


def test_nothing_recorded_is_none_not_zero():
    assert Histogram().summary() == Summary(0, None, None, None, None, None, None)


@given(st.lists(st.integers(0, 2**35), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_percentiles_are_at_most_an_eighth_above_the_true_value(values, fraction):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    true = sorted(values)[max(-(-int(fraction * len(values) * 10**9) // 10**9) - 1, 0)]
    got = histogram.percentile(fraction)
    assert got <= max(values)
    assert got >= true
    summary = histogram.summary()
    assert summary.max_ns == max(values)
    assert summary.count == len(values)
    assert summary.mean_ns == pytest.approx(statistics.fmean(values))


@given(st.integers(0, 2**35))
def test_one_value_is_its_own_percentile(value):
    histogram = Histogram()
    histogram.record(value)
    histogram.record(2**36)
    got = histogram.percentile(0.5)
    assert value <= got <= value * 1.125 + 1


def test_what_is_longer_than_the_last_bucket_is_still_counted():
    histogram = Histogram()
    histogram.record(2**40)
    histogram.record(-5)
    assert histogram.count == 2
    assert histogram.summary().max_ns == 2**40
    assert histogram.percentile(0.5) == 0


@given(st.lists(st.integers(0, 2**35), min_size=1, max_size=100))
def test_buckets_hold_every_record_below_their_edges(values):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    buckets = histogram.buckets()
    assert sum(n for _, n in buckets) == len(values)
    edges = [edge for edge, _ in buckets]
    assert edges == sorted(set(edges))
    for edge, _ in buckets:
        assert sum(n for upper, n in buckets if upper <= edge) == sum(v <= edge for v in values)
