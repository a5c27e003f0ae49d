"""What the runs with real nodes make of what their clients got."""

import pytest

from tools.cluster_clients import _is_close
from tools.cluster_judge import returns
from tools.cluster_scene import by_connection, got_from, grid_moves_ms, missed_between

A, B = "ws://a/stream/s", "ws://b/stream/s"


class FakeClient:
    """One that got (owner, numbers, when the first left) on each connection, at 40 Hz."""

    tries_others = True

    def __init__(self, *connections):
        self._connections = connections

    def messages(self):
        for number, (owner, sent, first_s) in enumerate(self._connections):
            yield number, first_s, {"type": "metadata", "session": {"url": owner}}
            for each in sent:
                stamp = first_s + (each - sent[0]) / 40
                data = {"sequence_number": each, "timestamp": stamp}
                yield number, stamp, {"type": "data", "data": data}


@pytest.fixture
def client():
    """Its session is on the same grid at the heir."""
    return FakeClient((A, range(10), 100.0), (A, (), 100.3), (B, range(50, 60), 101.25))


def test_packets_are_of_who_sent_them(client):
    assert [each.number for each in got_from(client, "http://a", is_owner=True)] == [*range(10)]
    assert [each.number for each in got_from(client, "http://a", is_owner=False)] == [
        *range(50, 60)
    ]
    assert [len(its) for its in by_connection(client)] == [10, 10]
    assert missed_between(client) == [40]


def test_a_grid_that_moves_is_seen(client):
    assert grid_moves_ms(client) == [pytest.approx(0, abs=1e-3)]
    moved = FakeClient((A, range(10), 100.0), (B, range(50, 60), 101.253))
    assert grid_moves_ms(moved) == [pytest.approx(3, abs=1e-3)]


def test_a_session_that_held_between_two_connections_is_not_late_for_ever():
    held = FakeClient((A, range(100), 100.0), (A, range(100, 200), 103.5))
    found = returns([held], [102.0, 104.0], 106.0)
    assert found.back_s == [pytest.approx(1.5)]
    assert max(found.others_late_ms) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("data", "is_close"),
    [
        (b"\x88\x02\x03\xe8", True),
        (b"\x82\x03abc\x88\x06\x11\x3bgone", True),
        (b"\x82\x03\x88\x02x", False),
        (b"\x88", False),
        (bytes(600) + b"\x88\x02\x03\xe8", False),
    ],
)
def test_a_close_is_told_from_packets(data, is_close):
    assert _is_close(data) is is_close
