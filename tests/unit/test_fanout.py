"""The order in which listeners have a packet, and what becomes of one that fails."""

from dataclasses import dataclass, field

import pytest

from phantomlink.engine.fanout import Fanout


@dataclass(eq=False)
class Listener:
    name: str
    order: list
    is_deferred: bool = False
    fails: bool = False
    wire_format: object = None
    is_listening: bool = True
    taken: list = field(default_factory=list)

    def offer_nowait(self, release):
        self.order.append(self.name)
        if self.fails:
            raise ValueError("a bug")
        self.taken.append(release)


@pytest.fixture
def fanout():
    return Fanout()


@pytest.fixture
def add(fanout):
    order = []

    def add(name, **kwargs):
        listener = Listener(name, order, **kwargs)
        fanout.add(listener)
        return listener

    add.order = order
    return add


def test_those_that_come_last_have_it_when_all_others_do(fanout, add):
    for name, last in (("slow", True), ("a", False), ("inlets", True), ("b", False)):
        add(name, is_deferred=last)
    assert fanout.offer("packet") == []
    assert add.order == ["a", "b"]
    assert fanout.n_first == 2
    assert fanout.offer_last("packet") == []
    assert add.order == ["a", "b", "slow", "inlets"]


@pytest.mark.parametrize(("n", "is_given_way"), [(1, False), (2, True), (32, True), (33, False)])
def test_a_few_are_given_way_between_two_of_them(fanout, add, n, is_given_way):
    for k in range(n):
        add(k, is_deferred=k == 1 < n - 1)
    fanout.offer("packet", lambda: add.order.append("way"))
    taken = [k for k in range(n) if k != 1 or n == 2]
    ways = ["way"] * (len(taken) - 1) if is_given_way else []
    assert [each for each in add.order if each != "way"] == taken
    assert add.order[1::2] == ways if is_given_way else "way" not in add.order


def test_who_comes_last_is_asked_at_every_packet(fanout, add):
    a, b = add("a"), add("b")
    for k, a.is_deferred in enumerate((True, False, True)):
        b.is_deferred = not a.is_deferred
        add.order.clear()
        fanout.offer(k)
        fanout.offer_last(k)
        assert add.order == (["b", "a"] if a.is_deferred else ["a", "b"])
    assert a.taken == b.taken == [0, 1, 2]


def test_who_has_left_is_not_offered_the_rest_of_the_tick(fanout, add):
    add("a")
    last = add("last", is_deferred=True)
    fanout.offer("packet")
    fanout.discard(last)
    fanout.offer("next")
    fanout.offer_last("next")
    assert last.taken == []


@pytest.mark.parametrize("is_deferred", [False, True])
def test_one_that_fails_is_named_and_costs_nobody_the_packet(fanout, add, is_deferred, caplog):
    broken = add("broken", is_deferred=is_deferred, fails=True)
    others = [add("a"), add("b", is_deferred=True)]
    first, last = fanout.offer("packet"), fanout.offer_last("packet")
    assert (last if is_deferred else first) == [broken]
    assert (first if is_deferred else last) == []
    assert [each.taken for each in others] == [["packet"]] * 2
    assert caplog.text.count("A sink failed and is dropped") == 1
    assert "a bug" in caplog.text


def test_nobody_at_all_takes_nothing(fanout):
    assert fanout.offer("packet") == []
    assert fanout.offer_last("packet") == []
    assert fanout.n_first == 0
