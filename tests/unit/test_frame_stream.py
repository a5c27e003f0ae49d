"""The order of bytes on a real socket, with a client that reads when we say."""

import pytest
import trio

from phantomlink.metrics import Histogram
from phantomlink.outputs.websocket.client import WebSocketSink
from phantomlink.wire.encoder import WireFormat, frame_message
from tests.frame_streams import connected, read_all

CLOSE_FRAME = b"\x88\x02\x03\xe8"


def parse(data):
    """Unmasked frames -> (first byte, payload); raises on a torn one."""
    frames = []
    while data:
        length, at = data[1], 2
        if length == 126:
            length, at = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, at = int.from_bytes(data[2:10], "big"), 10
        assert len(data) >= at + length, "a torn frame"
        frames.append((data[0], data[at : at + length]))
        data = data[at + length :]
    return frames


def numbered(k, size=3000):
    return frame_message(k.to_bytes(4, "big") + bytes(size))


def number(payload):
    return int.from_bytes(payload[:4], "big")


async def test_a_client_that_keeps_up_gets_every_frame_at_once():
    async with connected(send_buffer=1 << 20) as (frames, client, _):
        for k in range(20):
            frames.offer_nowait(frame_message(b"%d" % k))
        assert frames.queued_frames == 0
        await frames.aclose()
        assert [payload for _, payload in parse(await read_all(client))] == [
            b"%d" % k for k in range(20)
        ]


async def test_a_stopped_client_loses_the_oldest_whole_frames_and_they_are_counted():
    async with connected() as (frames, client, nursery):
        for k in range(300):
            frames.offer_nowait(numbered(k))
        assert frames.queued_frames <= 5
        assert frames.dropped_frames > 200
        done = trio.Event()

        async def finish():
            await frames.send_all(b"\x89\x00")
            await frames.aclose()
            done.set()

        nursery.start_soon(finish)
        got = parse(await read_all(client))
        await done.wait()
    assert got.pop() == (0x89, b"")
    numbers = [number(payload) for _, payload in got]
    assert numbers == sorted(numbers)
    assert len(numbers) == 300 - frames.dropped_frames
    # One that was sent in part is finished, however old it is.
    assert numbers[-4:] == [296, 297, 298, 299]


async def test_bytes_bound_the_queue_too():
    async with connected(max_frames=10**6, max_bytes=20_000) as (frames, _, _):
        for k in range(300):
            frames.offer_nowait(numbered(k))
        assert frames.queued_frames <= 7
        assert frames.dropped_frames > 200


async def test_all_that_waits_counts_and_the_newest_packet_is_never_dropped():
    async with connected(max_frames=10**6, max_bytes=20_000) as (frames, _, _):
        while not frames.queued_frames:
            frames.offer_nowait(numbered(0))
        for k in range(4):
            frames.put_nowait(numbered(k, 4000))
        waiting = frames.queued_bytes
        assert waiting > 16_000
        frames.offer_nowait(numbered(1, 30_000))
        frames.offer_nowait(numbered(2, 30_000))
        # The very first stays, too, if it is torn.
        assert frames.queued_frames + frames.dropped_frames == 3
        assert 1 <= frames.dropped_frames <= 2
        assert 30_000 < frames.queued_bytes <= waiting + len(numbered(2, 30_000))
    assert frames.queued_bytes == 0


async def test_what_may_not_be_dropped_must_not_grow_for_ever():
    given_up = []
    async with connected(max_bytes=20_000) as (frames, _, _):
        frames.upgraded(bytes, lambda: given_up.append(frames.queued_bytes))
        for k in range(5):
            frames.put_nowait(numbered(k))
        await trio.testing.wait_all_tasks_blocked()
        assert not given_up
        for k in range(50):
            frames.put_nowait(numbered(k))
        await trio.testing.wait_all_tasks_blocked()
        assert len(given_up) == 1
        assert given_up[0] <= len(numbered(0))


@pytest.mark.parametrize("is_too_much", [False, True])
async def test_a_client_is_given_up_once_whatever_comes_before_it_is_closed(
    mock_clock, is_too_much
):
    """It is closed by another task, and what may not be dropped comes meanwhile."""
    given_up = []
    async with connected(behind_seconds=2.0, max_bytes=400_000) as (frames, _, _):
        frames.upgraded(bytes, lambda: given_up.append(frames.dropped_frames))
        for k in range(50):
            frames.offer_nowait(numbered(k))
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(2.0)
        await trio.testing.wait_all_tasks_blocked()
        assert len(given_up) == 1
        for k in range(300 if is_too_much else 100):
            frames.put_nowait(numbered(k))
        assert frames.queued_frames == 0
        assert frames._is_overfull == is_too_much
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(10.0)
        await trio.testing.wait_all_tasks_blocked()
        assert len(given_up) == 1
        assert frames.queued_bytes > 100_000, "it waits for the client, or for its end"


