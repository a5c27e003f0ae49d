"""The figures of a slice, from arrivals that are known to the nanosecond."""

import math
from fractions import Fraction

import numpy as np
import pytest

from tools.bench.harness.arrivals import Arrivals, wall_offset_ns
from tools.bench.jitter.series import (
    WAKE_NS,
    Line,
    count_gaps,
    figures,
    seams,
    touched,
    with_backlog,
)

RATE = Fraction(40)
PERIOD = 25_000_000
START = 10**15
MS = 1_000_000


def connection(late_ns, sequence=None, packet_id=None, transit_ns=50_000, waited_ns=0) -> Arrivals:
    late = np.asarray(late_ns, dtype=np.int64)
    sequence = np.arange(len(late)) if sequence is None else np.asarray(sequence)
    arrival = START + sequence * PERIOD + late
    return Arrivals(
        arrival_ns=arrival,
        waited_ns=np.full(len(late), waited_ns),
        sequence=sequence,
        packet_id=sequence if packet_id is None else np.asarray(packet_id),
        stamp_ns=arrival - transit_ns,
    )


def test_intervals_and_lateness() -> None:
    late = np.zeros(101, dtype=np.int64)
    late[50] = 3 * MS
    found = figures([connection(late)], RATE)
    assert (found.packets, found.connections, found.gaps, found.reanchors) == (101, 1, 0, 0)
    # One late packet makes two intervals wrong, and is itself the only late one.
    assert (found.interval.count, found.interval.p50, found.interval.max) == (100, 0, 3 * MS)
    assert (found.grid.count, found.grid.p99, found.grid.max) == (101, 0, 3 * MS)
    assert (found.release.max, found.transit.p50, found.kept) == (3 * MS, 50_000, 1)
    assert found.rates == (40.0,)
    assert found.drift_ppm == 0


def test_an_interval_over_a_gap_is_no_interval() -> None:
    found = figures([connection([0, 0, 0, 0], [0, 1, 4, 5])], RATE)
    assert (found.gaps, found.interval.count, found.interval.max) == (2, 2, 0)
    assert found.rates == (40.0,)


def test_gaps_are_counted_by_number_not_by_time() -> None:
    assert count_gaps(np.array([3, 4, 5])) == 0
    assert count_gaps(np.array([3, 5, 9, 10])) == 4


def test_connections_are_pooled_and_the_worst_rates_show() -> None:
    slow = connection(np.arange(41) * 25_000)  # 0.1 % slow
    found = figures([connection([0] * 41), slow], RATE)
    assert found.interval.count == 80
    assert found.rates == (40.0, pytest.approx(40 / 1.001))
    assert found.drift_ppm == pytest.approx(1000)


def test_one_that_heard_nothing_does_not_hide_behind_the_others() -> None:
    silent = connection([])
    assert figures([connection([0] * 41), silent], RATE).rates == (40.0, 0)
    nothing = figures([silent], RATE)
    assert (nothing.packets, nothing.rates) == (0, (0.0,))
    assert math.isnan(nothing.interval.p50)


