"""How many sessions of nodes that are gone each node takes over. Pure.

Theory of operation. All nodes look within a turn, a quarter of a lease, and each sees what waits
and what every node has. At its first look at an owner that is gone a node takes its share: as many
as bring it to the level that all would have if everything that waits were spread. What is left at
its second look the others could not take (they lack the recording, the room, or have just come):
then it takes all that there is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


class Heirs:
    """The looks of one node, which may claim."""

    def __init__(self) -> None:
        self._seen: frozenset[str] = frozenset()

    def shares(
        self, waiting: Mapping[str, int], mine: int, others: Collection[int], room: int
    ) -> dict[str, int]:
        """How many sessions to take over at this look, by owner that is gone.

        Args:
            waiting: how many wait, by owner.
            mine: how many sessions this node has.
            others: how many each of the others has.
            room: for how many this node has room.
        """
        new = {owner: n for owner, n in waiting.items() if owner not in self._seen}
        left = {owner: n for owner, n in waiting.items() if owner in self._seen}
        self._seen = frozenset(waiting)
        shares = {}
        for owner, n in left.items():
            shares[owner] = min(n, room)
            room -= shares[owner]
        share = min(max(level(sum(new.values()), [mine, *others]) - mine, 0), room)
        for owner, n in new.items():
            shares[owner] = min(n, share)
            share -= shares[owner]
        return shares


def level(n: int, loads: Collection[int]) -> int:
    """The least number of sessions to which nodes can fill up so that `n` further ones have room.

    Args:
        n: how many there are to spread.
        loads: how many each node has; not empty.
    """
    ascending, total = sorted(loads), 0
    for count, load in enumerate(ascending, 1):
        total += load
        filled = -(-(n + total) // count)
        if count == len(ascending) or filled <= ascending[count]:
            break
    return filled
