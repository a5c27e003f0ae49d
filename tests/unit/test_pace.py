from fractions import Fraction

import pytest

from phantomlink.engine.pace import check_pace, exact_speed, rate_of_bin_size
from phantomlink.errors import InvalidParameterError


@pytest.mark.parametrize(
    ("bin_size_ms", "rate_hz"),
    [(25.0, 40), (25, 40), (1, 1000), (1000, 1), (12.5, 80), (3.3, Fraction(10000, 33))],
)
def test_rates_are_exact(bin_size_ms, rate_hz):
    assert rate_of_bin_size(bin_size_ms) == rate_hz


@pytest.mark.parametrize("bad", [0, 0.99, 1000.1, -5, float("nan"), float("inf")])
def test_bin_sizes_outside_are_refused(bad):
    with pytest.raises(InvalidParameterError, match=r"bin_size_ms: got .*, takes 1 to 1000"):
        rate_of_bin_size(bad)


def test_speeds_are_exact():
    assert exact_speed(0.1) == Fraction(1, 10)
    assert exact_speed(100) == 100
    assert exact_speed(1 / 3) == Fraction(1, 3)


@pytest.mark.parametrize("bad", [0, 0.09, 100.5, -1, float("nan"), float("-inf")])
def test_speeds_outside_are_refused(bad):
    with pytest.raises(InvalidParameterError, match=r"speed: got .*, takes 0\.1 to 100"):
        exact_speed(bad)


def test_what_would_be_too_many_packets_a_second_is_refused():
    check_pace(Fraction(40), Fraction(100))
    check_pace(Fraction(1000), Fraction(4))
    with pytest.raises(InvalidParameterError, match=r"with bins of 1 ms.*4000.*a speed of 4 here"):
        check_pace(Fraction(1000), Fraction(5))
