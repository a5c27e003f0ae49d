"""How often an address may ask: exact, on a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.access.rates import MAX_ADDRESSES, RequestRates


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_burst_then_a_rate():
    clock = Clock()
    rates = RequestRates(10, 5, clock)
    assert [rates.take("a") for _ in range(5)] == [0] * 5
    assert rates.take("a") == pytest.approx(0.1)
    clock.now += 0.05
    assert rates.take("a") == pytest.approx(0.05)
    assert rates.take("b") == 0
    clock.now += 0.06
    assert rates.take("a") == 0
    assert rates.take("a") > 0
    clock.now += 1e6
    assert [rates.take("a") == 0 for _ in range(6)] == [True] * 5 + [False]


def test_what_has_filled_up_since_is_the_time_since_whenever_that_was():
    clock = Clock()
    clock.now = 1.0
    rates = RequestRates(1, 8, clock)
    assert [rates.take("a") for _ in range(8)] == [0] * 8
    clock.now = 6.0
    assert [rates.take("a") for _ in range(6)] == [0] * 5 + [1]


def test_requests_that_another_process_let_pass_count():
    clock = Clock()
    rates, passed = RequestRates(10, 3, clock), []
    rates.after_take = passed.append
    rates.taken_elsewhere("a")
    assert [rates.take("a") for _ in range(2)] == [0, 0]
    assert rates.take("a") == pytest.approx(0.1)
    # One that is refused is not told; more than there were cost no more.
    assert passed == ["a", "a"]
    rates.taken_elsewhere("a")
    assert rates.take("a") == pytest.approx(0.1)


def test_without_a_limit_nothing_is_remembered():
    rates = RequestRates(0, 1)
    assert not any(rates.take("a") for _ in range(100))
    assert len(rates) == 0


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_never_more_than_the_burst_and_the_rate_allow(per_second, burst, waits):
    clock = Clock()
    rates = RequestRates(per_second, burst, clock)
    begun, passed = clock.now, 0
    for wait in waits:
        clock.now += wait
        passed += rates.take("a") == 0
        assert passed <= burst + (clock.now - begun) * per_second + 1e-6


@given(st.floats(0.1, 1000), st.integers(1, 50))
def test_who_waits_as_told_is_let_in(per_second, burst):
    clock = Clock()
    rates = RequestRates(per_second, burst, clock)
    for _ in range(burst):
        assert rates.take("a") == 0
    clock.now += rates.take("a") + 1e-6
    assert rates.take("a") == 0


def test_memory_is_bounded_and_the_longest_silent_is_forgotten():
    clock = Clock()
    rates = RequestRates(1, 1, clock, max_addresses=100)
    for n in range(1000):
        rates.take(f"address-{n}")
        assert (rates.take("busy") == 0) == (n == 0)
    assert len(rates) == 100
    # It came all the time, so it is still known for what it is.
    assert rates.take("busy") > 0


def test_what_is_told_to_wait_is_exact_and_a_refusal_costs_nothing():
    clock = Clock()
    rates = RequestRates(4, 2, clock)
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0.25, 0.25]
    clock.now += 0.125
    assert [rates.take("a") for _ in range(3)] == [0.125] * 3
    # Exactly one request: it is there at that moment and not before.
    clock.now += 0.125
    assert [rates.take("a") for _ in range(2)] == [0, 0.25]
    # Never more than the burst, however long nothing comes.
    clock.now += 1e9
    assert [rates.take("a") for _ in range(3)] == [0, 0, 0.25]


def test_addresses_do_not_share_a_bucket():
    rates = RequestRates(1, 1, Clock())
    assert [rates.take(address) for address in "abab"] == [0, 0, 1, 1]


def test_a_new_address_is_limited_also_when_as_many_as_are_remembered_are_known():
    """It is the longest silent that goes, and not the one that has just come."""
    clock = Clock()
    rates = RequestRates(1, 1, clock)
    assert MAX_ADDRESSES == 4096
    for n in range(MAX_ADDRESSES):
        rates.take(f"address-{n}")
    assert len(rates) == MAX_ADDRESSES
    assert rates.take("new") == 0
    assert rates.take("new") == 1
    assert len(rates) == MAX_ADDRESSES
    # The others are still known, but for the first.
    assert rates.take("address-1") == 1
    assert rates.take("address-0") == 0


def test_who_asks_again_is_not_the_longest_silent():
    rates = RequestRates(1, 1, Clock(), max_addresses=2)
    for address in "aba":
        rates.take(address)
    rates.take("c")  # b goes
    assert rates.take("a") == 1
    assert rates.take("b") == 0


def test_the_clock_is_the_monotonic_one(monkeypatch):
    """A wall clock that is set back would refuse everybody for as long."""
    monkeypatch.setattr("time.time", lambda: 0.0)
    rates = RequestRates(1000, 1)
    rates.take("a")
    assert 0 <= rates.take("a") <= 0.001
