"""How many sessions of nodes that are gone each node takes over."""

from hypothesis import given
from hypothesis import strategies as st

from phantomlink.cluster.heirs import Heirs, level

LOADS = st.lists(st.integers(0, 300), min_size=1, max_size=8)
WAITING = st.dictionaries(st.sampled_from(["a 1", "b 2", "c 3"]), st.integers(0, 300), max_size=3)
ROOM = 10_000


@given(n=st.integers(0, 1000), loads=LOADS)
def test_the_level_is_the_least_at_which_there_is_room_for_all(n, loads):
    def room(filled):
        return sum(max(filled - load, 0) for load in loads)

    found = level(n, loads)
    assert room(found) >= n
    assert room(found - 1) < n or found == min(loads)


@given(waiting=WAITING, loads=LOADS)
def test_one_look_of_each_node_takes_over_everything_and_no_node_takes_all(waiting, loads):
    left, has = dict(waiting), list(loads)
    for n in range(len(loads)):
        others = has[:n] + has[n + 1 :]
        shares = Heirs().shares(left, has[n], others, ROOM)
        left = {owner: left[owner] - shares[owner] for owner in left}
        has[n] += sum(shares.values())
    assert not any(left.values())
    highest = max(*loads, level(sum(waiting.values()), loads))
    assert max(has) <= highest


def test_nodes_that_have_as_many_take_as_many():
    shares = Heirs().shares({"a 1": 250}, 250, [250, 250], ROOM)
    assert shares == {"a 1": 84}


def test_what_is_left_at_the_second_look_is_taken_as_a_whole():
    heirs = Heirs()
    heirs.shares({"a 1": 90}, 0, [0, 0], ROOM)
    assert heirs.shares({"a 1": 60, "b 2": 30}, 30, [0, 0], ROOM) == {"a 1": 60, "b 2": 0}
    assert heirs.shares({"b 2": 30}, 30, [0, 0], ROOM) == {"b 2": 30}
    assert heirs.shares({}, 30, [0, 0], ROOM) == {}
    assert heirs.shares({"b 2": 3}, 0, [0, 0], ROOM) == {"b 2": 1}


@given(first=WAITING, second=WAITING, loads=LOADS, room=st.integers(0, 50))
def test_nobody_takes_more_than_there_is_room_for_or_than_waits(first, second, loads, room):
    heirs = Heirs()
    for waiting in (first, second):
        shares = heirs.shares(waiting, loads[0], loads[1:], room)
        assert shares.keys() == waiting.keys()
        assert sum(shares.values()) <= room
        assert all(0 <= shares[owner] <= n for owner, n in waiting.items())
