"""A hot session: 60 clients at the node that does not own it. A run of `tools/cluster.py`.

What is relayed and what both nodes need of a core, before and after the node plays the session
itself; at which packets a seek and another perturbation took effect on both, and whether all that
both sent is the same; when the streams are back after the owner was killed.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psutil

from tools.bench.harness.text import Verdict as Criterion
from tools.cluster_clients import Client, Crowd
from tools.cluster_network import cluster
from tools.cluster_scene import CLAIM_SECONDS, OK, Material
from tools.cluster_servers import Server

_CODE = "hot"
_FEW, _MORE = 49, 11
_BACK_SECONDS = 2.0
_SEEK_BIN = 200
_OTHER = {"perturbation": {"transforms": [{"kind": "gaussian_noise", "noise_std": 2.0}]}, "seed": 5}


@dataclass(frozen=True, slots=True)
class Phase:
    """What was used in a stretch of time.

    Attributes:
        owner_cpu, node_cpu: percent of a core.
        relayed: connections of the node to the owner.
        relayed_kb_s: of streams that are passed on.
    """

    owner_cpu: float
    node_cpu: float
    relayed: int
    relayed_kb_s: float

    def __str__(self) -> str:
        return (
            f"{self.relayed} connections passed on, {self.relayed_kb_s:.0f} kB/s; CPU of the owner "
            f"{self.owner_cpu:.1f} %, of the node {self.node_cpu:.1f} %"
        )


def mirror(material: Material, told: argparse.Namespace) -> list[Criterion]:
    """A node plays a session of another one for its many viewers."""
    seconds = told.seconds / 4
    with cluster(material.recording, material.folder, sessions=4, clock_offsets_s=(0, 0)) as found:
        owner, node = found.nodes
        owner.create(_CODE)
        own = Client(_CODE)
        clients = [Client(_CODE) for _ in range(_FEW + _MORE)]
        stop = threading.Event()
        listening = threading.Thread(target=_listen, args=(own, owner, stop))
        listening.start()
        try:
            crowd = Crowd(clients[:_FEW], [node.address])
            crowd.listen(CLAIM_SECONDS)
            before = _measured(crowd, owner, node, clients, seconds)
            joined = time.monotonic()
            crowd.join(clients[_FEW:])
            crowd.listen(2 * CLAIM_SECONDS)
            after = _measured(crowd, owner, node, clients, seconds)
            statuses = [
                owner.request("POST", f"/api/control/{_CODE}/seek", {"packet_id": _SEEK_BIN})[0]
            ]
            crowd.listen(2)
            statuses.append(owner.request("PUT", f"/api/sessions/{_CODE}/perturbation", _OTHER)[0])
            crowd.listen(2)
        finally:
            stop.set()
            listening.join()
        owner.kill()
        killed = time.monotonic()
        crowd.listen(2 * CLAIM_SECONDS)
    url = node.url.replace("http", "ws", 1)
    return [
        *_judged(clients, own, url, (joined, killed), statuses),
        Criterion("what is passed on before", str(before), before.relayed >= _FEW),
        Criterion("and after: nothing", str(after), not after.relayed_kb_s),
    ]


def _listen(client: Client, server: Server, stop: threading.Event) -> None:
    crowd = Crowd([client], [server.address])
    while not stop.is_set():
        crowd.listen(0.2)


def _measured(
    crowd: Crowd, owner: Server, node: Server, clients: Sequence[Client], seconds: float
) -> Phase:
    cpu, since = [each.cpu_seconds() for each in (owner, node)], time.monotonic()
    crowd.listen(seconds)
    until = time.monotonic()
    owner_cpu, node_cpu = (
        100 * (each.cpu_seconds() - was) / (until - since)
        for each, was in zip((owner, node), cpu, strict=True)
    )
    relayed = [
        each
        for each in psutil.Process(node.processes()[0].pid).net_connections("tcp")
        if each.raddr and each.raddr.port == owner.address[1]
    ]
    owned = owner.url.replace("http", "ws", 1)
    n_bytes = 0
    for client in clients:
        urls = {
            number: message["session"]["url"]
            for number, _, message in client.messages()
            if message["type"] != "data"
        }
        n_bytes += sum(
            len(data)
            for number, connection in enumerate(client.connections)
            if urls.get(number, "").startswith(owned)
            for at, data in connection.chunks
            if since <= at < until
        )
    return Phase(owner_cpu, node_cpu, len(relayed), n_bytes / (until - since) / 1e3)


def _judged(
    clients: Sequence[Client],
    own: Client,
    url: str,
    times: tuple[float, float],
    statuses: Sequence[int],
) -> list[Criterion]:
    joined, killed = times
    owners = _said([own])
    mirrored = _said(clients, url, until=killed)
    common = sorted(set(owners) & set(mirrored))
    different = sum(owners[number] != mirrored[number] for number in common)
    conflicts = sum(len(said) != 1 for said in (*owners.values(), *mirrored.values()))
    first_s = min(_first(client, url) for client in clients) - joined
    back = [_longest_gap(client, killed) for client in clients]
    sought = [_change(each, lambda was, now: now != was + 1) for each in (owners, mirrored)]
    return [
        Criterion(
            f"{len(clients)} viewers, {_FEW} at first: the node plays the session itself",
            f"first packet of its own {first_s:.2f} s after the others joined",
            first_s < 2 * CLAIM_SECONDS,
        ),
        Criterion(
            "a seek and another perturbation take effect at the same packets on both",
            f"answers {statuses}; packet_id jumps at sequence numbers {sought[0]} of the owner and "
            f"{sought[1]} of the mirror",
            set(statuses) == {OK} and sought[0][-1:] == sought[1][-1:] != [],
        ),
        Criterion(
            "what both send is the same but for its time",
            f"{len(common)} packets of both, {different} differ, {conflicts} said in two ways",
            bool(common) and not different and not conflicts,
        ),
        Criterion(
            f"the owner is killed: streams go on, or are back within {_BACK_SECONDS:g} s",
            f"longest time without a packet: median {sorted(back)[len(back) // 2]:.2f} s, "
            f"most {max(back):.2f} s",
            max(back) <= _BACK_SECONDS,
        ),
    ]


def _said(
    clients: Sequence[Client], url: str = "", until: float = float("inf")
) -> dict[int, set[tuple[Any, ...]]]:
    """What packets said, by sequence number: of those that came from a URL."""
    said: dict[int, set[tuple[Any, ...]]] = {}
    for client in clients:
        is_from_url = False
        for _, at, message in client.messages():
            data = message["data"]
            if message["type"] != "data":
                is_from_url = message["session"]["url"].startswith(url)
            elif is_from_url and at < until:
                kept = tuple(
                    (name, str(value)) for name, value in data.items() if name != "timestamp"
                )
                said.setdefault(data["sequence_number"], set()).add(kept)
    return said


def _first(client: Client, url: str) -> float:
    """When the first packet came from a URL."""
    is_from_url = False
    for _, at, message in client.messages():
        if message["type"] != "data":
            is_from_url = message["session"]["url"].startswith(url)
        elif is_from_url:
            return at
    return float("inf")


def _change(said: dict[int, set[tuple[Any, ...]]], jumps: Any) -> list[int]:
    """Sequence numbers at which the bin is not the one after that before."""
    bins = {number: int(dict(next(iter(its)))["packet_id"]) for number, its in said.items() if its}
    return [
        number
        for number in sorted(bins)
        if number - 1 in bins and bins[number] and jumps(bins[number - 1], bins[number])
    ]


def _longest_gap(client: Client, since: float) -> float:
    """The longest time without a packet after a moment, s."""
    times = [since]
    times += [at for _, at, message in client.messages() if message["type"] == "data"]
    after = sorted(at for at in times if at >= since)
    if len(after) < 2:
        return float("inf")
    return max(later - earlier for earlier, later in pairwise(after))
