"""What `tools/cluster.py` finds in what clients got: rates, gaps, lateness, wrong packets."""

import pytest

from tools.cluster_clients import Client
from tools.cluster_judge import judge, lateness_ms, packets, returns

PERIOD = 0.025


class Told(Client):
    """A client of which is told what it got."""

    def __init__(self, *connections, tries_others=False, url="http://a"):
        super().__init__("c", tries_others=tries_others)
        self.told = connections
        self.url = url

    def messages(self):
        for number, got in enumerate(self.told):
            yield number, 0.0, {"type": "metadata", "session": {"url": f"{self.url}/{number}"}}
            for at, sequence_number in got:
                data = {"sequence_number": sequence_number, "timestamp": 1000 + at}
                yield number, at, {"type": "data", "data": data}


class KnowsAll:
    """Every packet is right but those of some numbers."""

    def __init__(self, *wrong):
        self.wrong = wrong

    def is_right(self, data):
        return data["sequence_number"] not in self.wrong


def on_grid(*numbers, later=0.0):
    return [(number * PERIOD + later, number) for number in numbers]


def test_a_session_that_keeps_its_rate():
    verdict = judge([Told(on_grid(*range(100)))], KnowsAll(), 1000.5, 1002.0)
    assert verdict.rates_hz == [pytest.approx(40)]
    assert len(verdict.lateness_ms) == 61
    assert max(verdict.lateness_ms) == pytest.approx(0, abs=1e-6)
    assert (verdict.packets, verdict.skipped, verdict.repeated, verdict.wrong) == (100, 0, 0, 0)


def test_lateness_is_without_what_the_host_touched():
    late = [*on_grid(*range(10)), (10 * PERIOD + 0.02, 10), *on_grid(*range(11, 20))]
    held_up = (1000 + 10 * PERIOD, 1000 + 10 * PERIOD + 0.015)
    with_it, without = (
        judge([Told(late)], KnowsAll(), 0, 2000, stalls) for stalls in ([], [held_up])
    )
    assert max(with_it.lateness_ms) == pytest.approx(20, abs=1e-6)
    assert max(without.lateness_ms) == pytest.approx(0, abs=1e-6)
    assert len(without.lateness_ms) == 19
    assert without.rates_hz == with_it.rates_hz


def test_what_is_missing_counts_only_within_a_connection_and_in_the_time_that_is_measured():
    client = Told(on_grid(0, 1, 4, 5), on_grid(50, 51, 54, 55))
    assert judge([client], KnowsAll(), 0, 2000).skipped == 4
    assert judge([client], KnowsAll(), 1001, 2000).skipped == 2


def test_what_comes_twice_or_is_wrong():
    twice_on_one = Told(on_grid(0, 1, 1, 2))
    from_two_processes = Told(on_grid(0, 1), on_grid(1, 2))
    for client in (twice_on_one, from_two_processes):
        assert judge([client], KnowsAll(), 0, 2000).repeated == 1
    assert judge([Told(on_grid(0, 1, 2))], KnowsAll(1), 0, 2000).wrong == 1


def test_a_packet_of_the_old_owner_after_the_first_of_the_heir():
    client = Told(on_grid(0, 1, 9), on_grid(4, 5, 6), tries_others=True)
    assert judge([client], KnowsAll(), 0, 2000).after_heir == 1


def test_a_session_that_does_not_play():
    verdict = judge([Told([]), Told(on_grid(0, 1))], KnowsAll(), 0, 2000)
    assert (verdict.silent, len(verdict.rates_hz)) == (1, 1)


def test_lateness_is_against_the_grid_of_all_connections():
    client = Told(on_grid(0, 1, later=0.004), on_grid(10, 11))
    assert lateness_ms(list(packets(client))) == pytest.approx([4, 4, 0, 0], abs=1e-6)


def test_streams_that_are_cut_off_come_back_and_others_go_on():
    cut_off = Told(on_grid(*range(40)), on_grid(*range(60, 120)))
    other = Told(on_grid(*range(60)) + on_grid(*range(60, 120), later=0.003))
    found = returns([cut_off, other], [1.0], 3.0)
    assert found.back_s == [pytest.approx(0.5)]
    assert max(found.others_late_ms) == pytest.approx(3)
    assert len(found.others_late_ms) == len(found.others_after_s) == 79
    assert not found.not_back


def test_a_stream_that_does_not_come_back():
    assert returns([Told(on_grid(*range(40)))], [1.0], 7.0).not_back == 1
    assert returns([Told(on_grid(*range(60)))], [1.0], 7.0).not_back == 1


def test_packets_that_the_host_held_up_say_nothing_of_the_others():
    other = Told(on_grid(*range(60)) + on_grid(60, later=0.009) + on_grid(*range(61, 120)))
    at = 60 * PERIOD
    found = returns([other], [1.0], 3.0, [(at + 0.001, at + 0.008)])
    assert found.left_out == 1
    assert max(found.others_late_ms) == pytest.approx(0, abs=1e-6)
    assert returns([other], [1.0], 3.0, [(at + 0.012, at + 0.02)]).left_out == 0
