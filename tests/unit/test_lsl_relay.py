"""The relay of LSL queries: each goes to every port, unchanged, and a flood does not."""

import logging
import socket
from contextlib import ExitStack

import pytest
import trio

from phantomlink.outputs.lsl.discovery_relay import (
    LOOPBACK,
    MOST_BYTES,
    DiscoveryRelay,
    QueryBudget,
)

QUERY = b"LSL:shortinfo\r\nsession_id='default'\r\n16600 42\r\n"


def udp(stack):
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind((LOOPBACK, 0))
    sock.settimeout(5)
    return sock, sock.getsockname()[1]


@pytest.fixture
def free_port():
    with ExitStack() as stack:
        return udp(stack)[1]


async def test_a_query_goes_to_all_ports_even_beside_sockets_bound_to_every_address(
    nursery, free_port
):
    with ExitStack() as stack:
        (one, one_port), (two, two_port), (three, three_port) = (udp(stack) for _ in range(3))
        outlet = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        outlet.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        outlet.setblocking(False)
        relay = DiscoveryRelay(free_port, [one_port])
        relay.add({two_port, three_port})
        relay.add({two_port})
        relay.discard({two_port, three_port})
        nursery.start_soon(relay.run)
        await trio.testing.wait_all_tasks_blocked()
        # Made later, as an outlet is.
        outlet.bind(("", free_port))
        client, _ = udp(stack)
        client.sendto(bytes(MOST_BYTES + 1), (LOOPBACK, free_port))
        client.sendto(QUERY, (LOOPBACK, free_port))
        for sock in (one, two):
            got = await trio.to_thread.run_sync(sock.recv, 9000)
            assert got == QUERY
        for sock in (three, outlet):
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(9000)


async def test_a_port_that_cannot_be_had_is_said_once_and_costs_nothing_else(caplog):
    with ExitStack() as stack:
        # Without SO_REUSEADDR: nobody can share it.
        _, port = udp(stack)
        with caplog.at_level(logging.WARNING):
            await DiscoveryRelay(port).run()
    (record,) = caplog.records
    assert str(port) in record.getMessage()


def test_a_flood_is_not_sent_on():
    budget = QueryBudget(3)
    assert [budget.take(7.0 + k / 10) for k in range(5)] == [True] * 3 + [False] * 2
    assert budget.take(8.0)
