"""Sessions on real nodes, and what their clients got, for `tools/cluster_nodes.py`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

from tools.cluster_clients import Client, Crowd
from tools.cluster_judge import Got, KnowsPackets, packets
from tools.cluster_network import Cluster, cluster
from tools.cluster_oracle import RATE_HZ

OK = HTTPStatus.OK
_COMMANDS = ("pause", "resume")
NODES = 4
CLAIM_SECONDS = 3.0
"""Nobody takes anything over before two leases, nor later than so long after a node is gone."""


@dataclass(frozen=True, slots=True)
class Material:
    """What all runs play.

    Attributes:
        recording: synthetic.
        folder: for all files.
        oracle: knows its packets.
    """

    recording: Path
    folder: Path
    oracle: KnowsPackets


@dataclass
class Scene:
    """Nodes that play, and their clients.

    Attributes:
        cluster: the nodes.
        clients: one for each session that is listened to.
        crowd: of them.
    """

    cluster: Cluster
    clients: Sequence[Client]
    crowd: Crowd

    def nodes(self, at: int = 0) -> list[dict[str, Any]]:
        """All nodes, as one of them tells."""
        status, told = self.cluster.nodes[at].request("GET", "/api/nodes")
        return told["nodes"] if status == OK else []

    def sessions(self, at: int) -> set[str]:
        """Codes of all sessions, as one node tells."""
        status, told = self.cluster.nodes[at].request("GET", "/api/sessions")
        return set(told["sessions"]) if status == OK else set()

    def commands(self, at: int, code: str) -> list[str]:
        """What a node answers to commands that leave a session as it is: status, and why not."""
        node = self.cluster.nodes[at]
        answers = [node.request("POST", f"/api/control/{code}/{what}") for what in _COMMANDS]
        return [
            str(status) if status == OK else f"{status} {told['detail'] if status else told}"
            for status, told in answers
        ]


@contextmanager
def scene(
    material: Material,
    told: argparse.Namespace,
    *,
    listened: int | None = None,
    clock_offsets_s: Sequence[int] = (0,) * NODES,
) -> Iterator[Scene]:
    """Sessions that are spread over nodes, until left.

    Args:
        material: that they play.
        told: arguments of the command.
        listened: how many sessions have a client; None: all.
        clock_offsets_s: of each node.
    """
    n = told.sessions
    with cluster(
        material.recording, material.folder, sessions=n + 1, clock_offsets_s=clock_offsets_s
    ) as found:
        count = len(found.nodes)
        for number in range(n):
            found.nodes[number % count].create(f"c{number}")
        heard = n if listened is None else listened
        clients = [Client(f"c{number}", number % count, True) for number in range(heard)]
        crowd = Crowd(clients, found.addresses)
        crowd.listen(max(told.warm_up, CLAIM_SECONDS) + 0.01 * heard)
        yield Scene(found, clients, crowd)


def cut_off(clients: Sequence[Client]) -> int:
    """How often they had to come again."""
    return sum(len(client.connections) - 1 for client in clients)


def got_from(client: Client, url: str, *, is_owner: bool) -> list[Got]:
    """What came from the node of a URL, or from all others."""
    owners = {
        connection: message["session"]["url"]
        for connection, _, message in client.messages()
        if message["type"] != "data"
    }
    return [
        each
        for each in packets(client)
        if owners[each.connection].startswith(url.replace("http", "ws", 1)) is is_owner
    ]


def by_connection(client: Client) -> list[list[Got]]:
    """What came on each connection on which something did."""
    found: dict[int, list[Got]] = {}
    for each in packets(client):
        found.setdefault(each.connection, []).append(each)
    return list(found.values())


def missed_between(client: Client) -> list[int]:
    """How many packets it missed from one connection to the next."""
    return [
        max(after[0].number - before[-1].number - 1, 0)
        for before, after in pairwise(by_connection(client))
    ]


def grid_moves_ms(client: Client) -> list[float]:
    """By how much the grid of deadlines moved from one connection to the next, ms."""
    grids = [
        min(1e3 * (each.stamp - its[0].stamp) - each.number * 1e3 / RATE_HZ for each in its)
        + 1e3 * its[0].stamp
        for its in by_connection(client)
    ]
    return [after - before for before, after in pairwise(grids)]
