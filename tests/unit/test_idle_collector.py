"""The collector: each collection looks at little, whatever there is, and nothing is given up."""

import gc
import weakref
from collections import deque
from contextlib import contextmanager

import pytest

from phantomlink.scheduling.idle_collector import (
    BURST_OBJECTS,
    MOST_OBJECTS,
    YOUNG_OBJECTS,
    IdleGarbageCollector,
)


class Node:
    """One of a cycle."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def collector():
    thresholds, was_enabled = gc.get_threshold(), gc.isenabled()
    with IdleGarbageCollector() as it:
        yield it
    assert gc.get_threshold() == thresholds
    assert gc.isenabled() == was_enabled
    assert gc.get_freeze_count() == 0


@contextmanager
def sizes():
    """How many objects each collection had to look at, at most."""
    seen = []

    def notice(phase, info):
        if phase == "start":
            seen.append(sum(len(gc.get_objects(n)) for n in range(info["generation"] + 1)))

    gc.callbacks.append(notice)
    try:
        yield seen
    finally:
        gc.callbacks.remove(notice)


@pytest.mark.parametrize("made_between_offers", [100, 2_000, 30_000, 200_000])
def test_a_collection_looks_at_a_bounded_number_of_objects(collector, made_between_offers):
    alive = []
    with sizes() as seen:
        while len(alive) < 200_000:
            alive += [[] for _ in range(made_between_offers)]
            collector.offer()
    assert len(seen) > 3
    assert max(seen) < MOST_OBJECTS + 2 * BURST_OBJECTS
    assert collector.pauses.count == len(seen)


def test_as_many_that_go_as_come_are_counted_too(collector):
    # As in a session that plays: packets are read ahead, and gone when they have been sent.
    alive = deque([] for _ in range(150_000))
    gc.collect(1)
    with sizes() as seen:
        for _ in range(60_000):
            for _ in range(10):
                alive.append([])
                alive.popleft()
            collector.offer()
    assert len(seen) > 3
    assert max(seen) <= MOST_OBJECTS


def test_garbage_of_the_young_is_found_while_it_plays(collector):
    gone = []
    for _ in range(50 * MOST_OBJECTS // 1000):
        for _ in range(1000):
            node = Node()
        gone.append(weakref.ref(node))
        del node
        collector.offer()
    assert sum(ref() is not None for ref in gone) < 2 * MOST_OBJECTS // 1000


def test_garbage_of_what_was_frozen_is_found_when_nothing_plays(collector):
    node = Node()
    gone = weakref.ref(node)
    alive = [[] for _ in range(2 * MOST_OBJECTS)]
    collector.offer()
    assert gc.get_freeze_count() > len(alive) // 2
    del node
    collector.offer()
    collector.collect_all()
    assert gone() is None
    # Once: not again before something has been frozen since.
    n = collector.pauses.count
    collector.collect_all()
    assert collector.pauses.count <= n + 1


def test_where_others_make_objects_too_everything_is_looked_at_again():
    with IdleGarbageCollector(freezes=False) as collector:
        node = Node()
        gone = weakref.ref(node)
        alive = []
        for _ in range(20):
            alive += [[] for _ in range(MOST_OBJECTS)]
            collector.offer()
        del node
        for _ in range(2000):
            alive += [[] for _ in range(YOUNG_OBJECTS + 100)]
            collector.offer()
            if gone() is None:
                break
        assert gone() is None
