"""Which worker a request goes to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker has to do.

    Attributes:
        sessions: that it owns.
        promised: sessions on their way to it.
    """

    sessions: int
    promised: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another node has what a request is about.

    Attributes:
        url: where it is reached.
    """

    url: str


def with_most_room(loads: Mapping[str, Load]) -> str:
    """The worker with the fewest sessions, by name of the worker; of several, the first."""
    return min(loads, key=lambda node: loads[node].sessions + loads[node].promised)


def shares(n: int, loads: Mapping[str, Load]) -> dict[str, int]:
    """How many of `n` further sessions each worker takes, so that all have about as many."""
    taken = dict.fromkeys(loads, 0)
    for _ in range(n):
        node = min(loads, key=lambda each: loads[each].sessions + taken[each])
        taken[node] += 1
    return taken
