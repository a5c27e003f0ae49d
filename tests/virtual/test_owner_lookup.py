"""Many ask who has a session: one question of the directory for all."""

import pytest
import trio

from phantomlink.cluster.lookup import OwnerLookup
from phantomlink.cluster.shared_directory import DirectoryAwayError, Ownership


class Asked:
    """A directory that takes a second for each answer."""

    def __init__(self):
        self.questions = []
        self.is_away = False

    async def find(self, codes):
        self.questions.append(codes)
        await trio.sleep(1)
        if self.is_away:
            raise DirectoryAwayError("away")
        return {code: Ownership(f"of {code}") for code in codes if code != "none"}


@pytest.fixture
async def asked(autojump_clock, nursery):
    asked = Asked()
    asked.lookup = OwnerLookup(asked.find)
    nursery.start_soon(asked.lookup.run)
    yield asked
    nursery.cancel_scope.cancel()


async def test_what_is_asked_meanwhile_is_one_question(autojump_clock, asked):
    got = {}

    async def ask(code, after):
        await trio.sleep(after)
        got[code] = await asked.lookup.owner_of(code)

    async with trio.open_nursery() as nursery:
        for code, after in (("a", 0), ("none", 0.5), ("b", 0.6), ("c", 0.9)):
            nursery.start_soon(ask, code, after)
    assert asked.questions == [["a"], ["b", "c", "none"]]
    assert got == {"none": None} | {code: Ownership(f"of {code}") for code in "abc"}


async def test_one_who_goes_away_keeps_nobody_waiting(autojump_clock, asked):
    with trio.move_on_after(0.5):
        await asked.lookup.owner_of("a")
    assert await asked.lookup.owner_of("b") == Ownership("of b")


async def test_all_who_wait_are_told_that_it_is_away(autojump_clock, asked):
    asked.is_away = True
    told = []

    async def ask():
        with pytest.raises(DirectoryAwayError, match="away"):
            await asked.lookup.owner_of("a")
        told.append(1)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    asked.is_away = False
    assert len(told) == 3
    assert await asked.lookup.owner_of("a") == Ownership("of a")
