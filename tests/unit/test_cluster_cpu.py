"""What `tools/cluster.py` counts as CPU time."""

import pytest

from tools.cluster_cpu import Look, usage

LOOKS = [Look(at, used) for at, used in ((10, 1), (11, 1.2), (12, 2.0), (13, 2.2), (14, 2.4))]


def test_all_of_it_where_the_host_does_nothing():
    found = usage(LOOKS, [])
    assert (found.share, found.left_out) == (pytest.approx(1.4 / 4), 0)


@pytest.mark.parametrize("stall", [(11.2, 11.3), (11.0, 12.0), (11.9, 11.95)])
def test_what_the_host_touched_is_left_out(stall):
    found = usage(LOOKS, [stall, (9, 9.5), (14, 20)])
    assert (found.share, found.left_out) == (pytest.approx(0.2), 0.25)


def test_a_stall_over_several_looks_and_one_over_all_of_them():
    assert usage(LOOKS, [(10.5, 12.5)]).left_out == 0.75
    found = usage(LOOKS, [(0, 20)])
    assert (found.share, found.left_out) == (pytest.approx(1.4 / 4), 1)
