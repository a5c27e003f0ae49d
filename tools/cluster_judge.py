"""What all clients of `tools/cluster.py` got, packet by packet. Pure.

Lateness is the server's own: the stamp of a packet against the grid of its session, which is where
the earliest packet lies. A session with a record never moves its grid, so one holds for all of its
connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, Protocol

import numpy as np

from tools.bench.jitter.series import touched
from tools.cluster_clients import Client
from tools.cluster_oracle import RATE_HZ

_PERIOD_MS = 1e3 / RATE_HZ


class KnowsPackets(Protocol):
    """As `Oracle`."""

    def is_right(self, data: Any) -> bool:
        """Whether a packet is the one of its sequence number."""
        ...


@dataclass(frozen=True, slots=True)
class Got:
    """A packet as a client has it.

    Attributes:
        connection: on which it came, counted from 0.
        at: when, monotonic s.
        stamp: when it left the scheduler, Unix s.
        number: its sequence number.
    """

    connection: int
    at: float
    stamp: float
    number: int


@dataclass
class Verdict:
    """What all clients got.

    Attributes:
        packets, repeated, wrong: of all the time.
        after_heir: packets of an owner that came after the first one of its successor.
        skipped: numbers that are missing within a connection, of the time that is measured.
        lateness_ms: of each packet of that time that the host did not touch.
        rates_hz: of each session in that time.
        silent: sessions of which nothing came in it.
    """

    packets: int = 0
    repeated: int = 0
    wrong: int = 0
    after_heir: int = 0
    skipped: int = 0
    silent: int = 0
    lateness_ms: list[float] = field(default_factory=list)
    rates_hz: list[float] = field(default_factory=list)


def judge(
    clients: Sequence[Client],
    oracle: KnowsPackets,
    since: float,
    until: float,
    stalls: Sequence[tuple[float, float]] = (),
) -> Verdict:
    """Check every packet, and measure those stamped between two times, Unix s.

    Lateness is without what the host touched: [begin, end) in which it stood still, Unix s.

    A number may come twice to a client that has opened a second connection to the same owner; from
    two owners, or twice on one connection, it is repeated.
    """
    verdict, stalls_ns = Verdict(), _in_ns(stalls)
    for client in clients:
        got = list(_checked(client, oracle, verdict))
        verdict.after_heir += _after_heir(client)
        all_late = zip(got, lateness_ms(got), strict=True)
        timed = [(each, late) for each, late in all_late if since <= each.stamp <= until]
        if len(timed) < 2:
            verdict.silent += 1
            continue
        measured = [each for each, _ in timed]
        late_ms = [late for _, late in timed]
        hit = _touched([each.stamp for each in measured], late_ms, stalls_ns)
        verdict.lateness_ms += [ms for ms, is_hit in zip(late_ms, hit, strict=True) if not is_hit]
        seconds = measured[-1].stamp - measured[0].stamp
        verdict.rates_hz.append((len(measured) - 1) / seconds)
        verdict.skipped += sum(
            max(after.number - before.number - 1, 0)
            for before, after in pairwise(measured)
            if after.connection == before.connection
        )
    return verdict


def lateness_ms(got: Sequence[Got]) -> list[float]:
    """How late each packet of one session left, ms."""
    if not got:
        return []
    stamps = np.array([each.stamp for each in got]) - got[0].stamp
    numbers = np.array([each.number for each in got]) - got[0].number
    on_grid = 1e3 * stamps - numbers * _PERIOD_MS
    found: list[float] = (on_grid - on_grid.min()).tolist()
    return found


@dataclass
class Returns:
    """What blows did to the streams.

    Attributes:
        back_s: how long after a blow each stream that it cut off was back, s.
        others_late_ms: how late packets of the streams that went on left until the next blow, ms.
        others_after_s: how long after the blow each of these came, s.
        not_back: streams that a blow has cut off and that were not back before the next one.
        left_out: packets of the streams that went on during whose way the host stood still.
    """

    back_s: list[float] = field(default_factory=list)
    others_late_ms: list[float] = field(default_factory=list)
    others_after_s: list[float] = field(default_factory=list)
    not_back: int = 0
    left_out: int = 0


def returns(
    clients: Sequence[Client],
    blows: Sequence[float],
    end: float,
    stalls: Sequence[tuple[float, float]] = (),
) -> Returns:
    """What came of each blow; times are monotonic s, `end` that of the last look.

    Args:
        clients: that listened.
        blows: when each fell.
        end: of the last look.
        stalls: [begin, end) in which the host stood still; lateness is without what they touched.
    """
    found = Returns()
    stalls_ns = _in_ns(stalls)
    for client in clients:
        got = list(packets(client))
        late = lateness_ms(got)
        if client.tries_others:
            # Its session may have held meanwhile, when the node died by way of which it listened.
            late = [
                ms
                for _, its in groupby(got, key=lambda each: each.connection)
                for ms in lateness_ms(list(its))
            ]
        first: dict[int, float] = {}
        for each in got:
            first.setdefault(each.connection, each.at)
        for blow, following in zip(blows, [*blows[1:], end], strict=True):
            within = [n for n, each in enumerate(got) if blow < each.at < following]
            after = [at for at in first.values() if blow < at < following]
            if after:
                found.back_s.append(after[0] - blow)
            elif not within or following - got[within[-1]].at > 1.0:
                found.not_back += 1
            else:
                hit = _touched([got[n].at for n in within], [late[n] for n in within], stalls_ns)
                found.left_out += sum(hit)
                kept = [n for n, is_hit in zip(within, hit, strict=True) if not is_hit]
                found.others_late_ms += [late[n] for n in kept]
                found.others_after_s += [got[n].at - blow for n in kept]
    return found


def _in_ns(stalls: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    return [(int(begin * 1e9), int(over * 1e9)) for begin, over in stalls]


def _touched(
    ends: Sequence[float], late: Sequence[float], stalls: Sequence[tuple[int, int]]
) -> list[bool]:
    """Whether a stall overlaps the way of each packet, from when it was due to its end."""
    arrival_ns = np.array([int(at * 1e9) for at in ends], dtype=np.int64)
    late_ns = np.array([int(ms * 1e6) for ms in late], dtype=np.int64)
    found: list[bool] = touched(arrival_ns, late_ns, int(_PERIOD_MS * 1e6), stalls).tolist()
    return found


def packets(client: Client) -> Iterator[Got]:
    """What came, in the order of its connections."""
    for connection, at, message in client.messages():
        if message["type"] == "data":
            data = message["data"]
            yield Got(connection, at, data["timestamp"], data["sequence_number"])


def _checked(client: Client, oracle: KnowsPackets, verdict: Verdict) -> Iterator[Got]:
    owner = ""
    owners: dict[int, str] = {}
    last: dict[int, int] = {}
    for connection, at, message in client.messages():
        if message["type"] != "data":
            owner = _owner(client, connection, message)
            continue
        data = message["data"]
        number, before = data["sequence_number"], last.get(connection)
        verdict.packets += 1
        verdict.wrong += not oracle.is_right(data)
        is_again = before is not None and number <= before
        verdict.repeated += is_again or owners.setdefault(number, owner) != owner
        last[connection] = number
        yield Got(connection, at, data["timestamp"], number)


def _owner(client: Client, connection: int, message: Any) -> str:
    """Who sends: a node by its URL; of one server, whatever process a connection is at."""
    url: str = message["session"]["url"]
    return url if client.tries_others else str(connection)


def _after_heir(client: Client) -> int:
    """Packets of an owner that came after the first one of its successor."""
    owners: dict[int, str] = {}
    times: dict[int, list[float]] = {}
    for number, at, message in client.messages():
        if message["type"] == "data":
            times.setdefault(number, []).append(at)
        else:
            owners[number] = _owner(client, number, message)
    late = 0
    for number, its in times.items():
        heirs = [times[n][0] for n in times if n > number and owners[n] != owners[number]]
        late += sum(at > min(heirs) for at in its) if heirs else 0
    return late
