"""One contract for each kind of shared directory: Valkey, and the fake of the virtual tests."""

import gc
import time
from dataclasses import replace

import pytest

from phantomlink.cluster.shared_directory import (
    DirectoryAwayError,
    Estate,
    Following,
    LeaseRefusedError,
    NodeNameTakenError,
    NodeRecord,
    Ownership,
    decode_record,
    encode_record,
    shifted,
)
from phantomlink.cluster.valkey import open_directory
from phantomlink.engine.directory import FORMAT
from tests.fake_directory import FakeDirectory, record
from tests.nodes import valkey_at

A = NodeRecord("a", "http://a:8000", ("a/0",), "1")
B = NodeRecord("b", "http://b:8000", ("b/0", "b/1"), "1")
# No test waits for the end of a lease: `expire` ends it.
TTL_MS = 60_000


@pytest.fixture(scope="module")
def valkey():
    with valkey_at() as server:
        yield server


@pytest.fixture(params=["valkey", "fake"])
async def kept(request, valkey):
    """A directory, and what ends a node's lease."""
    if request.param == "fake":
        fake = FakeDirectory(time.monotonic_ns, TTL_MS * 1_000_000)
        yield fake, fake.leases.pop
        return
    client = valkey.client()
    client.flushall()
    async with open_directory(f"redis://127.0.0.1:{valkey.port}", "test", TTL_MS) as directory:
        yield directory, lambda node: client.delete(f"test:lease:{node}")


async def test_epochs_rise_and_stay_above_what_is_known(kept):
    directory, expire = kept
    assert await directory.join(A, 0) == 1
    assert await directory.join(B, 7) == 8
    with pytest.raises(NodeNameTakenError):
        await directory.join(A, 0)
    expire("a")
    assert await directory.join(A, 0) == 9


async def test_a_renewal_tells_who_is_there_and_whether_it_came_late(kept):
    directory, expire = kept
    mine = await directory.join(A, 0)
    await directory.join(B, 0)
    first = await directory.renew(A, mine)
    assert (first.had_lapsed, first.nodes) == (False, (A, B))
    assert 0 < first.next_end_ns <= TTL_MS * 1_000_000
    expire("a")
    expire("b")
    late = await directory.renew(A, mine)
    assert (late.had_lapsed, late.nodes, late.next_end_ns) == (True, (A,), None)
    assert late.common_ns >= first.common_ns > 0
    expire("a")
    await directory.join(A, 0)
    with pytest.raises(LeaseRefusedError):
        await directory.renew(A, mine)


async def test_a_renewal_tells_what_waits_and_what_was_there_first(kept):
    directory, expire = kept
    mine, its = await directory.join(A, 0), await directory.join(B, 0)
    await directory.write("a", mine, [record("s"), record("t"), record("u")])
    assert (await directory.renew(A, mine)).waiting == {}
    expire("a")
    gone = f"a {mine}"
    assert (await directory.renew(B, its)).waiting == {gone: Estate(3, 3)}
    again = await directory.join(A, 0)
    assert (await directory.renew(A, again)).waiting == {gone: Estate(3, 3)}
    await directory.claim("b", its, {gone: 1}, {"x"})
    assert (await directory.renew(A, again)).waiting == {gone: Estate(2, 3)}
    await directory.claim("a", again, {gone: 2}, {"x"})
    assert (await directory.renew(A, again)).waiting == {}
    # Of another life.
    expire("a")
    assert (await directory.renew(B, its)).waiting == {f"a {again}": Estate(2, 2)}


async def test_a_code_is_of_one_node(kept):
    directory, expire = kept
    mine, its = await directory.join(A, 0), await directory.join(B, 0)
    assert await directory.find(["s"]) == {}
    assert await directory.create("s", "a", mine) == Ownership("a")
    assert await directory.create("s", "b", its) == Ownership("a")
    assert await directory.find(["s"]) == {"s": Ownership("a")}
    await directory.forget("b", its, ["s"])
    await directory.forget("a", mine - 1, ["s"])
    assert await directory.find(["s"]) == {"s": Ownership("a")}
    await directory.forget("a", mine, ["s"])
    assert await directory.find(["s"]) == {}
    await directory.create("s", "a", mine)
    await directory.unreserve("b", its, ["s"])
    assert await directory.find(["s"]) == {"s": Ownership("a")}
    await directory.unreserve("a", mine, ["s"])
    assert await directory.find(["s"]) == {}
    await directory.create("s", "a", mine)
    expire("a")
    assert await directory.create("s", "b", its) == Ownership(None)


