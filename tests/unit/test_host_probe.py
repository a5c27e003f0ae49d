import pytest

from tools.bench.harness.probe import UsualTime

_USUAL_NS = 20_000


@pytest.fixture
def usual():
    return UsualTime([_USUAL_NS - 1_000, _USUAL_NS, 9 * _USUAL_NS])


def test_work_that_takes_several_times_as_long_says_that_the_cpu_was_slowed(usual):
    assert not usual.is_exceeded(_USUAL_NS)
    assert not usual.is_exceeded(2 * _USUAL_NS)
    assert usual.is_exceeded(3 * _USUAL_NS)


def test_a_slow_time_is_seen_to_its_end(usual):
    # 0.2 s, a piece each 2 ms.
    assert all(usual.is_exceeded(4 * _USUAL_NS) for _ in range(100))


def test_a_machine_that_stays_slower_has_another_usual_time(usual):
    for _ in range(5_000):
        usual.is_exceeded(3 * _USUAL_NS)
    assert not usual.is_exceeded(3 * _USUAL_NS)
    assert usual.is_exceeded(8 * _USUAL_NS)
