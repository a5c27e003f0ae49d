"""What a client sends: to the handshake, to who takes small messages, to the WebSocket library."""

from contextlib import asynccontextmanager

import pytest
import trio

from phantomlink.outputs.websocket.shared_reader import SharedReader
from tests.frame_streams import connected


async def test_what_was_read_before_comes_first():
    async with connected(received=b"head") as (frames, client, _):
        await client.send_all(b" and more")
        assert await frames.receive_some(2) == b"he"
        assert await frames.receive_some() == b"ad"
        assert await frames.receive_some() == b" and more"


async def test_what_stands_behind_the_head_is_read_after_the_handshake():
    async with connected(received=b"headrest", n_head=4) as (frames, _, nursery):
        assert await frames.receive_some(3) == b"hea"
        assert await frames.receive_some() == b"d"
        got = []

        async def read():
            got.append(await frames.receive_some(100))

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        frames.upgraded(bytes)
        await trio.testing.wait_all_tasks_blocked()
        assert got == [b"rest"]


class Receiver:
    """Takes messages, and lets the client wait for as long as it is told."""

    def __init__(self):
        self.messages = []
        self.pause = 0.0
        self._came = trio.Event()

    def receive(self, payload, is_text, received_ns):
        assert received_ns > 0
        self.messages.append((bytes(payload), is_text))
        self._came.set()

    async def has(self, n):
        while len(self.messages) < n:
            self._came = trio.Event()
            await self._came.wait()

    def pause_seconds(self, now_ns):
        assert now_ns > 0
        return self.pause


def from_client(text):
    """A masked text frame, as a client sends it; its mask changes nothing."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


@asynccontextmanager
async def read_together():
    """A stream whose client is read by a shared reader, and who has its small messages."""
    reader = SharedReader()
    async with connected(reader=reader) as (frames, client, nursery):
        nursery.start_soon(reader.run, lambda: None)
        receiver = Receiver()
        frames.upgraded(bytes)
        frames.receive_with(receiver)
        yield frames, client, nursery, receiver


async def test_clients_that_send_small_messages_are_read_together():
    async with read_together() as (frames, client, _, receiver):
        ping = bytes([0x89, 0x80, 0, 0, 0, 0])
        for k in range(3):
            for part in (b"one", b"two"):
                n = len(receiver.messages)
                with trio.CancelScope() as reading:
                    async with trio.open_nursery() as beside:
                        beside.start_soon(frames.receive_some)
                        await client.send_all(from_client(part))
                        await receiver.has(n + 1)
                        # One that is cancelled has lost nothing.
                        reading.cancel()
                assert receiver.messages[n:] == [(part, True)]
            await client.send_all(from_client(b"%d" % k) + ping)
            assert await frames.receive_some() == ping
            assert receiver.messages[-1] == (b"%d" % k, True)
        await client.send_all(from_client(b"last"))
        await client.send_eof()
        assert await frames.receive_some() == b""
        assert receiver.messages[-1] == (b"last", True)


async def test_closing_wakes_who_reads_together():
    async with read_together() as (frames, client, nursery, receiver):
        closed = trio.Event()

        async def read():
            with pytest.raises(trio.ClosedResourceError):
                await frames.receive_some()
            closed.set()

        nursery.start_soon(read)
        for n in (1, 2):
            await client.send_all(from_client(b"x"))
            await receiver.has(n)
        await frames.aclose()
        await closed.wait()


@pytest.mark.parametrize("pause", [0.0, 5.0])
async def test_small_messages_go_to_the_receiver_and_the_rest_comes_out(mock_clock, pause):
    async with connected() as (frames, client, nursery):
        receiver, got = Receiver(), []
        receiver.pause = pause
        frames.upgraded(bytes)
        await client.send_all(from_client(b"before"))
        assert await frames.receive_some() == from_client(b"before")
        frames.receive_with(receiver)

        async def read():
            got.append(await frames.receive_some())

        nursery.start_soon(read)
        await client.send_all(from_client(b"one") + from_client(b"two"))
        await trio.testing.wait_all_tasks_blocked()
        assert (receiver.messages, got) == ([(b"one", True), (b"two", True)], [])
        ping = bytes([0x89, 0x80, 0, 0, 0, 0])
        await client.send_all(ping)
        await trio.testing.wait_all_tasks_blocked()
        # While the client has to wait nothing is read from it.
        assert got == ([] if pause else [ping])
        mock_clock.jump(pause)
        await trio.testing.wait_all_tasks_blocked()
        assert got == [ping]


async def test_messages_that_are_larger_than_may_be_are_not_taken_out():
    async with connected() as (frames, client, _):
        receiver = Receiver()
        frames.upgraded(bytes, max_message_bytes=10)
        frames.receive_with(receiver)
        await client.send_all(from_client(b"x" * 11))
        assert await frames.receive_some() == from_client(b"x" * 11)
        assert receiver.messages == []


async def test_the_end_of_what_a_client_sends_is_told():
    async with connected() as (frames, client, _):
        frames.upgraded(bytes)
        frames.receive_with(Receiver())
        await client.send_eof()
        assert await frames.receive_some() == b""
