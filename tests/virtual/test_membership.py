"""Nodes and their directory on virtual time: the rows of the table of failures."""

import functools
from dataclasses import replace

import pytest
import trio

from phantomlink.cluster.lease import FOREVER_NS, LeaseTimes, Standing
from phantomlink.cluster.membership import Membership
from phantomlink.cluster.shared_directory import (
    DirectoryAwayError,
    NodeRecord,
    Ownership,
    shifted,
)
from phantomlink.errors import SettingsError
from tests.fake_directory import FakeDirectory
from tests.unit.test_shared_directory import record

S = 1_000_000_000
TIMES = LeaseTimes(1 * S, 10 * S)


def now_ns():
    return int(trio.current_time() * S)


class Way:
    """From one node to the directory: it may be cut."""

    def __init__(self, directory):
        self.directory = directory
        self.is_cut = False
        self.is_silent = False

    def __getattr__(self, name):
        call = getattr(self.directory, name)

        @functools.wraps(call)
        async def checked(*arguments):
            await trio.lowlevel.checkpoint()
            if self.is_silent:
                # As a network that loses everything: the client gives up after a lease.
                await trio.sleep(TIMES.ttl_ns / S)
            if self.is_cut or self.is_silent:
                raise DirectoryAwayError("the way to it is cut")
            return await call(*arguments)

        return checked


class Has:
    """What a node has, and what it was told."""

    def __init__(self):
        self.by_code = {}
        self.given_up = []
        self.sha256 = {"x"}

    def records(self):
        return list(self.by_code.values())

    def room(self):
        return 10 - len(self.by_code)

    def digests(self):
        return self.sha256

    def inherit(self, records):
        self.by_code |= {each.code: each for each in records}

    def give_up(self, codes, moved_to=None):
        for code in codes:
            self.by_code.pop(code, None)
            self.given_up.append(code)

    def mirrored(self, tickets):
        self.tickets = tickets

    def standing_changed(self):
        pass


class OneNode:
    def __init__(self, name, cluster):
        self.has = Has()
        self.way = Way(cluster.directory)
        self.skew_ns = 0
        self.scope = trio.CancelScope()
        self.membership = Membership(
            NodeRecord(name, f"http://{name}", (f"{name}/0",), "1"),
            self.way,
            TIMES,
            cluster.ask,
            lambda: now_ns() + self.skew_ns,
        )

    async def run(self):
        with self.scope:
            await self.membership.run(self.has)

    def make(self, code):
        made = record(code, due_ns=now_ns() + self.skew_ns)
        self.has.by_code[code] = made
        self.membership.note(made)
        return made


class Cluster:
    def __init__(self, nursery):
        self.directory = FakeDirectory(now_ns, TIMES.ttl_ns)
        self.nursery = nursery
        self.nodes = {}

    async def start(self, name, skew_ns=0):
        node = OneNode(name, self)
        node.skew_ns = skew_ns
        await node.membership.join()
        self.nodes[name] = node
        self.nursery.start_soon(node.run)
        return node

    async def ask(self, peers):
        alive = [self.nodes[peer.name] for peer in peers]
        return [node.membership.sees_directory for node in alive if not node.scope.cancel_called]


@pytest.fixture
async def cluster(autojump_clock, nursery):
    cluster = Cluster(nursery)
    yield cluster
    for node in cluster.nodes.values():
        node.scope.cancel()


async def after(seconds):
    await trio.sleep(seconds)