async def test_what_is_not_known_is_not_made_while_owners_may_have_to_write_it_down_again(kept):
    directory, expire = kept
    mine, its = await directory.join(A, 0), await directory.join(B, 0)
    await directory.create("s", "a", mine)
    expire("b")
    with pytest.raises(DirectoryAwayError):
        await directory.create("t", "b", its)
    # One node was frozen: the directory knows all there is.
    await directory.renew(B, its)
    assert await directory.create("t", "b", its) == Ownership("b")
    expire("a")
    expire("b")
    # No node was in touch with it: it may have been away, and be what it was long ago.
    await directory.renew(B, its)
    await directory.renew(A, mine)
    assert await directory.create("s", "b", its) == Ownership("a")
    for node, epoch in (("a", mine), ("b", its)):
        with pytest.raises(DirectoryAwayError):
            await directory.create("u", node, epoch)


async def test_one_that_has_forgotten_epochs_makes_no_session_at_once(kept):
    directory, _ = kept
    await directory.join(A, 0)
    await directory.renew(B, 7)
    with pytest.raises(DirectoryAwayError):
        await directory.create("s", "b", 7)


async def test_sessions_of_a_node_that_is_gone_go_to_an_heir_and_the_old_owner_is_refused(kept):
    directory, expire = kept
    mine, its = await directory.join(A, 0), await directory.join(B, 0)
    records = [record(f"s{n}") for n in range(3)]
    assert await directory.write("a", mine, records) == []
    gone = f"a {mine}"
    assert await directory.claim("b", its, {gone: 9}, {"x"}) == []
    expire("a")
    assert await directory.find(["s0"]) == {"s0": Ownership(None)}
    first = await directory.claim("b", its, {gone: 2}, {"x", "y"})
    assert len(first) == 2
    assert await directory.claim("b", its, {f"a {mine + 9}": 9}, {"x"}) == []
    assert await directory.claim("b", its, {}, {"x"}) == []
    rest = await directory.claim("b", its, {gone: 9}, {"x"})
    assert sorted(first + rest, key=lambda each: each.code) == records
    # It had asked for its code before it took it over.
    await directory.unreserve("b", its, ["s0"])
    assert await directory.find(["s0"]) == {"s0": Ownership("b")}
    assert await directory.owned("a", mine) == []
    assert sorted(await directory.owned("b", its), key=lambda each: each.code) == records
    assert sorted(await directory.write("a", mine, records)) == ["s0", "s1", "s2"]
    await directory.forget("a", mine, ["s0"])
    assert await directory.find(["s0"]) == {"s0": Ownership("b")}
    assert await directory.write("b", its, [replace(records[0], revision=2)]) == []


async def test_only_who_has_the_data_and_knows_the_format_takes_over(kept):
    directory, expire = kept
    mine, its = await directory.join(A, 0), await directory.join(B, 0)
    await directory.write(
        "a", mine, [record("other", sha256="y"), record("none", sha256=None), record("s")]
    )
    await directory.write("a", mine, [record("newer", form=FORMAT + 1)])
    await directory.create("reserved", "a", mine)
    expire("a")
    gone = f"a {mine}"
    claimed = await directory.claim("b", its, {gone: 9}, {"x"})
    assert [each.code for each in claimed] == ["s"]
    assert await directory.find(["other"]) == {"other": Ownership(None)}
    assert await directory.find(["newer"]) == {"newer": Ownership(None)}
    assert await directory.find(["reserved"]) == {}
    expire("b")
    assert await directory.claim("b", its, {gone: 9}, {"y"}) == []