def test_a_stall_touches_the_packets_that_were_on_their_way() -> None:
    arrival = START + np.arange(6) * PERIOD
    late = np.zeros(6, dtype=np.int64)
    late[3] = 4 * MS
    due = int(arrival[3])
    arrival[3] += 4 * MS

    def is_touched(begin: int, end: int) -> list[int]:
        return np.flatnonzero(touched(arrival, late, PERIOD, [(begin, end)])).tolist()

    assert is_touched(due + MS, due + 3 * MS) == [3]
    assert is_touched(due - WAKE_NS // 2, due - WAKE_NS // 4) == [3]
    # What the host takes while everybody sleeps delays nobody.
    assert is_touched(due - 10 * MS, due - 2 * WAKE_NS) == []
    assert is_touched(due + 4 * MS, due + 9 * MS) == []
    # A long one touches all whose way it overlaps, whatever shorter ones lie within it.
    stalls = [(due - 60 * MS, due + 2 * MS), (due - 50 * MS, due - 49 * MS)]
    assert np.flatnonzero(touched(arrival, late, PERIOD, stalls)).tolist() == [1, 2, 3]
    assert not touched(arrival, late, PERIOD, []).any()


def test_intervals_on_both_sides_of_a_touched_packet_are_left_out() -> None:
    late = np.zeros(101, dtype=np.int64)
    late[50] = 3 * MS
    late[70] = MS // 2
    due = START + 50 * PERIOD
    found = figures([connection(late)], RATE, [(due, due + 3 * MS - 1000)])
    assert (found.interval.count, found.interval.max) == (98, MS // 2)
    assert (found.grid.count, found.grid.max) == (100, MS // 2)
    assert found.kept == pytest.approx(0.98)
    # The packets are all there; only their times do not count.
    assert (found.packets, found.gaps) == (101, 0)


def test_a_rate_is_read_between_packets_that_count() -> None:
    late = [0] * 40 + [30 * MS]
    assert figures([connection(late)], RATE).rates[0] == pytest.approx(40 * 1000 / 1030)
    due = START + 40 * PERIOD
    assert figures([connection(late)], RATE, [(due, due + 29 * MS)]).rates == (40.0,)
    everything = [(START - PERIOD, START + 50 * PERIOD)]
    assert math.isnan(figures([connection(late)], RATE, everything).rates[0])


def test_a_packet_that_drifts_away_is_not_under_way_for_ever() -> None:
    # Late to the grid by far more than a period: it was only slow to be sent, not on its way.
    late = np.arange(200) * MS
    far = START + 190 * PERIOD  # long before packet 190 of this stream arrives
    hit = touched(connection(late).arrival_ns, late, PERIOD, [(far, far + MS)])
    assert 0 < hit.sum() <= 3


def test_clients_of_one_session_are_compared_packet_by_packet() -> None:
    first, second = connection([0, 0, 0, 0]), connection([100, 300, 200, 0])
    # The second client came in late and misses the first packet.
    second = second.within(START + PERIOD - 1, START + 10 * PERIOD)
    found = figures([first, second], RATE, shared=True)
    assert (found.spread.count, found.spread.p50, found.spread.max) == (3, 200, 300)
    assert figures([first, second], RATE).spread.count == 0
    # A packet that one of them lost is not compared.
    holed = connection([0, 900, 0], [0, 1, 3])
    found = figures([first, holed], RATE, shared=True)
    assert (found.spread.count, found.spread.max) == (3, 900)
    stamp = first.stamp_ns
    late_stamp = Arrivals(
        second.arrival_ns, second.waited_ns, second.sequence, second.packet_id, stamp[1:]
    )
    found = figures([first, late_stamp], RATE, shared=True)
    assert (found.last.p50, found.last.max) == (50_200, 50_300)


def test_the_seam_is_where_the_packet_id_falls_back() -> None:
    late = [0, 0, 0, 4000, 0, 0]
    stream = connection(late, packet_id=[97, 98, 99, 0, 1, 2])
    (seam,) = seams(stream, RATE)
    assert (seam.error_ns, seam.stalled) == (4000, False)
    assert seam.at_seconds == pytest.approx(0.075, abs=1e-4)
    due = START + 3 * PERIOD
    assert seams(stream, RATE, [(due - 1000, due + 100)])[0].stalled
    assert seams(connection([0] * 5), RATE) == []


def test_within_is_half_open() -> None:
    stream = connection([0, 0, 0, 0])
    cut = stream.within(START + PERIOD, START + 3 * PERIOD)
    assert cut.sequence.tolist() == [1, 2]
    assert len(cut.stamp_ns) == len(cut.packet_id) == len(cut.waited_ns) == 2


def test_a_wall_clock_whose_rate_is_turned_is_followed() -> None:
    unix = 1_767_225_600 * 10**9
    times = START + np.array([0, 5, 10]) * 10**9
    offsets = [(START, unix - START), (START + 10 * 10**9, unix - START + 4000)]
    found = wall_offset_ns(times, offsets)
    assert (found - (unix - START)).tolist() == [0, 2000, 4000]


def test_what_a_stall_held_up_ends_with_the_first_packet_that_leaves_on_time() -> None:
    late_ns = [0, 0, 9_000_000, 3_000_000, 0, 0]
    line = Line(connection(late_ns, transit_ns=0), RATE)
    stamps = line.of.stamp_ns
    ends = int(stamps[2]) + 1
    assert with_backlog([(ends - 10, ends)], [line]) == [(ends - 10, int(stamps[4]))]
    after_all = int(stamps[-1]) + 5
    assert with_backlog([(1, after_all)], [line]) == [(1, after_all)]
    assert with_backlog([], [line]) == []