async def test_nobody_is_given_up_before_the_handshake(mock_clock):
    async with connected(behind_seconds=2.0, max_bytes=20_000) as (frames, _, _):
        for k in range(50):
            frames.put_nowait(numbered(k))
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(10.0)
        await trio.testing.wait_all_tasks_blocked()
        assert frames.queued_bytes > 20_000


async def test_the_deadline_of_a_client_that_is_behind(mock_clock):
    given_up = []
    async with connected(behind_seconds=2.0, max_frames=5) as (frames, client, _):
        frames.upgraded(bytes, lambda: given_up.append(trio.current_time()))
        assert frames.behind_since is None
        for k in range(50):
            frames.offer_nowait(numbered(k))
        began = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert frames.behind_since == began
        mock_clock.jump(1.99)
        await trio.testing.wait_all_tasks_blocked()
        assert not given_up
        mock_clock.jump(0.01)
        await trio.testing.wait_all_tasks_blocked()
        assert given_up == [began + 2.0]
        # Nothing but the close frame follows what the kernel has, and there is room for it.
        await frames.send_all(CLOSE_FRAME)
        assert frames.queued_frames == 0
        await frames.aclose()
        got = parse(await read_all(client))
    assert got.pop() == (0x88, CLOSE_FRAME[2:])
    assert [number(payload) for _, payload in got] == list(range(len(got)))
    assert frames.dropped_frames == 50 - len(got)


async def test_a_client_that_is_behind_now_and_then_is_not_given_up(mock_clock):
    given_up = []
    async with connected(behind_seconds=2.0, max_frames=100) as (frames, client, _):
        frames.upgraded(bytes, lambda: given_up.append(True))
        for _ in range(3):
            for k in range(20):
                frames.offer_nowait(numbered(k))
            await trio.testing.wait_all_tasks_blocked()
            assert frames.behind_since == trio.current_time()
            mock_clock.jump(1.9)
            while frames.queued_frames:
                await client.receive_some(100_000)
            await trio.testing.wait_all_tasks_blocked()
            assert frames.behind_since is None
    assert not given_up
    assert frames.dropped_frames == 0


async def no_news():
    return b"metadata"


async def test_what_changes_the_stream_is_told_before_the_packets_that_follow():
    async with connected(max_frames=3) as (frames, client, _):
        made, told = trio.Event(), []

        def news():
            n = len(told)
            told.append(n)

            async def message():
                await made.wait()
                return b"news %d" % n

            return message()

        sink = WebSocketSink(frames, WireFormat.MSGPACK, news)
        frames.offer_nowait(b"0")
        sink.stream_changed()
        frames.offer_nowait(b"1")
        sink.stream_changed()
        for k in range(2, 6):
            frames.offer_nowait(b"%d" % k)
        assert (frames.queued_frames, frames.dropped_frames) == (3, 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sink.tell_until_ended)
            await trio.testing.wait_all_tasks_blocked()
            assert await client.receive_some(100) == b"0"
            # Its being made is nothing that the client is behind with.
            assert not sink.is_deferred
            made.set()
            await trio.testing.wait_all_tasks_blocked()
            got = await client.receive_some(1000)
            assert got == frame_message(b"news 0") + frame_message(b"news 1") + b"345"
            # One that is not made when the end comes does not hold it up.
            made = trio.Event()
            sink.stream_changed()
            frames.offer_nowait(b"6")
            await trio.testing.wait_all_tasks_blocked()
            sink.end(1000, "over")
        assert await client.receive_some(1000) == b"6"
        assert frames.queued_frames == 0


async def test_a_client_comes_last_for_as_long_as_it_is_behind():
    async with connected(max_frames=100) as (frames, client, _):
        sink = WebSocketSink(frames, WireFormat.MSGPACK, no_news)
        assert not sink.is_deferred
        for k in range(20):
            frames.offer_nowait(numbered(k))
        # The same throughout a tick: until the loop goes on.
        assert not sink.is_deferred
        await trio.testing.wait_all_tasks_blocked()
        assert sink.is_deferred
        while frames.queued_frames:
            await client.receive_some(100_000)
        await trio.testing.wait_all_tasks_blocked()
        assert not sink.is_deferred


async def test_a_client_that_takes_what_is_current_is_not_behind(mock_clock):
    given_up = []
    async with connected(behind_seconds=2.0, current_seconds=1000.0, max_frames=100) as parts:
        frames, client, _ = parts
        frames.upgraded(bytes, lambda: given_up.append(True))
        for _ in range(4):
            while frames.queued_frames < 50:
                # So much that the kernel never takes all of it at once.
                frames.offer_nowait(numbered(0))
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(1.5)
            before = frames.queued_frames
            while frames.queued_frames == before:
                await client.receive_some(3000)
            assert frames.behind_since == trio.current_time()
            assert frames.queued_frames
    assert not given_up


