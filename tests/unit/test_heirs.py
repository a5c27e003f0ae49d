"""How many sessions of nodes that are gone each node takes over."""

from hypothesis import given
from hypothesis import strategies as st

from phantomlink.cluster.heirs import Heirs
from phantomlink.cluster.shared_directory import Estate

OWNERS = st.sampled_from(["a 1", "b 2", "c 3"])
COUNTS = st.dictionaries(OWNERS, st.integers(0, 300), max_size=3)
ROOM = 10_000


def whole(counts):
    return {owner: Estate(n, n) for owner, n in counts.items()}


@given(counts=COUNTS, n_nodes=st.integers(1, 8))
def test_one_look_of_each_node_takes_over_everything_in_equal_shares(counts, n_nodes):
    waiting = whole(counts)
    for _ in range(n_nodes):
        shares = Heirs().shares(waiting, n_nodes, ROOM)
        for owner, estate in waiting.items():
            assert shares[owner] <= -(-estate.n_all // n_nodes)
        waiting = {
            owner: Estate(estate.n_left - shares[owner], estate.n_all)
            for owner, estate in waiting.items()
        }
    assert not any(estate.n_left for estate in waiting.values())


def test_what_is_left_at_the_second_look_is_taken_as_a_whole():
    heirs = Heirs()
    assert heirs.shares(whole({"a 1": 90}), 3, ROOM) == {"a 1": 30}
    waiting = {"a 1": Estate(60, 90), "b 2": Estate(30, 30)}
    assert heirs.shares(waiting, 3, ROOM) == {"a 1": 60, "b 2": 10}
    assert heirs.shares({"b 2": Estate(20, 30)}, 3, ROOM) == {"b 2": 20}
    assert heirs.shares({}, 3, ROOM) == {}
    assert heirs.shares(whole({"b 2": 3}), 3, ROOM) == {"b 2": 1}


@given(first=COUNTS, second=COUNTS, n_nodes=st.integers(1, 8), room=st.integers(0, 50))
def test_nobody_takes_more_than_there_is_room_for_or_than_waits(first, second, n_nodes, room):
    heirs = Heirs()
    for counts in (first, second):
        shares = heirs.shares(whole(counts), n_nodes, room)
        assert shares.keys() == counts.keys()
        assert sum(shares.values()) <= room
        assert all(0 <= shares[owner] <= n for owner, n in counts.items())
