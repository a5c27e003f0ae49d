"""Connections that one task reads, on real sockets (of Linux), and when what they send came."""

import socket
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio

from phantomlink.outputs.websocket.shared_reader import SharedReader, SharedReading


class Taker:
    """Notes what is read; goes on until it has so many reads."""

    def __init__(self, most=1):
        self.data = b""
        self.arrived_ns = []
        self.error = None
        self._most = most
        self._has_read = trio.Event()

    def __call__(self, data, arrived_ns):
        if self.error is not None:
            raise self.error
        self.data += data
        self.arrived_ns.append(arrived_ns)
        self._has_read.set()
        return len(self.arrived_ns) < self._most

    async def next_read(self):
        await self._has_read.wait()
        self._has_read = trio.Event()


@asynccontextmanager
async def reading(n=1, takers=None, between=lambda: None):
    """A reader that runs, and connections of it: the reading and the client's end of each."""
    reader = SharedReader()
    takers = takers or [Taker() for _ in range(n)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pairs = []
        for taker in takers:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
            server.setblocking(False)
            pairs.append((SharedReading(reader, server, taker), client, server))
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.run, between)
                await trio.testing.wait_all_tasks_blocked()
                assert reader.is_running
                yield [(each, client) for each, client, _ in pairs], takers, nursery
                nursery.cancel_scope.cancel()
        assert not reader.is_running
        for _, client, server in pairs:
            client.close()
            server.close()


async def test_each_client_is_read_until_it_is_enough():
    async with reading(takers=[Taker(2), Taker(1)]) as (pairs, takers, nursery):
        (first, sends), (second, sends_too) = pairs
        nursery.start_soon(first.read)
        sends.sendall(b"0")
        await takers[0].next_read()
        sends_too.sendall(b"1")
        await second.read()
        # Nobody waits for what the second one sends now.
        sends_too.sendall(b"later")
        sends.sendall(b"more")
        await takers[0].next_read()
        assert [taker.data for taker in takers] == [b"0more", b"1"]
        await second.read()
        assert takers[1].data == b"1later"


async def test_what_must_not_wait_has_its_turn_after_each_client():
    turns, all_read = [], trio.Event()
    takers = [Taker(99) for _ in range(3)]

    def between():
        turns.append(sum(len(taker.arrived_ns) for taker in takers))
        if len(turns) == 3:
            all_read.set()

    async with reading(takers=takers, between=between) as (pairs, _, nursery):
        for each, _ in pairs:
            nursery.start_soon(each.read)
        await trio.testing.wait_all_tasks_blocked()
        for _, client in pairs:
            client.sendall(b"one")
        await all_read.wait()
    assert turns == [1, 2, 3]


async def test_the_end_of_a_stream_is_told():
    async with reading(takers=[Taker(9)]) as ([(each, client)], [taker], _):
        client.shutdown(socket.SHUT_WR)
        await each.read()
        assert taker.data == b""
        assert len(taker.arrived_ns) == 1


async def test_a_client_that_is_gone_breaks_its_own_connection():
    async with reading() as ([(each, client)], _, _):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        with pytest.raises(trio.BrokenResourceError):
            await each.read()


async def test_what_a_taker_raises_is_its_own_connections():
    async with reading(n=2) as (pairs, takers, _):
        takers[0].error = ZeroDivisionError("ours")
        pairs[0][1].sendall(b"x")
        with pytest.raises(ZeroDivisionError):
            await pairs[0][0].read()
        pairs[1][1].sendall(b"y")
        await pairs[1][0].read()
        assert takers[1].data == b"y"


async def test_one_that_is_closed_or_cancelled_is_read_no_more():
    async with reading(n=2) as (pairs, takers, nursery):
        caught = []

        async def read():
            try:
                await pairs[0][0].read()
            except trio.ClosedResourceError as error:
                caught.append(error)

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        pairs[0][0].close()
        await trio.testing.wait_all_tasks_blocked()
        assert len(caught) == 1
        with trio.move_on_after(0):
            await pairs[1][0].read()
        assert [taker.data for taker in takers] == [b"", b""]
        # It can be read again.
        pairs[1][1].sendall(b"x")
        await pairs[1][0].read()
        assert takers[1].data == b"x"


@pytest.mark.parametrize(
    ("stepped_ns", "expected"), [(0, "stamp"), (-(10**12), "now"), (10**12, "last read")]
)
async def test_a_message_came_when_the_kernel_had_it(monkeypatch, stepped_ns, expected):
    """However late it is read; and a wall clock that is set moves that no further."""
    async with reading() as ([(each, client)], [taker], _):
        before, made_ns = time.time_ns(), time.monotonic_ns()
        client.sendall(b"x")
        read_ns = made_ns + 10**10
        wall_ns = time.time_ns() + 10**9 + stepped_ns
        clocks = SimpleNamespace(time_ns=lambda: wall_ns, monotonic_ns=lambda: read_ns)
        monkeypatch.setattr("phantomlink.outputs.websocket.shared_reader.time", clocks)
        await each.read()
        after = time.time_ns()
    (arrived_ns,) = taker.arrived_ns
    if expected == "now":
        assert arrived_ns == read_ns
    elif expected == "last read":
        assert arrived_ns <= made_ns
    else:
        assert read_ns - (wall_ns - before) <= arrived_ns <= read_ns - (wall_ns - after)
        assert arrived_ns < read_ns
