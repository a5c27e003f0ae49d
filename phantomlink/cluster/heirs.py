"""How many sessions of nodes that are gone each node takes over. Pure.

Theory of operation. All nodes look within a turn, a quarter of a lease. At its first look at an
owner that is gone a node takes an equal share of what that owner had: to bring a session back takes
some milliseconds, and clients wait for it. (Shares that make all nodes equal afterwards leave it
all to a node that has just come.) What is left at its second look the others could not take, since
they lack the recording or the room, or have just come: then it takes all that there is.
"""

from __future__ import annotations

from collections.abc import Mapping

from phantomlink.cluster.shared_directory import Estate


class Heirs:
    """The looks of one node, which may claim."""

    def __init__(self) -> None:
        self._seen: frozenset[str] = frozenset()

    def shares(self, waiting: Mapping[str, Estate], n_nodes: int, room: int) -> dict[str, int]:
        """How many sessions to take over at this look, by owner that is gone.

        Args:
            waiting: what waits, by owner.
            n_nodes: how many nodes there are, this one too.
            room: for how many sessions this node has room.
        """
        shares = {}
        for owner, estate in waiting.items():
            share = estate.n_left if owner in self._seen else -(-estate.n_all // n_nodes)
            shares[owner] = min(share, estate.n_left, room)
            room -= shares[owner]
        self._seen = frozenset(waiting)
        return shares