async def test_what_an_heir_gives_back_waits_for_another(kept):
    directory, _ = kept
    mine, its = await directory.join(A, 0), await directory.join(B, 0)
    await directory.write("a", mine, [record("s"), record("t")])
    await directory.release("b", ["s"])
    assert await directory.find(["s"]) == {"s": Ownership("a")}
    await directory.release("a", ["s", "nobody"])
    assert await directory.find(["s", "t"]) == {"s": Ownership(None), "t": Ownership("a")}
    assert await directory.create("s", "a", mine) == Ownership(None)
    assert await directory.write("a", mine, [record("s")]) == ["s"]
    told = await directory.renew(B, its)
    assert list(told.waiting.values()) == [Estate(1, 1)]
    assert await directory.claim("b", its, dict.fromkeys(told.waiting, 9), {"x"}) == [record("s")]
    assert (await directory.renew(B, its)).waiting == {}


async def test_who_left_and_joined_again_may_claim_what_it_had(kept):
    directory, _ = kept
    mine = await directory.join(A, 0)
    await directory.write("a", mine, [record("s")])
    await directory.leave("a", mine + 1)
    assert await directory.find(["s"]) == {"s": Ownership("a")}
    await directory.leave("a", mine)
    again = await directory.join(A, 0)
    assert await directory.find(["s"]) == {"s": Ownership(None)}
    assert await directory.claim("a", again, {f"a {mine}": 1}, {"x"}) == [record("s")]


async def test_who_follows_a_session_has_its_record_once_and_its_owner_knows(kept):
    directory, expire = kept
    mine, its = await directory.join(A, 0), await directory.join(B, 0)
    assert await directory.follow("b", its, [Following("s", "b 1", "")]) == {}
    await directory.write("a", mine, [record("s"), record("t")])
    assert (await directory.renew(A, mine)).mirrors == {}
    wanted = [Following("s", "b 1", ""), Following("nobody", "b 2", "")]
    told = await directory.follow("b", its, wanted)
    assert set(told) == {"s"}
    assert (told["s"].node, told["s"].record) == ("a", record("s"))
    known = Following("s", "b 1", told["s"].version)
    assert (await directory.follow("b", its, [known]))["s"].record is None
    assert (await directory.renew(A, mine)).mirrors == {"s": ("b 1",)}
    assert (await directory.renew(B, its)).mirrors == {}
    await directory.write("a", mine, [record("s", revision=2)])
    again = (await directory.follow("b", its, [known]))["s"]
    assert (again.record.revision, again.version != known.version) == (2, True)
    expire("a")
    gone = (await directory.follow("b", its, [Following("s", "b 1", again.version)]))["s"]
    assert (gone.node, gone.record) == (None, None)
    # An heir's is another version, whatever its revision.
    await directory.claim("b", its, {f"a {mine}": 9}, {"x"})
    heirs = (await directory.follow("b", its, [Following("s", "b 1", again.version)]))["s"]
    assert (heirs.node, heirs.record.revision) == ("b", 2)
    assert (await directory.renew(B, its)).mirrors == {"s": ("b 1",)}
    expire("b")
    with pytest.raises(LeaseRefusedError):
        await directory.follow("b", its, [known])


# The client leaves streams unclosed where it could not connect.
@pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")
async def test_a_directory_that_is_away_is_said_in_one_way(valkey):
    with valkey_at() as other:
        url = f"redis://127.0.0.1:{other.port}"
    async with open_directory(url, "test", 2000) as directory:
        for call in (
            directory.join(A, 0),
            directory.renew(A, 1),
            directory.find(["s"]),
            directory.write("a", 1, [record("s")]),
            directory.claim("a", 1, {"b 1": 1}, {"x"}),
            directory.follow("a", 1, [Following("s", "a 1", "")]),
        ):
            with pytest.raises(DirectoryAwayError, match="cannot be reached"):
                await call
    gc.collect()


def test_a_record_comes_back_as_it_was_and_only_what_is_one():
    assert decode_record(encode_record(record("s"))) == record("s")
    assert decode_record(encode_record(record("s", form=FORMAT + 1))) is None
    for wrong in (b"", b"\xc1", b"\x80", encode_record(record("s"))[:-1], b"\0" * 300_000):
        assert decode_record(wrong) is None


def test_anchors_move_to_another_clock_where_they_are_due():
    moved = shifted(record("s", due_ns=5), -3)
    assert [playhead.anchor.due_ns for playhead in moved.playheads] == [2, None]
    assert shifted(moved, 3) == record("s", due_ns=5)