async def test_a_longer_queue_holds_from_the_next_frame_on():
    async with connected(max_frames=5) as (frames, _, _):
        for n in range(200):
            frames.offer_nowait(frame_message(n.to_bytes(4, "big") * 100))
        assert frames.queued_frames == 5
        dropped = frames.dropped_frames
        frames.max_frames = 8
        for n in range(4):
            frames.offer_nowait(frame_message(n.to_bytes(4, "big") * 100))
        assert frames.queued_frames == 8
        assert frames.dropped_frames == dropped + 1


async def test_control_bytes_wait_their_turn_and_are_never_dropped():
    async with connected() as (frames, client, nursery):
        frames.upgraded(bytes)
        for k in range(50):
            frames.offer_nowait(numbered(k))
        pongs = trio.Event()

        async def pong():
            await frames.send_all(b"\x8a\x01a")
            await frames.send_all(b"\x8a\x01b")
            pongs.set()

        nursery.start_soon(pong)
        await trio.testing.wait_all_tasks_blocked()
        assert not pongs.is_set()
        for k in range(50, 100):
            frames.offer_nowait(numbered(k))
        received = []
        read = trio.Event()

        async def read_to_the_end():
            received.append(await read_all(client))
            read.set()

        nursery.start_soon(read_to_the_end)
        await pongs.wait()
        await frames.send_all(b"\x89\x00")
        await frames.aclose()
        await read.wait()
    got = parse(received[0])
    controls = [payload for first, payload in got if first in (0x8A, 0x89)]
    assert controls == [b"a", b"b", b""]
    numbers = [number(payload) for first, payload in got if first == 0x82]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 99


async def test_after_a_close_frame_nothing_more_is_written():
    async with connected(send_buffer=1 << 20) as (frames, client, _):
        frames.upgraded(bytes)
        frames.offer_nowait(frame_message(b"last"))
        await frames.send_all(CLOSE_FRAME)
        frames.offer_nowait(frame_message(b"too late"))
        frames.put_nowait(frame_message(b"too late"))
        await frames.aclose()
        assert await read_all(client) == frame_message(b"last") + CLOSE_FRAME


@pytest.mark.parametrize("close_sent", [False, True])
async def test_the_last_words_are_said_only_where_no_close_frame_was(close_sent):
    async with connected(send_buffer=1 << 20) as (frames, client, _):
        frames.upgraded(lambda: b"last words")
        if close_sent:
            await frames.send_all(CLOSE_FRAME)
        await frames.aclose()
        assert await read_all(client) == (CLOSE_FRAME if close_sent else b"last words")


async def test_before_the_upgrade_bytes_are_not_frames():
    async with connected(send_buffer=1 << 20) as (frames, client, _):
        await frames.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")  # "H" & 15 == 8
        frames.upgraded(bytes)
        frames.offer_nowait(b"\x82\x01x")
        await frames.aclose()
        assert (await read_all(client)).endswith(b"\x82\x01x")


async def test_a_client_that_is_gone_breaks_only_its_own_stream():
    async with connected() as (frames, client, _):
        client.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await client.aclose()
        for k in range(300):
            frames.offer_nowait(numbered(k))
            await trio.lowlevel.checkpoint()
        with pytest.raises(trio.BrokenResourceError):
            await frames.send_all(b"\x8a\x00")
        assert frames.queued_frames == 0


async def test_a_write_that_finds_the_client_gone_does_not_wait():
    async with connected() as (frames, client, _):
        client.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await client.aclose()
        # Nothing else is written: the first of these meets the reset.
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await send_again_and_again(frames)


async def send_again_and_again(frames):
    while True:
        await frames.send_all(b"\x8a\x00")
        await trio.sleep(0.01)


async def test_closing_wakes_those_who_wait_to_send():
    async with connected() as (frames, _, nursery):
        for k in range(50):
            frames.offer_nowait(numbered(k))

        async def stuck():
            with pytest.raises(trio.ClosedResourceError):
                await frames.send_all(b"\x8a\x00")

        nursery.start_soon(stuck)
        await trio.testing.wait_all_tasks_blocked()
        await frames.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await frames.send_all(b"\x8a\x00")


async def test_every_packet_that_was_sent_is_recorded_and_nothing_else():
    """What is counted as sent: not what was dropped, nor the first message or control frames."""
    latency = Histogram()
    async with connected(max_frames=5, latency=latency) as (frames, client, nursery):
        frames.put_nowait(numbered(0))
        await frames.send_all(b"\x89\x00")
        for k in range(1, 100):
            frames.offer_nowait(numbered(k))
        frames.put_nowait(numbered(100))
        dropped = frames.dropped_frames
        assert 0 < dropped < 99
        nursery.start_soon(frames.send_all, CLOSE_FRAME)
        received = b""
        while not received.endswith(CLOSE_FRAME):
            received += await client.receive_some()
        n_packets = len(parse(received)) - 4
        assert latency.count == n_packets == 99 - dropped
