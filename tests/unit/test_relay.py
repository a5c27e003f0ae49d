"""A request that one node passes on to another."""

from functools import partial

import trio
import trio.testing

from phantomlink.cluster.relay import Relay


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