async def test_a_killed_node_is_succeeded_within_a_lease_and_a_half(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    made = a.make("s")
    assert await a.membership.written()
    await after(3)
    killed = trio.current_time()
    a.scope.cancel()
    while not b.has.by_code:
        await after(0.01)
    # The heir's turn is when the lease ends, which was renewed a part of it before.
    assert 0.7 <= trio.current_time() - killed <= 1.02
    assert b.has.by_code == {"s": made}
    assert await cluster.directory.find(["s"]) == {"s": Ownership("b")}


@pytest.mark.parametrize("has_data", [True, False])
async def test_the_heirs_of_a_node_share_what_it_had(autojump_clock, cluster, has_data):
    a, *heirs = [await cluster.start(name) for name in "abcd"]
    for n in range(11):
        a.make(f"s{n}")
    heirs[0].make("own")
    if not has_data:
        heirs[1].has.sha256 = {"y"}
    await after(3)
    killed = trio.current_time()
    a.scope.cancel()
    while sum(len(heir.has.by_code) for heir in heirs) < 12:
        await after(0.01)
    counts = [len(heir.has.by_code) for heir in heirs]
    counts[0] -= 1
    if has_data:
        assert sorted(counts) == [3, 4, 4]
    else:
        # What one cannot take, the others do at their next look.
        assert counts[1] == 0
        assert all(counts[n] >= 4 for n in (0, 2))
    assert trio.current_time() - killed <= (1.02 if has_data else 1.3)


async def test_what_an_heir_cannot_play_another_takes_over(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    made = a.make("s")
    await after(3)
    a.scope.cancel()
    while not b.has.by_code:
        await after(0.01)
    b.has.by_code.clear()
    b.has.sha256 = set()
    b.membership.give_back("s")
    assert await b.membership.written()
    await after(1)
    assert await cluster.directory.find(["s"]) == {"s": Ownership(None)}
    c = await cluster.start("c")
    while not c.has.by_code:
        await after(0.01)
    assert c.has.by_code == {"s": made}


async def test_who_has_just_come_claims_nothing_before_two_leases(autojump_clock, cluster):
    a = await cluster.start("a")
    a.make("s")
    await after(0.1)
    a.scope.cancel()
    await after(1.2)
    came = trio.current_time()
    b = await cluster.start("b")
    while not b.has.by_code:
        await after(0.01)
    assert trio.current_time() - came >= 2


async def test_a_frozen_node_finds_out_before_it_plays_again(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    a.make("s")
    await after(3)
    # Frozen: nothing of it runs, also not its renewals.
    frozen_until = a.membership.lease.plays_until_ns
    a.way.is_cut = True
    a.membership.lease.asks_peers = lambda now: False
    while not b.has.by_code:
        await after(0.01)
    assert now_ns() > frozen_until
    assert not a.membership.lease.may_play(now_ns())
    del a.membership.lease.asks_peers
    a.way.is_cut = False
    await after(0.5)
    assert a.has.given_up == ["s"]
    assert a.membership.lease.standing is Standing.HELD


async def test_one_answer_that_takes_long_keeps_nobody_from_claiming(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    made = a.make("s")
    await after(3)
    renew = cluster.directory.renew

    async def slowly_once(*arguments):
        cluster.directory.renew = renew
        await trio.sleep(0.45)
        return await renew(*arguments)

    a.scope.cancel()
    cluster.directory.renew = slowly_once
    killed = trio.current_time()
    while not b.has.by_code:
        await after(0.01)
    assert b.has.by_code == {"s": made}
    assert trio.current_time() - killed <= 1.02


async def test_a_directory_that_only_takes_long_is_not_away(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    a.make("s")
    await after(3)
    renew = cluster.directory.renew

    async def slowly(*arguments):
        await trio.sleep(0.2)
        return await renew(*arguments)

    cluster.directory.renew = slowly
    for _ in range(300):
        await after(0.1)
        assert a.membership.may_change
        assert a.membership.lease.may_play(now_ns())
    assert (a.has.given_up, b.has.by_code) == ([], {})


async def test_while_the_directory_is_away_all_play_and_nothing_is_claimed(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    a.make("s")
    await after(3)
    cluster.directory.is_away = True
    for _ in range(600):
        await after(0.1)
        assert a.membership.lease.may_play(now_ns())
        assert b.membership.lease.may_play(now_ns())
    assert a.membership.lease.plays_until_ns == FOREVER_NS
    assert not a.membership.may_change
    with pytest.raises(DirectoryAwayError):
        await a.membership.reserve("t")
    paused = replace(a.has.by_code["s"], is_paused=True, revision=2)
    a.has.by_code["s"] = paused
    a.membership.note(paused)
    assert not await a.membership.written()
    cluster.directory.is_away = False
    await after(5)
    assert (a.has.given_up, b.has.by_code) == ([], {})
    assert cluster.directory.sessions["s"].record == paused
    assert a.membership.may_change


async def test_an_empty_directory_gets_the_records_of_living_owners_again(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    made = a.make("s")
    await after(3)
    epochs = {a.membership.epoch, b.membership.epoch}
    cluster.directory.is_away = True
    await after(3)
    cluster.directory.sessions.clear()
    cluster.directory.leases.clear()
    cluster.directory.known.clear()
    cluster.directory.epoch = 0
    cluster.directory.is_away = False
    await after(3)
    assert cluster.directory.sessions["s"].record == made
    assert (a.has.given_up, b.has.by_code) == ([], {})
    c = await cluster.start("c")
    assert c.membership.epoch > max(epochs)


async def test_nobody_makes_a_session_anew_that_a_living_owner_has_yet_to_write_down_again(
    autojump_clock, cluster
):
    a, b = await cluster.start("a"), await cluster.start("b")
    made = a.make("s")
    await after(3)
    cluster.directory.is_away = True
    await after(3)
    cluster.directory.sessions.clear()
    cluster.directory.leases.clear()
    # A client of the session that looks elsewhere comes to the one that is back first.
    a.way.is_cut = True
    cluster.directory.is_away = False
    await after(0.5)
    assert b.membership.may_change
    with pytest.raises(DirectoryAwayError):
        await b.membership.reserve("s")
    a.way.is_cut = False
    await after(1)
    assert await b.membership.reserve("s") == Ownership("a")
    assert cluster.directory.sessions["s"].record == made
    assert a.has.given_up == []
    await after(1)
    assert await b.membership.reserve("new") == Ownership("b")


@pytest.mark.parametrize("how", ["is_cut", "is_silent"])
async def test_a_node_that_is_cut_off_alone_plays_on_for_a_while_and_has_one_successor(
    autojump_clock, cluster, how
):
    a, b = await cluster.start("a"), await cluster.start("b")
    a.make("s")
    await after(3)
    setattr(a.way, how, True)
    cut = trio.current_time()
    while not b.has.by_code:
        await after(0.01)
        assert a.membership.lease.may_play(now_ns())
    # One commander: the old owner takes no commands since before.
    assert not a.membership.may_change
    assert b.membership.may_change
    while a.has.by_code:
        await after(0.01)
    assert 10 <= trio.current_time() - cut <= 12
    assert not a.membership.lease.may_play(now_ns())
    setattr(a.way, how, False)
    await after(2)
    assert a.membership.may_change
    assert list(b.has.by_code) == ["s"]


async def test_a_cut_off_node_that_is_back_in_time_gives_up_what_another_has(
    autojump_clock, cluster
):
    a, b = await cluster.start("a"), await cluster.start("b")
    a.make("s")
    await after(3)
    a.way.is_cut = True
    while not b.has.by_code:
        await after(0.01)
    a.way.is_cut = False
    await after(0.5)
    assert a.has.given_up == ["s"]


async def test_a_claim_whose_answer_got_lost_is_found_again(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    made = a.make("s")
    await after(3)
    claim = cluster.directory.claim

    async def claimed_and_lost(*arguments):
        if await claim(*arguments):
            cluster.directory.claim = claim
            raise DirectoryAwayError("the answer got lost")
        return []

    cluster.directory.claim = claimed_and_lost
    a.scope.cancel()
    while not b.has.by_code:
        await after(0.01)
    assert b.has.by_code == {"s": made}
    assert await cluster.directory.find(["s"]) == {"s": Ownership("b")}


async def test_anchors_are_the_same_moment_on_machines_whose_clocks_differ(autojump_clock, cluster):
    a = await cluster.start("a", skew_ns=400 * S)
    b = await cluster.start("b", skew_ns=-3 * S)
    await after(3)
    made = a.make("s")
    await after(1)
    a.scope.cancel()
    while not b.has.by_code:
        await after(0.01)
    assert b.has.by_code["s"] == shifted(made, -403 * S)
    assert b.membership.common.offset_ns == 3 * S


async def test_a_node_that_goes_is_succeeded_at_once(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    a.make("s")
    await after(3)
    await a.membership.leave()
    went = trio.current_time()
    while not b.has.by_code:
        await after(0.01)
    assert trio.current_time() - went <= 0.5
    a.membership.forget("s")
    await after(1)
    assert await cluster.directory.find(["s"]) == {"s": Ownership("b")}


async def test_sessions_that_end_are_forgotten_and_a_code_can_be_had_again(autojump_clock, cluster):
    a, b = await cluster.start("a"), await cluster.start("b")
    await after(0.1)
    assert await a.membership.reserve("s") == Ownership("a")
    assert await b.membership.reserve("s") == Ownership("a")
    a.make("s")
    a.membership.forget("s")
    assert await a.membership.reserve("s") == Ownership("a")


async def test_a_name_is_had_by_one_node(autojump_clock, cluster):
    await cluster.start("a")
    with pytest.raises(SettingsError, match="node_name: "):
        await cluster.start("a")
    cluster.directory.is_away = True
    with pytest.raises(SettingsError, match="cluster_url: "):
        await cluster.start("b")
