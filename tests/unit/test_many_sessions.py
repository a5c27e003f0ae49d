"""What the tool for many sessions makes of the stamps that a client has."""

import numpy as np
import pytest

from tools.bench.harness.arrivals import Arrivals
from tools.many_sessions import Punctuality, punctuality

MS = 1_000_000
PERIOD = 25 * MS
START = 10**12


def arrivals(late_ms):
    """Packets in a row, so late each to the first grid."""
    sequence = np.arange(len(late_ms))
    stamp_ns = START + sequence * PERIOD + np.array(late_ms) * MS
    return Arrivals(stamp_ns + MS, np.zeros_like(sequence), sequence, sequence, stamp_ns)


def around(n, late_ms):
    """A stall of the host from when a packet was due until it left."""
    due = START + n * PERIOD
    return due, due + late_ms * MS


def test_the_latest_tick_is_told():
    assert punctuality(arrivals([0, 2, 0, 7, 1, 0]), []) == Punctuality(6, 7 * MS, 0, 0)


def test_what_the_host_held_up_is_left_out():
    ticks = arrivals([0, 2, 0, 7, 1, 0])
    assert punctuality(ticks, [around(3, 7)]) == Punctuality(6, 2 * MS, 1, 0)


@pytest.mark.parametrize(
    ("stalls", "expected"),
    [
        ([], Punctuality(8, 120 * MS, 0, 0)),
        ([around(3, 120)], Punctuality(8, 2 * MS, 1, 120 * MS)),
        # It was over before the packet was due.
        ([around(1, 10)], Punctuality(8, 120 * MS, 0, 0)),
    ],
)
def test_a_stall_is_late_once_and_is_the_hosts_where_it_touched_it(stalls, expected):
    ticks = arrivals([0, 0, 0, 120, 120, 122, 120, 120])
    assert punctuality(ticks, stalls) == expected
