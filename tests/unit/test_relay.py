"""A request that one node passes on to another."""

import socket
import struct
from functools import partial

import pytest
import trio
import trio.testing

from phantomlink.cluster.relay import Relay, Unreachable


async def answer(stream):
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await trio.sleep_forever()


async def test_a_client_that_has_left_before_its_answer_ends_nothing_else():
    client, left = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, answer, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        # It may still say something; nothing can be said to it.
        await left.receive_stream.aclose()
        await Relay("a", "secret").pass_on(client, url, b"GET / HTTP/1.1\r\n\r\n", lambda: False)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("n_bytes", [100, 10_000_000])
async def test_a_node_that_dies_while_it_is_asked_is_told_from_an_answer(n_bytes):
    """Whether the request, or the waiting for its answer, meets the reset."""
    client, _ = trio.testing.memory_stream_pair()
    reset = struct.pack("ii", 1, 0)

    async def die(stream):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, die, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        request = b"POST / HTTP/1.1\r\n\r\n" + bytes(n_bytes)
        with pytest.raises(Unreachable, match="does not answer") as caught:
            await Relay("a", "secret").pass_on(client, url, request, lambda: False)
        assert caught.value.was_sent
        nursery.cancel_scope.cancel()
